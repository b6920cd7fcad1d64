"""ResNet-50 as a classifier of crops, to compare with and for a GPU (He et al. 2016, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Mapping

from monai.networks.nets.resnet import resnet50
from torch import Tensor, nn

from marrow_models.networks.lattice import as_float, put_on_lattice

FEATURES = 2048


class ResNet50Crops(nn.Module):
    """Scores of each head for a crop around a cell, from MONAI's two-dimensional ResNet-50.

    Parameters
    ----------
    heads
        Name of a head to its number of outputs; ``cell_class`` is the one that every bundle has.
    """

    def __init__(self, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.trunk = resnet50(spatial_dims=2, n_input_channels=3, conv1_t_stride=2, feed_forward=False)
        self.pooled = nn.ReLU()
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, outputs) for name, outputs in heads.items()})
        put_on_lattice(self)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Scores before the softmax, (N, outputs) for each head. ``crops`` is (N, 3, H, W), float32 or bytes."""
        features = self.pooled(self.trunk(as_float(crops)).flatten(1))
        return {name: head(features) for name, head in self.heads.items()}
