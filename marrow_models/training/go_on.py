"""Trainings that go on from the networks of a bundle, with the cells of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from marrow_models.bundle import CLASSIFIER, DETECTOR, Bundle, load_bundle
from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import UserError
from marrow_models.networks.unfold import Rows, take_over


def detector_from(name_or_path: str, network: nn.Module, images: Iterable[Tensor]) -> None:
    """Put the detector of a bundle into ``network``; UserError where their shapes differ."""
    _take_over(load_bundle(name_or_path), DETECTOR, network, images, {})


def classifier_from(
    name_or_path: str, network: nn.Module, images: Iterable[Tensor], outputs: Mapping[str, Sequence[str]]
) -> None:
    """Put the classifier of a bundle into ``network``; UserError where their trunks differ.

    ``outputs`` has for each head of ``network`` what its outputs mean. Those that the bundle tells as well are taken
    over by their names; new labels and attributes begin with nothing.
    """
    bundle = load_bundle(name_or_path)
    told = {CLASS_HEAD: bundle.labels} | dict(bundle.classifier.attributes)
    rows = {f"heads.{head}": _alike(names, told.get(head, ())) for head, names in outputs.items()}
    _take_over(bundle, CLASSIFIER, network, images, rows)


def _alike(here: Sequence[str], there: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of the names that both have."""
    both = [name for name in here if name in there]
    return [here.index(name) for name in both], [there.index(name) for name in both]


def _take_over(bundle: Bundle, weights: str, network: nn.Module, images: Iterable[Tensor], rows: Rows) -> None:
    try:
        take_over(network, load_tensors(bundle.read(weights)), images, rows)
    except ValueError as error:
        raise UserError(
            f"continue_from: {weights} of the bundle {bundle.name} {bundle.version} does not fit the recipe: {error}. "
            "Set network, planes, blocks and kinds to what configs/inference.json of the bundle says, or leave "
            "continue_from out."
        ) from None
