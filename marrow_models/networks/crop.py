"""The classifier: a small residual network that looks at one cell.

MONAI's residual blocks, a global mean, and one linear head for each thing that is asked of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from marrow_models.networks.heatmap import residual_stage
from marrow_models.networks.lattice import put_on_lattice
from marrow_models.networks.parts import MONAI, Parts


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
    parts
        What it is built of; the weights and results are the same.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        planes: Sequence[int] = (16, 32, 64, 128),
        blocks: Sequence[int] = (2, 2, 2),
        *,
        parts: Parts = MONAI,
    ) -> None:
        super().__init__()
        self.stem = parts.convolution(3, planes[0], stride=2)
        self.stages = nn.Sequential(
            *(
                residual_stage(inputs, outputs, count, parts)
                for inputs, outputs, count in zip(planes[:-1], planes[1:], blocks, strict=True)
            )
        )
        self.pooled = nn.ReLU()
        self.heads = nn.ModuleDict({name: nn.Linear(planes[-1], outputs) for name, outputs in heads.items()})
        put_on_lattice(self)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Scores before the softmax, (N, outputs) for each head. ``crops`` is (N, 3, H, W), H and W multiples of 16."""
        # The mean is rounded to whole steps again, so that the heads' sums are exact too.
        features = self.pooled(self.stages(self.stem(crops)).float().mean(dim=(2, 3)))
        return {name: head(features) for name, head in self.heads.items()}
