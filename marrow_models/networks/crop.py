"""The classifier: a small residual network that looks at one cell.

MONAI's residual blocks, a global mean, and one linear head for each thing that is asked of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai.networks.blocks.convolutions import Convolution
from torch import Tensor, nn

from marrow_models.networks.heatmap import residual_stage
from marrow_models.networks.lattice import as_float, put_on_lattice


class CropNet(nn.Module):
    """Scores of each head for a crop around a cell.

    Parameters
    ----------
    heads
        Name of a head to its number of outputs; ``cell_class`` is the one that every bundle has.
    planes
        Channels at 1/2, 1/4, 1/8 and 1/16 of the resolution.
    blocks
        Residual blocks at 1/4, 1/8 and 1/16.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        planes: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (2, 2, 2),
    ) -> None:
        super().__init__()
        self.stem = Convolution(
            2, 3, planes[0], strides=2, kernel_size=3, act="RELU", norm="BATCH", bias=False, adn_ordering="NDA"
        )
        self.stages = nn.Sequential(
            *(
                residual_stage(inputs, outputs, count)
                for inputs, outputs, count in zip(planes[:-1], planes[1:], blocks, strict=True)
            )
        )
        self.pooled = nn.ReLU()
        self.heads = nn.ModuleDict({name: nn.Linear(planes[-1], outputs) for name, outputs in heads.items()})
        put_on_lattice(self)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Scores before the softmax, (N, outputs) for each head.

        ``crops`` is (N, 3, H, W), H and W multiples of 16, in float32 or bytes.
        """
        # The mean is rounded to whole steps again, so that the heads' sums are exact too.
        features = self.pooled(self.stages(self.stem(as_float(crops))).float().mean(dim=(2, 3)))
        return {name: head(features) for name, head in self.heads.items()}
