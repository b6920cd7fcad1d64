"""What the networks are built of: MONAI's convolutions and residual blocks, or the same in plain PyTorch.

Networks are trained as MONAI builds them. Importing MONAI takes two seconds and 130 MB, for each worker of a night, of
which two small blocks are needed. So a bundle's networks are loaded into plain blocks with the same names of weights,
the same operations and the same results (``tests/unit/cell_models/test_parts.py`` holds both side by side).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from torch import Tensor, nn


class Parts(Protocol):
    """Makes the parts of a network."""

    def convolution(self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, relu: bool = True) -> nn.Module:
        """A convolution that keeps the size (divided by ``stride``), normalised, and with a ReLU or without."""
        ...

    def residual_block(self, inputs: int, outputs: int, *, stride: int = 1, shortcut: nn.Module | None) -> nn.Module:
        """Two 3 x 3 convolutions, normalised, whose result is added to the input or what ``shortcut`` makes of it."""
        ...


class Monai:
    """MONAI's own blocks."""

    def convolution(self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, relu: bool = True) -> nn.Module:
        """MONAI's ``Convolution``."""
        from monai.networks.blocks.convolutions import Convolution

        return Convolution(
            2,
            inputs,
            outputs,
            strides=stride,
            kernel_size=size,
            act="RELU" if relu else None,
            norm="BATCH",
            bias=False,
            adn_ordering="NDA",
        )

    def residual_block(self, inputs: int, outputs: int, *, stride: int = 1, shortcut: nn.Module | None) -> nn.Module:
        """MONAI's ``ResNetBlock``."""
        from monai.networks.nets.resnet import ResNetBlock

        return ResNetBlock(inputs, outputs, spatial_dims=2, stride=stride, downsample=shortcut)


class Plain:
    """The same without MONAI."""

    def convolution(self, inputs: int, outputs: int, *, size: int = 3, stride: int = 1, relu: bool = True) -> nn.Module:
        """As :meth:`Monai.convolution`."""
        after: OrderedDict[str, nn.Module] = OrderedDict(N=nn.BatchNorm2d(outputs))
        if relu:
            after["A"] = nn.ReLU()
        convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=(size - 1) // 2, bias=False)
        return nn.Sequential(OrderedDict(conv=convolution, adn=nn.Sequential(after)))

    def residual_block(self, inputs: int, outputs: int, *, stride: int = 1, shortcut: nn.Module | None) -> nn.Module:
        """As :meth:`Monai.residual_block`."""
        return ResidualBlock(inputs, outputs, stride, shortcut)


class ResidualBlock(nn.Module):
    """A basic block (He et al. 2016) with the names of MONAI's ``ResNetBlock``."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        said: Tensor = self.act(out)
        return said


MONAI: Parts = Monai()
PLAIN: Parts = Plain()
