"""What a bundle says about its models besides their weights. Light: no network is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ANALYSIS_VERSION = "1"
"""Version of the method of survey, detection and classification. Raise it when the same slide and models would give
other cells: results of different versions have different keys and stand beside each other in the warehouse."""

LARGEST_CONTRAST = 1.0
"""Local contrast that may be asked for: sharpened pictures have a third of it."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How the detector's maps become boxes."""

    um_per_px: float
    score_threshold: float
    largest_um: float
    """No box is larger."""
    duplicate_um: float
    """How far the centres of two boxes on one object can lie apart."""
    counted_kinds: tuple[int, ...] = (0,)
    """Object kinds that are classified and counted: nucleated cells."""


@dataclass(frozen=True, slots=True)
class ClassifierSettings:
    """What a crop is, and what its scores mean."""

    um_per_px: float
    crop_px: int
    labels: tuple[str, ...]
    temperature: float
    """Divides the scores before the softmax: 1 leaves the network's confidence as it is."""
    views: int = 1
    """How many of the eight ways to lay a crop down are looked at; their scores are averaged."""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Morphology attributes that the network tells besides the class: name to values, in the order of its outputs."""
    least_contrast: float = 0.0
    """Local contrast up to which softer crops are sharpened; 0: none is. See :mod:`marrow_models.local_contrast`."""


@dataclass(frozen=True, slots=True)
class SurveySettings:
    """What the survey takes for a nucleus and for a readable field."""

    um_per_px: float
    field_um: float
    """Side of a field."""
    nucleus_um2: float
    """Typical area of what the survey takes for one nucleus."""
    nucleus_density: float
    """Optical density in red light, less ``blue_share`` of that in blue light, from which a pixel may be nucleus."""
    largest_dark_share: float
    """A field with more nuclear area than this is a clot or a crush, not a monolayer."""
    least_sharpness: float
    """Edge steepness (share of the contrast per um) below which a field is out of focus."""
    blue_share: float = 0.0
    """How much of the density in blue light is taken off: red cells absorb blue light, nuclei red light."""
