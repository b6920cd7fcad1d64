"""Model bundles: MONAI's layout, safetensors weights, digests checked before anything is used.

    NAME/configs/metadata.json     what it is, settings, digests of all other files
    NAME/configs/inference.json    the networks, by allow-listed name and plain arguments
    NAME/models/*.safetensors      weights
    NAME/diagnosis/                the model of the suggestion (skops)
    NAME/docs/README.md            the model card

Nothing in a bundle is executed: no pickle, no expression, no class that is not in ``NETWORKS``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from marrow_models.errors import BundleError, Reason, SlideRefused
from marrow_models.model_settings import ClassifierSettings, DetectorSettings, SurveySettings

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
DETECTOR = "models/detector.safetensors"
CLASSIFIER = "models/classifier.safetensors"
DIAGNOSIS = "diagnosis"
SHIPPED = Path(__file__).parent / "bundles"
_LARGEST_DOCUMENT_BYTES = 1 << 20
PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"})


@dataclass(frozen=True)
class Bundle:
    """A checked bundle. Cheap: weights are read by :func:`marrow_models.networks.loading.load_networks`."""

    path: Path
    name: str
    version: str
    digest: str
    """SHA-256 of the metadata, which hold the digests of all other files."""
    files: Mapping[str, str]
    """Relative name to SHA-256."""
    labels: tuple[str, ...]
    """The K classes of the classifier, in the order of its outputs."""
    taxonomy: str
    slide_um_per_px: tuple[float, float]
    """Finest and coarsest slide that the models may read."""
    detector: DetectorSettings
    classifier: ClassifierSettings
    survey: SurveySettings
    licence: str

    @property
    def detector_digest(self) -> str:
        """Digest of the detector's weights."""
        return self.files[DETECTOR]

    @property
    def classifier_digest(self) -> str:
        """Digest of the classifier's weights."""
        return self.files[CLASSIFIER]

    @property
    def diagnosis_path(self) -> Path:
        """Folder of the diagnosis model."""
        return self.path / DIAGNOSIS

    @cached_property
    def networks(self) -> Mapping[str, Any]:
        """The network definitions of ``configs/inference.json``, digest checked."""
        content: dict[str, Any] = json.loads(self.read(INFERENCE))
        return content

    def read(self, name: str) -> bytes:
        """The bytes of a file of the bundle; BundleError unless they are those that its metadata promise."""
        try:
            data = (self.path / name).read_bytes()
        except OSError:
            raise BundleError(f"Bundle {self.name}: {name} is missing. Install the bundle again.") from None
        if hashlib.sha256(data).hexdigest() != self.files.get(name):
            raise BundleError(f"Bundle {self.name}: {name} is not the file it was made with. Install the bundle again.")
        return data

    def check_scale(self, um_per_px: float) -> None:
        """Raise :class:`SlideRefused` for a slide that is too coarse or too fine for the models."""
        finest, coarsest = self.slide_um_per_px
        if not finest <= um_per_px <= coarsest:
            raise SlideRefused(
                Reason.MPP_OUT_OF_RANGE, f"{um_per_px:.3f} um/px, the models read {finest:.3f} to {coarsest:.3f}"
            )


def shipped_bundles() -> tuple[str, ...]:
    """Names of the bundles that come with Marrow."""
    return tuple(sorted(path.parent.parent.name for path in SHIPPED.glob(f"*/{METADATA}")))


def load_bundle(name_or_path: str | Path) -> Bundle:
    """A shipped bundle by its name, or the one in a folder.

    Raises
    ------
    BundleError
        It is not there, incomplete, altered, holds a pickle, or says something that cannot be.
    """
    path = Path(name_or_path) if Path(name_or_path).is_absolute() else SHIPPED / name_or_path
    if not path.is_dir() and Path(name_or_path).is_dir():
        path = Path(name_or_path).resolve()
    document = path / METADATA
    if not document.is_file():
        raise BundleError(
            f"There is no model bundle {str(name_or_path)!r}. "
            f"Shipped: {', '.join(shipped_bundles())}; or give a folder."
        )
    _refuse_pickles(path)
    if document.stat().st_size > _LARGEST_DOCUMENT_BYTES:
        raise BundleError(f"Bundle {path.name}: {METADATA} is larger than any that Marrow writes.")
    data = document.read_bytes()
    try:
        bundle = _parse(path, hashlib.sha256(data).hexdigest(), json.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"Bundle {path.name}: {METADATA} is not that of a Marrow bundle ({error}).") from None
    for name in bundle.files:
        bundle.read(name)
    return bundle


@lru_cache(maxsize=8)
def load_exactly(path: Path, digest: str) -> Bundle:
    """The bundle in a folder, checked once a process.

    BundleError when it is not the one of ``digest``: results would be stored under the name of other models.
    """
    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(f"Bundle {bundle.name} is not the one that the run was started with. Start the run again.")
    return bundle


def _refuse_pickles(path: Path) -> None:
    found = sorted(p.name for p in path.rglob("*") if p.suffix.lower() in PICKLE_SUFFIXES or p.is_symlink())
    if found:
        raise BundleError(
            f"Bundle {path.name} holds {found[0]}: pickles and links are not loaded, whatever they promise. "
            "Convert the weights to safetensors."
        )


def _parse(path: Path, digest: str, content: dict[str, Any]) -> Bundle:
    marrow = content["marrow"]
    labels = tuple(str(label) for label in marrow["labels"])
    if not labels or len(set(labels)) != len(labels):
        raise ValueError("labels must be different and at least one")
    files = {str(name): str(value) for name, value in marrow["files"].items()}
    for name in (INFERENCE, DETECTOR, CLASSIFIER):
        if name not in files:
            raise ValueError(f"no digest of {name}")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in files):
        raise ValueError("a file outside of the bundle")
    finest, coarsest = (_positive(value) for value in marrow["slide_um_per_px"])
    detector = dict(marrow["detector"])
    detector["counted_kinds"] = tuple(detector.get("counted_kinds", (0,)))
    classifier = dict(marrow["classifier"])
    classifier["attributes"] = {str(k): tuple(map(str, v)) for k, v in classifier.get("attributes", {}).items()}
    return Bundle(
        path=path,
        name=str(content["name"]),
        version=str(content["version"]),
        digest=digest,
        files=files,
        labels=labels,
        taxonomy=str(marrow["taxonomy"]),
        slide_um_per_px=(finest, coarsest),
        detector=DetectorSettings(**detector),
        classifier=ClassifierSettings(labels=labels, **classifier),
        survey=SurveySettings(**marrow["survey"]),
        licence=str(content["copyright"]),
    )


def _positive(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{value!r} is not a size")
    return float(value)
