"""Networks whose float32 sums are exact, so that nothing about the computation can change a result.

A convolution adds hundreds of products. In floating point the sum depends on the order of the
additions, and the order depends on the shape of the tile, the batch, the number of threads and the
machine. Two tiles that see the same cell then disagree in the last bits, and now and then about the cell.

Here every activation is a whole number of steps, 255 at most (the image itself is: 8-bit pixels) and every weight is a
multiple of a power of two, fine enough to lose nothing that matters and coarse enough that no sum of an
output channel exceeds 2**24 units, the whole numbers that float32 holds exactly. No addition is ever
rounded, so the order of the additions cannot matter: the outputs agree bit for bit. Everything else
(rounding, clipping, sums of two tensors, upsampling) works value by value and has no order.

In training, activations are clipped to the range of the steps and, from a chosen moment on, rounded to them with a
straight-through gradient (Bengio et al. 2013, arXiv:1308.3432) while weights stay free; :func:`fold` then merges
batch normalisation into the weights (Jacob et al. 2018, arXiv:1712.05877) and puts them on their lattice.
:func:`check_exact` proves the property for weights from a file.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import fusion

from marrow_models.errors import BundleError

if TYPE_CHECKING:
    from torch import Tensor

Network = TypeVar("Network", bound=nn.Module)

TOP = 255
"""The largest activation, in steps."""
STEPS_PER_UNIT = 32
"""Steps of an activation in 1.0 while training; activations reach from 0 to 255 / 32, about 8 standard deviations."""
LARGEST_DIGIT = 127
"""Of a weight that one digit holds, in units of its channel."""
LEAST_INPUTS = 8
"""A convolution of fewer channels (that of the pictures) is faster in float32 than in digits."""
EXACT_LIMIT = 2**24
"""Float32 holds every whole number up to this one."""


class LatticeReLU(nn.Module):
    """ReLU with 256 output values: 0, 1, ... 255 steps of ``1 / steps_per_unit``."""

    lowest = 0
    """In steps."""

    def __init__(self, steps_per_unit: int = STEPS_PER_UNIT) -> None:
        super().__init__()
        self.steps_per_unit = steps_per_unit
        self.rounds = True
        """False early in a training: values are clipped only, which is faster and finds the same weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Values on the lattice, of the shape of ``x``; in inference mode ``x`` itself is overwritten."""
        if not self.rounds:
            return functional.hardtanh(x, self.lowest / self.steps_per_unit, TOP / self.steps_per_unit)
        if torch.is_grad_enabled():
            # Rounds and clips; the gradient passes where nothing was clipped.
            return torch.fake_quantize_per_tensor_affine(x, 1 / self.steps_per_unit, 0, self.lowest, TOP)
        if self.steps_per_unit == 1:
            return x.round_().clamp_(self.lowest, TOP)
        return x.mul_(self.steps_per_unit).round_().clamp_(self.lowest, TOP).div_(self.steps_per_unit)

    def extra_repr(self) -> str:
        """What ``print(network)`` shows."""
        return f"steps_per_unit={self.steps_per_unit}"


class LatticeLinear(LatticeReLU):
    """Values of either sign on the lattice, for layers that end without a nonlinearity: -255, ... 255 steps."""

    lowest = -TOP


def put_on_lattice(network: Network, steps_per_unit: int = STEPS_PER_UNIT) -> Network:
    """``network`` with every ReLU replaced, in place, by one whose values lie on the lattice."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU):
                setattr(parent, name, LatticeReLU(steps_per_unit))
    return network


def round_activations(network: nn.Module, *, on: bool) -> None:
    """Whether the activations of ``network`` are rounded to whole steps or clipped to their range only."""
    for module in network.modules():
        if isinstance(module, LatticeReLU):
            module.rounds = on


def as_float(pixels: Tensor) -> Tensor:
    """``pixels`` in a floating type: those that are bytes in float32, as they lie in memory."""
    return pixels if pixels.is_floating_point() else pixels.float()


def folded_structure(network: Network) -> Network:
    """A copy of ``network`` as :func:`fold` leaves it: no normalisation, a bias everywhere, steps as unit."""
    structure = copy.deepcopy(network).eval()
    for parent_name, convolution, norm in convolutions_with_norm(structure):
        fused = _fused(convolution, norm)
        _replace(structure, parent_name[0], fused)
        _replace(structure, parent_name[1], nn.Identity())
    for module in structure.modules():
        if isinstance(module, LatticeReLU):
            module.steps_per_unit, module.rounds = 1, True
    return structure.requires_grad_(requires_grad=False)


