"""The settings in a bundle's metadata, read member by member: each of its type and within what can be."""

from __future__ import annotations

from marrow_models.errors import UserError
from marrow_models.model_settings import LARGEST_CONTRAST, ClassifierSettings, DetectorSettings, SurveySettings
from marrow_models.strict_json import Members

_UM_PER_PX = (0.01, 50.0)
_LARGEST_UM = 500.0
_FIELD_UM = (1.0, 10_000.0)
_SCORE = (1e-6, 1 - 1e-6)
"""Its odds must be a number."""
_MOST_KINDS = 1000
_CROP_PX = (8, 4096)
_CONTRAST = (0.0, LARGEST_CONTRAST)
_TEMPERATURE = (1e-3, 1e3)
_VIEWS = 8
"""Ways to lay a square crop down."""

_SURVEY = {
    "um_per_px": _UM_PER_PX,
    "field_um": _FIELD_UM,
    "nucleus_um2": (0.01, 1e6),
    "nucleus_density": (1e-6, 10.0),
    "largest_dark_share": (0.0, 1.0),
    "least_sharpness": (1e-6, 1e3),
    "blue_share": (0.0, 10.0),
}


def detector_settings(value: object, where: str) -> DetectorSettings:
    """The settings of the detector; UserError, opening with ``where``, for what cannot be."""
    required = ("um_per_px", "score_threshold", "largest_um", "duplicate_um")
    members = Members(value, where, required=required, optional=("counted_kinds",))
    kinds = members.value("counted_kinds")
    counted = (0,) if kinds is None else tuple(_kind(kind, where) for kind in members.items("counted_kinds"))
    if not counted or len(set(counted)) != len(counted):
        raise UserError(f"{where}: counted_kinds must be different and at least one.")
    return DetectorSettings(
        um_per_px=members.number("um_per_px", *_UM_PER_PX),
        score_threshold=members.number("score_threshold", *_SCORE),
        largest_um=members.number("largest_um", 0.1, _LARGEST_UM),
        duplicate_um=members.number("duplicate_um", 0.0, _LARGEST_UM),
        counted_kinds=counted,
    )


def classifier_settings(value: object, labels: tuple[str, ...], where: str) -> ClassifierSettings:
    """The settings of the classifier; UserError, opening with ``where``, for what cannot be."""
    required = ("um_per_px", "crop_px", "temperature")
    members = Members(value, where, required=required, optional=("views", "attributes", "least_contrast"))
    attributes = members.value("attributes")
    return ClassifierSettings(
        um_per_px=members.number("um_per_px", *_UM_PER_PX),
        crop_px=members.whole("crop_px", *_CROP_PX),
        labels=labels,
        temperature=members.number("temperature", *_TEMPERATURE),
        views=1 if members.value("views") is None else members.whole("views", 1, _VIEWS),
        attributes={} if attributes is None else _attributes(attributes, f"{where}: attributes"),
        least_contrast=0.0 if members.value("least_contrast") is None else members.number("least_contrast", *_CONTRAST),
    )


def survey_settings(value: object, where: str) -> SurveySettings:
    """The settings of the survey; UserError, opening with ``where``, for what cannot be."""
    members = Members(value, where, required=_SURVEY.keys() - {"blue_share"}, optional=("blue_share",))
    given = [name for name in _SURVEY if members.value(name) is not None or name != "blue_share"]
    return SurveySettings(**{name: members.number(name, *_SURVEY[name]) for name in given})


def different_texts(values: tuple[str, ...], where: str) -> tuple[str, ...]:
    """``values`` as they are; UserError unless they are different, printable and at least one."""
    if not values or len(set(values)) != len(values) or not all(value.isprintable() for value in values):
        raise UserError(f"{where} must be different and at least one, in letters that can be printed.")
    return values


def _attributes(value: object, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: must be an object.")
    members = Members(value, where, required=value)
    return {name: different_texts(members.texts(name), f"{where}: {name}") for name in value}


def _kind(value: object, where: str) -> int:
    return Members({"kind": value}, f"{where}: counted_kinds", required=("kind",)).whole("kind", 0, _MOST_KINDS)
