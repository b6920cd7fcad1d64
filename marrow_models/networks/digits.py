"""The same networks in whole numbers of eight bits: about twice as fast on a CPU, and the same bit for bit.

Activations are whole steps from 0 to 255, and each weight is a whole multiple of a unit of its channel
(:mod:`marrow_models.networks.lattice`). Such a multiple is written with two digits of base 256, from -128 to 127. A
convolution is then two of eight-bit numbers with sums of 32 bits, which the CPU does many at a time (AVX-512 VNNI,
AMX), and one addition. All of it is exact, so it is what the float32 network says, whatever the machine.

oneDNN does the sums, by the operators that PyTorch's own quantised networks use. A CPU without such instructions would
saturate on the way; there, and wherever the two networks were seen to differ, the float32 network stays.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from marrow_models.networks.lattice import LARGEST_DIGIT, LEAST_INPUTS, TOP, LatticeLinear, LatticeReLU, lowest_bit

_log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=nn.Module)

BASE = 256
ROUNDING = 1.5 * 2.0**23
"""Added to a float32 it leaves the nearest whole number, half to even, in the lowest bits: the fastest way to bytes."""
LOWEST_DIGIT = -128
PROOF_PX = 64
"""Side of the pictures that both networks are asked about before the fast one is used."""


class DigitConv(nn.Module):
    """A convolution on the lattice, done digit by digit. Takes whole steps as uint8, gives exact float32."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        bias = cast("Tensor", convolution.bias).detach()
        high, low, unit = digits_of(convolution.weight.detach())
        self.outputs = convolution.out_channels
        self._place: tuple[Any, ...] = (
            list(convolution.stride),
            list(cast("tuple[int, int]", convolution.padding)),
            list(convolution.dilation),
            convolution.groups,
        )
        # Where all weights fit into one digit, there is one convolution and nothing to add.
        self.digits = 2 if bool(high.any()) else 1
        weight, scales, biases = [high, low], [unit * BASE, unit], [torch.zeros_like(bias), bias]
        # Plain attributes: a packed tensor is in oneDNN's own layout, and no state to be saved or moved.
        self._scales = torch.cat(scales[-self.digits :])
        self._zeros = torch.zeros(self.digits * self.outputs, dtype=torch.int32)
        self._bias = torch.cat(biases[-self.digits :])
        self._packed = torch.ops.onednn.qconv_prepack(
            torch.cat(weight[-self.digits :]), self._scales, 1.0, 0, *self._place
        )

    def forward(self, steps: Tensor) -> Tensor:
        """Exact sums (N, outputs, h, w) of ``steps`` (N, inputs, H, W), uint8."""
        sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
            steps, 1.0, 0, self._packed, self._scales, self._zeros, self._bias, *self._place,
            1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return sums if self.digits == 1 else sums[:, : self.outputs] + sums[:, self.outputs :]

    def __deepcopy__(self, memo: dict[int, Any]) -> DigitConv:
        """Itself: nothing in it is ever altered, and packed weights cannot be copied."""
        return self


class ByteReLU(nn.Module):
    """:class:`LatticeReLU` whose values, whole steps, are given as bytes."""

    def forward(self, x: Tensor) -> Tensor:
        """Rounded and cut values as uint8; ``x`` is overwritten."""
        return x.clamp_(0, TOP).add_(ROUNDING).view(torch.int32).to(torch.uint8)


class FloatLayer(nn.Module):
    """A layer that stays in float32, for steps given as bytes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, steps: Tensor) -> Tensor:
        """What the layer says of ``steps``."""
        return cast("Tensor", self.layer(steps.float()))


def digits_of(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """High and low digit (int8, shaped as ``weight``) and the unit of each output channel.

    ``(256 * high + low) * unit`` is the weight exactly; ValueError where two digits do not hold it.
    """
    flat = weight.double().flatten(1)
    unit = lowest_bit(flat).amin(dim=1)
    unit = torch.where(torch.isinf(unit), 1.0, unit)  # a channel without any weight
    whole = (flat / unit[:, None]).round()
    low = torch.remainder(whole - LOWEST_DIGIT, BASE) + LOWEST_DIGIT
    high = (whole - low) / BASE
    if bool((high < LOWEST_DIGIT).any() or (high > LARGEST_DIGIT).any()):
        raise ValueError("a weight needs more than two digits")
    shaped = [digit.view(weight.shape).to(torch.int8) for digit in (high, low)]
    return shaped[0], shaped[1], unit.float()


def fast_where_equal(network: Network, picture_px: int = PROOF_PX) -> Network:
    """``network`` in digits where this machine has the instructions and both say the same; ``network`` itself if not.

    Both are asked about pictures of ``picture_px``, random ones and the brightest. Equality is proved by the sums; this
    is for a library that does them another way than it promises.
    """
    if not has_instructions():
        return network
    draw = torch.Generator().manual_seed(picture_px)
    pictures = torch.randint(0, 256, (3, 3, picture_px, picture_px), generator=draw).float()
    pictures[1] = pictures[1].div(255).round().mul(255)
    pictures[2] = 255
    try:
        fast = in_digits(network)
        with torch.inference_mode():
            expected, found = (_outputs(each(pictures.clone())) for each in (network, fast))
    except (ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
        _log.info("%s stays in float32 (%s)", type(network).__name__, type(error).__name__)
        return network
    same = len(expected) == len(found) and all(map(torch.equal, expected, found))
    return fast if same else network


def in_digits(network: Network) -> Network:
    """A copy of a folded ``network`` that computes with digits. ValueError for one that cannot be written so."""
    fast = copy.deepcopy(network)
    for parent in list(fast.modules()):
        for name, child in list(parent.named_children()):
            replacement = _replacement(child)
            if replacement is not None:
                setattr(parent, name, replacement)
    return fast.eval().requires_grad_(requires_grad=False)


def has_instructions() -> bool:
    """Eight-bit products with sums of 32 bits. Older instructions saturate at 16 bits, which is not exact."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_vnni") or capabilities.get("amx_int8")) and hasattr(torch.ops, "onednn")


def _outputs(said: Any) -> list[Tensor]:
    return list(said.values()) if isinstance(said, dict) else list(said)


def _replacement(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, LatticeLinear):
        raise ValueError("values of either sign are no bytes")
    if isinstance(layer, LatticeReLU):
        return ByteReLU()
    if isinstance(layer, nn.Conv2d):
        return DigitConv(layer) if layer.in_channels >= LEAST_INPUTS else layer
    return FloatLayer(layer) if isinstance(layer, nn.Linear) else None