def _fused(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Both in one layer; on the meta device its shapes only, for whose values PyTorch would import its compiler."""
    if not convolution.weight.is_meta:
        fused: nn.Conv2d = fusion.fuse_conv_bn_eval(convolution, norm)
        return fused
    convolution.bias = nn.Parameter(torch.empty(convolution.out_channels, device="meta"))
    return convolution


def fold(network: Network, weight_digits: int = 2) -> Network:
    """A copy of a trained ``network`` for inference, with exact sums.

    Its activations are whole steps and its inputs 8-bit pixel values as they are; outputs that were
    ``y`` in training are now about ``STEPS_PER_UNIT * y``. With one digit for each weight, convolutions are up to twice
    as fast (:mod:`marrow_models.networks.digits`), and weights are rounded to eight bits of their channel's unit.
    ValueError for another number of digits than 1 or 2, and for a convolution without a bias.
    """
    if weight_digits not in (1, 2):
        raise ValueError(f"a weight has one digit or two, not {weight_digits}")
    exact = folded_structure(network)
    for module in exact.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.bias is None:
                raise ValueError("a convolution without normalisation needs a bias")
            weight = module.weight.double()
            if weight_digits == 1 and isinstance(module, nn.Conv2d) and module.in_channels >= LEAST_INPUTS:
                weight = _in_one_digit(weight)
            weight, bias = _rounded(weight, module.bias.double() * STEPS_PER_UNIT)
            module.weight.copy_(weight)
            module.bias.copy_(bias)
    check_exact(exact)
    return exact


def check_exact(network: nn.Module) -> None:
    """Prove that no sum in ``network`` can be rounded; BundleError where one could be.

    For each output channel: all weights and the bias are multiples of one power of two, and the sum of
    their sizes times the largest activation stays within 2**24 such units.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.bias is None:
                raise BundleError(f"The layer {name} has no bias; the weights were not written by Marrow.")
            weight = module.weight.detach().double().flatten(1)
            bias = module.bias.detach().double()
            unit = torch.minimum(lowest_bit(weight).amin(dim=1), lowest_bit(bias))
            if bool((_largest_sum(weight, bias) > EXACT_LIMIT * unit).any()):
                raise BundleError(
                    f"The sums of the layer {name} would be rounded, so results would depend on the tiles. "
                    "Write the bundle with Marrow's own training command."
                )


def _largest_sum(weight: Tensor, bias: Tensor) -> Tensor:
    return weight.abs().sum(dim=1) * TOP + bias.abs()


def _rounded(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and biases on the finest power-of-two lattice of each channel that keeps its sums exact."""
    flat = weight.flatten(1)
    slack = (flat.shape[1] * TOP + 1) / 2  # rounding moves each term by half a unit at most
    largest = _largest_sum(flat, bias).clamp_min(2.0**-40)
    unit = torch.exp2(torch.ceil(torch.log2(largest / (EXACT_LIMIT - slack))))
    shape = (-1,) + (1,) * (weight.dim() - 1)
    return (weight / unit.view(shape)).round() * unit.view(shape), (bias / unit).round() * unit


def _in_one_digit(weight: Tensor) -> Tensor:
    """Weights as multiples, 127 at most, of the finest power of two of each channel that allows it."""
    largest = weight.flatten(1).abs().amax(dim=1).clamp_min(2.0**-40)
    unit = torch.exp2(torch.ceil(torch.log2(largest / LARGEST_DIGIT))).view((-1,) + (1,) * (weight.dim() - 1))
    return (weight / unit).round() * unit


def lowest_bit(values: Tensor) -> Tensor:
    """The largest power of two that divides each value; infinite for zero."""
    mantissa, exponent = torch.frexp(values)
    whole = (mantissa * 2.0**53).to(torch.int64)
    lowest = (whole & -whole).double()
    return torch.where(values == 0, torch.inf, torch.ldexp(lowest, exponent - 53))


def convolutions_with_norm(network: nn.Module) -> list[tuple[tuple[str, str], nn.Conv2d, nn.BatchNorm2d]]:
    """Each batch normalisation with the convolution registered just before it (so MONAI's blocks are built)."""
    leaves = [(name, module) for name, module in network.named_modules() if not list(module.children())]
    pairs = []
    for (name, module), (next_name, following) in pairwise(leaves):
        if isinstance(following, nn.BatchNorm2d):
            if not isinstance(module, nn.Conv2d):
                raise TypeError(f"{next_name}: a batch normalisation that follows no convolution cannot be folded")
            pairs.append(((name, next_name), module, following))
    return pairs


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
