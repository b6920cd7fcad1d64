"""The detector: a fully convolutional network that marks the centre of each object and measures its box.

Objects as points (Zhou, Wang, Krahenbuhl 2019, arXiv:1904.07850) on MONAI's residual blocks. Nothing in it
looks at the tile as a whole (no global pooling, no group, layer or instance normalisation), so an output
depends on the pixels within ``reach_px`` only.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.blocks.convolutions import Convolution
from monai.networks.nets.resnet import ResNetBlock
from torch import Tensor, nn
from torch.nn import functional

from marrow_models.networks.lattice import as_float, put_on_lattice

OUTPUT_STRIDE_PX = 4
"""Input pixels an output cell spans."""
TOTAL_STRIDE_PX = 8
"""Input pixels a cell of the coarsest stage spans: tiles start on multiples of it."""
BOX_CHANNELS = 4
"""Offset x, offset y, width, height."""


class HeatmapNet(nn.Module):
    """Centre map and boxes of the objects in an image.

    Parameters
    ----------
    kinds
        Object kinds, one centre map each.
    planes
        Channels at 1/2, 1/4 and 1/8 of the resolution.
    blocks
        Residual blocks at 1/4 and at 1/8.
    """

    def __init__(self, kinds: int, planes: Sequence[int] = (16, 32, 64), blocks: Sequence[int] = (2, 2)) -> None:
        super().__init__()
        half, quarter, eighth = planes
        self.kinds = kinds
        self.stem = _convolution(3, half, stride=2)
        self.fine = residual_stage(half, quarter, blocks[0])
        self.coarse = residual_stage(quarter, eighth, blocks[1])
        self.lateral = _convolution(eighth, quarter, size=1)
        self.join = nn.ReLU()
        self.merge = _convolution(quarter, quarter)
        self.trunk = _convolution(quarter, quarter)
        self.centre = nn.Conv2d(quarter, kinds, 1)
        self.box = nn.Conv2d(quarter, BOX_CHANNELS, 1)
        if not self.centre.weight.is_meta:  # PyTorch imports its compiler to draw numbers that are not there
            nn.init.normal_(self.centre.weight, std=0.01)
        nn.init.constant_(self.centre.bias, -2.2)  # type: ignore[arg-type]  # starts at a probability of 0.1
        put_on_lattice(self)
        self.reach_px = reach_px(blocks)
        self.first_layer_bytes = half
        """Of outputs of the first layer for each pixel: a float32 for every second row and column."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Centre scores before the sigmoid (N, kinds, H/4, W/4) and boxes (N, 4, H/4, W/4).

        ``image`` is (N, 3, H, W), H and W multiples of 8; of bytes, no copy in float32 outlives the first layer.
        """
        fine = self.fine(self.stem(as_float(image)))
        context = functional.interpolate(self.lateral(self.coarse(fine)), scale_factor=2.0, mode="nearest")
        features = self.trunk(self.merge(self.join((fine.float() + context) / 2)))
        return self.centre(features), self.box(features)


def reach_px(blocks: Sequence[int]) -> int:
    """How far from an output cell's corner a pixel may lie that still has a say in it.

    Each 3 x 3 convolution reaches one cell of its input further; the upsampling adds what lies between a cell and
    the corner of the coarser one that it is taken from.
    """
    reach = 1
    for stage, count in enumerate(blocks):
        before, after = 2 << stage, 4 << stage
        reach += before + after + (count - 1) * 2 * after
    return reach + TOTAL_STRIDE_PX + OUTPUT_STRIDE_PX


def residual_stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    """MONAI residual blocks, the first one halving the resolution."""
    shortcut = Convolution(2, inputs, outputs, strides=2, kernel_size=1, act=None, norm="BATCH", bias=False)
    first = ResNetBlock(inputs, outputs, spatial_dims=2, stride=2, downsample=shortcut)
    return nn.Sequential(first, *(ResNetBlock(outputs, outputs, spatial_dims=2) for _ in range(blocks - 1)))


def _convolution(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> Convolution:
    return Convolution(
        2, inputs, outputs, strides=stride, kernel_size=size, act="RELU", norm="BATCH", bias=False, adn_ordering="NDA"
    )
