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
        Name to weights of a bundle (activations in steps): the state of a folded network, of the same shape but for
        ``rows``.
    images
        Batches (N, 3, H, W) like those of the training, in its units: each normalisation is set to their mean and
        variance.
    rows
        Layers of which only some outputs are alike, as heads of other classes; all others keep what they began with.

    Raises
    ------
    ValueError
        The networks differ, and the message names the first layer that does; or there is no image.
    """
    pairs = convolutions_with_norm(network)
    merged = {convolution for (convolution, _), _, _ in pairs}
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    _refuse_others(layers, folded, rows)
    for name, layer in layers.items():
        if name in rows:
            _put_rows(layer, folded, name, *rows[name])
        elif name not in merged:
            _put(layer, folded, name)
    for (name, _), convolution, norm in pairs:
        # Trained further, weights should be as large as where a training begins: normalised, their size means nothing.
        spread = folded[f"{name}.weight"].std()
        scale = convolution.weight.std() / spread if spread > 0 else torch.ones(())
        convolution.weight.copy_(folded[f"{name}.weight"] * scale)
        if convolution.bias is not None:  # what it adds is part of the normalisation's shift
            convolution.bias.zero_()
        norm.weight.fill_(1 / scale)
        norm.bias.copy_(folded[f"{name}.bias"] / STEPS_PER_UNIT)
        norm.running_mean.zero_()  # type: ignore[union-attr]
        norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    for norm, (mean, variance) in _seen(network, [norm for _, _, norm in pairs], images).items():
        norm.bias.add_(norm.weight * mean)
        norm.weight.mul_((variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]


def _refuse_others(layers: Mapping[str, nn.Conv2d | nn.Linear], folded: Mapping[str, Tensor], rows: Rows) -> None:
    """Raise ValueError for a layer that only one of both has, or that has another shape there."""
    there = {key.rpartition(".")[0] for key in folded}
    heads = tuple({name.rpartition(".")[0] + "." for name in rows if "." in name})
    for name in sorted(there - layers.keys()):
        if not (heads and name.startswith(heads)):  # a head that is not wanted here
            raise ValueError(f"there is a layer {name} there and none here")
    for name, layer in layers.items():
        if name in rows:
            continue
        weight = folded.get(f"{name}.weight")
        if weight is None or f"{name}.bias" not in folded:
            raise ValueError(f"there is no layer {name} there")
        if weight.shape != layer.weight.shape:
            raise ValueError(f"the layer {name} is {tuple(weight.shape)} there and {tuple(layer.weight.shape)} here")


def _put(layer: nn.Conv2d | nn.Linear, folded: Mapping[str, Tensor], name: str) -> None:
    layer.weight.copy_(folded[f"{name}.weight"])
    layer.bias.copy_(folded[f"{name}.bias"] / STEPS_PER_UNIT)  # type: ignore[union-attr]


def _put_rows(
    layer: nn.Conv2d | nn.Linear, folded: Mapping[str, Tensor], name: str, here: list[int], there: list[int]
) -> None:
    if not here:
        return
    weight, bias = folded.get(f"{name}.weight"), folded.get(f"{name}.bias")
    if weight is None or bias is None or max(there) >= len(weight) or weight.shape[1:] != layer.weight.shape[1:]:
        raise ValueError(f"the layer {name} is missing there, or of another shape")
    layer.weight[here] = weight[there]
    layer.bias[here] = bias[there] / STEPS_PER_UNIT  # type: ignore[index]


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
        if not counts[norm]:
            raise ValueError("there is no image to measure the layers with")
        mean = first / counts[norm]
        seen[norm] = (mean.float(), (second / counts[norm] - mean.square()).clamp_min(0).float())
    return seen
