"""EfficientNet-Lite0 as a classifier of crops: small, and known to bear activations of eight bits.

Tan and Le 2019, arXiv:1905.11946, in the variant without squeeze-and-excitation whose activations are cut ReLUs, made
for integer arithmetic. Its bottlenecks end without a nonlinearity, so those values have a sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from monai.networks.blocks.convolutions import Convolution
from torch import Tensor, nn

from marrow_models.networks.lattice import LatticeLinear, as_float, put_on_lattice

STEM, FEATURES = 32, 1280
STAGES = (
    # expansion, channels, blocks, stride, kernel
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
POOLED_GAIN = 4.0
"""Means of a ReLU over a crop are small; so much larger, they lose less to the steps."""
DROPPED = 0.2
"""Share of the features that a training leaves out at random."""


class LiteCrops(nn.Module):
    """Scores of each head for a crop around a cell.

    Parameters
    ----------
    heads
        Name of a head to its number of outputs; ``cell_class`` is the one that every bundle has.
    """

    def __init__(self, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.stem = _padded(3, STEM, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        inputs = STEM
        for expansion, channels, count, stride, kernel in STAGES:
            for number in range(count):
                blocks.append(InvertedBottleneck(inputs, channels, expansion, stride if number == 0 else 1, kernel))
                inputs = channels
        self.blocks = nn.Sequential(*blocks)
        self.top = _convolution(inputs, FEATURES)
        self.pooled = nn.ReLU()
        self.dropped = nn.Dropout(DROPPED)
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, outputs) for name, outputs in heads.items()})
        put_on_lattice(self)

    def forward(self, crops: Tensor) -> dict[str, Tensor]:
        """Scores before the softmax, (N, outputs) for each head.

        ``crops`` is (N, 3, H, W), H and W multiples of 32, in float32 or bytes.
        """
        maps = self.top(self.blocks(self.stem(as_float(crops))))
        # The mean is rounded to whole steps again, so that the heads' sums are exact too.
        features = self.dropped(self.pooled(maps.mean(dim=(2, 3)) * POOLED_GAIN))
        return {name: head(features) for name, head in self.heads.items()}


class InvertedBottleneck(nn.Module):
    """Widen, look around in each channel, narrow; and add what came in where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.widen = _convolution(inputs, wide) if expansion > 1 else nn.Identity()
        self.look = _padded(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.narrow = _convolution(wide, outputs, act=None)
        self.adds = stride == 1 and inputs == outputs
        self.rounded = LatticeLinear()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        narrow = self.narrow(self.look(self.widen(x)))
        rounded: Tensor = self.rounded(narrow + x if self.adds else narrow)
        return rounded


def _padded(inputs: int, outputs: int, *, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    """A convolution padded as TensorFlow does it, where the published weights come from: more behind than before."""
    around = kernel - stride
    padding = nn.ZeroPad2d((around // 2, around - around // 2) * 2)
    return nn.Sequential(padding, _convolution(inputs, outputs, kernel=kernel, stride=stride, groups=groups, padding=0))


def _convolution(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    padding: int | None = None,
    act: str | None = "RELU",
) -> Convolution:
    return Convolution(
        2,
        inputs,
        outputs,
        strides=stride,
        kernel_size=kernel,
        groups=groups,
        padding=padding,
        act=act,
        norm=("BATCH", {"eps": 1e-3}),
        bias=False,
        adn_ordering="NDA",
    )
