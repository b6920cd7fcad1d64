"""Going on from the weights of a bundle: what :func:`~marrow_models.networks.lattice.fold` merged, taken apart again.

A bundle holds layers without normalisation, exact to compute and hard to train further. Here each gets back one that
does nothing to the values of the data at hand: their mean and spread are measured, and what the normalisation takes
off and divides by, its own shift and gain give back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from marrow_models.networks.lattice import STEPS_PER_UNIT, convolutions_with_norm

Rows = Mapping[str, tuple[list[int], list[int]]]
"""Name of a layer to the outputs of it that are taken over: their rows here, and there."""


@torch.no_grad()
def take_over(network: nn.Module, folded: Mapping[str, Tensor], images: Iterable[Tensor], rows: Rows) -> None:
    """Put the weights of a folded network into ``network``, in place: it then says what the folded one said.

    Parameters
    ----------
    network
        As it begins a training, on the CPU.
    folded
        The weights of a bundle: the state of a folded network of the same shape but for ``rows``.
    images
        Batches (N, 3, H, W) of what the network will be shown: each normalisation is set to their mean and variance.
    rows
        Layers of which only some outputs are alike, as heads of other classes; all others keep what they began with.

    Raises
    ------
    ValueError
        The networks differ; the message names the first layer that does.
    """
    pairs = convolutions_with_norm(network)
    merged = {convolution for (convolution, _), _, _ in pairs}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _put(name, layer, folded, rows.get(name), has_bias=name not in merged)
    for (name, _), convolution, norm in pairs:
        # Trained further, weights should be as large as where a training begins: normalised, their size means nothing.
        scale = convolution.weight.std() / folded[f"{name}.weight"].std()
        convolution.weight.copy_(folded[f"{name}.weight"] * scale)
        norm.weight.fill_(1 / scale)
        norm.bias.copy_(folded[f"{name}.bias"] / STEPS_PER_UNIT)
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    for norm, (mean, variance) in _seen(network, [norm for _, _, norm in pairs], images).items():
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_((variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]


def _put(
    name: str,
    layer: nn.Conv2d | nn.Linear,
    folded: Mapping[str, Tensor],
    rows: tuple[list[int], list[int]] | None,
    *,
    has_bias: bool,
) -> None:
    weight = folded.get(f"{name}.weight")
    if rows is not None:
        here, there = rows
        if weight is not None and here:
            layer.weight[here] = weight[there]
            layer.bias[here] = folded[f"{name}.bias"][there] / STEPS_PER_UNIT  # type: ignore[index]
        return
    if weight is None or weight.shape != layer.weight.shape:
        found = "missing" if weight is None else f"{tuple(weight.shape)}"
        raise ValueError(f"the layer {name} is {found} there and {tuple(layer.weight.shape)} here")
    if has_bias:
        layer.weight.copy_(weight)
        layer.bias.copy_(folded[f"{name}.bias"] / STEPS_PER_UNIT)  # type: ignore[union-attr]


def _seen(
    network: nn.Module, norms: list[nn.BatchNorm2d], images: Iterable[Tensor]
) -> dict[nn.BatchNorm2d, tuple[Tensor, Tensor]]:
    """Mean and variance (C,) of what each normalisation gets."""
    sums = {norm: [torch.zeros(norm.num_features, dtype=torch.float64) for _ in range(2)] for norm in norms}
    counts = dict.fromkeys(norms, 0)

    def look(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        counts[norm] += values.numel() // norm.num_features
        for total, power in zip(sums[norm], (values, values.square()), strict=True):
            total += power.sum(dim=(0, 2, 3))

    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    was_training = network.training
    network.eval()
    try:
        for batch in images:
            network(batch)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    seen = {}
    for norm, (first, second) in sums.items():
        mean = first / counts[norm]
        seen[norm] = (mean.float(), (second / counts[norm] - mean.square()).clamp_min(0).float())
    return seen
