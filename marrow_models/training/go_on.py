"""Trainings that go on from the networks of a bundle, with the cells of one's own."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from marrow_models.bundle import CLASSIFIER, DETECTOR, Bundle, load_bundle
from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import BundleError, UserError
from marrow_models.networks.loading import read_weights
from marrow_models.networks.unfold import Rows, take_over

SAME_SCALE = 0.01
"""Relative difference of two pixel sizes at which cells are still as large."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The bundle that a training goes on from."""

    bundle: str
    """Its name or folder."""
    sha256: str | None = None
    """Of the weights of the network in it. A bundle of that name may be of a later version one day."""


def opened(beginning: Beginning, role: str) -> Bundle:
    """The bundle; UserError that names the key of the recipe where there is none or it is damaged."""
    try:
        return load_bundle(beginning.bundle)
    except BundleError as error:
        raise UserError(f"{role}.training.continue_from: {error}") from None


def detector_from(beginning: Beginning, network: nn.Module, images: Iterable[Tensor], um_per_px: float) -> None:
    """Put the detector of a bundle into ``network``, which will read ``um_per_px``.

    Kinds of objects are in the order of :data:`marrow_models.training.pictures.KINDS`; further ones begin with nothing.
    UserError where it is another detector than was meant, or its shape or scale is another.
    """
    bundle = opened(beginning, "detector")
    kinds = int(bundle.networks["detector"].get("kinds", 1))
    both = list(range(min(kinds, int(network.get_submodule("centre").out_channels))))  # type: ignore[arg-type]
    _refuse_scale(bundle, "detector", bundle.detector.um_per_px, um_per_px)
    _take_over(bundle, beginning, "detector", DETECTOR, network, images, {"centre": (both, both)})


def classifier_from(
    beginning: Beginning,
    network: nn.Module,
    images: Iterable[Tensor],
    um_per_px: float,
    outputs: Mapping[str, Sequence[str]],
) -> None:
    """Put the classifier of a bundle into ``network``, which will read ``um_per_px``.

    ``outputs`` has for each head of ``network`` what its outputs mean. Those that the bundle tells as well are taken
    over by their names; new labels and attributes begin with nothing. UserError where it is another classifier than was
    meant, or its trunk or scale is another.
    """
    bundle = opened(beginning, "classifier")
    told = {CLASS_HEAD: bundle.labels} | dict(bundle.classifier.attributes)
    rows = {f"heads.{head}": _alike(names, told.get(head, ())) for head, names in outputs.items()}
    _refuse_scale(bundle, "classifier", bundle.classifier.um_per_px, um_per_px)
    _take_over(bundle, beginning, "classifier", CLASSIFIER, network, images, rows)


def _alike(here: Sequence[str], there: Sequence[str]) -> tuple[list[int], list[int]]:
    """Places of the names that both have."""
    both = [name for name in here if name in there]
    return [here.index(name) for name in both], [there.index(name) for name in both]


def _refuse_scale(bundle: Bundle, role: str, there: float, here: float) -> None:
    if not math.isclose(there, here, rel_tol=SAME_SCALE):
        raise UserError(
            f"{role}.training.continue_from: the {role} of {bundle.name} {bundle.version} reads {there:g} um/px and "
            f"the recipe {here:g}: cells would be of another size. Set {role}.um_per_px to {there:g}, or leave it out."
        )


def _take_over(
    bundle: Bundle,
    beginning: Beginning,
    role: str,
    weights: str,
    network: nn.Module,
    images: Iterable[Tensor],
    rows: Rows,
) -> None:
    where = f"{role}.training.continue_from: the {role} of {bundle.name} {bundle.version}"
    if beginning.sha256 is not None and bundle.files[weights] != beginning.sha256.lower():
        raise UserError(
            f"{where} is not the one of the SHA-256 in the recipe. Give the folder of the bundle that was meant."
        )
    try:
        take_over(network, read_weights(bundle, weights), images, rows)
    except ValueError as error:
        raise UserError(
            f"{where} does not fit: {error}. Set network, planes, blocks and kinds to what configs/inference.json of "
            "the bundle says, or leave it out."
        ) from None
