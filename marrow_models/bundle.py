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
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from marrow_models.bundle_settings import classifier_settings, detector_settings, different_texts, survey_settings
from marrow_models.errors import BundleError, Reason, SlideRefused, UserError
from marrow_models.model_settings import ClassifierSettings, DetectorSettings, SurveySettings
from marrow_models.strict_json import Members, parse_object

METADATA = "configs/metadata.json"
INFERENCE = "configs/inference.json"
DETECTOR = "models/detector.safetensors"
CLASSIFIER = "models/classifier.safetensors"
DIAGNOSIS = "diagnosis"
SHIPPED = Path(__file__).parent / "bundles"
_LARGEST_DOCUMENT_BYTES = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
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
        """The network definitions of ``configs/inference.json``, digest checked; BundleError where it is no object."""
        try:
            return parse_object(self.read(INFERENCE), INFERENCE)
        except UserError as error:
            raise BundleError(f"Bundle {self.name}: {error}") from None

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
        bundle = _parse(path, hashlib.sha256(data).hexdigest(), parse_object(data, METADATA))
    except UserError as error:
        raise BundleError(f"Bundle {path.name}: {METADATA} is not that of a Marrow bundle ({error})") from None
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


def _parse(path: Path, digest: str, content: dict[str, object]) -> Bundle:
    texts = Members(content, METADATA, required=("name", "version", "copyright", "marrow"), optional=content)
    marrow = Members(
        content["marrow"],
        f"{METADATA}: marrow",
        required=("taxonomy", "labels", "slide_um_per_px", "detector", "classifier", "survey", "files"),
    )
    name, version = different_texts((texts.text("name"),), "name"), different_texts((texts.text("version"),), "version")
    labels = different_texts(marrow.texts("labels"), "labels")
    return Bundle(
        path=path,
        name=name[0],
        version=version[0],
        digest=digest,
        files=_files(marrow.value("files")),
        labels=labels,
        taxonomy=marrow.text("taxonomy"),
        slide_um_per_px=_range(marrow.items("slide_um_per_px")),
        detector=detector_settings(marrow.value("detector"), "detector"),
        classifier=classifier_settings(marrow.value("classifier"), labels, "classifier"),
        survey=survey_settings(marrow.value("survey"), "survey"),
        licence=texts.text("copyright"),
    )


def _files(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UserError("files must be an object of names and digests.")
    for name in (INFERENCE, DETECTOR, CLASSIFIER):
        if name not in value:
            raise UserError(f"no digest of {name}.")
    for name, digest in value.items():
        if Path(name).is_absolute() or ".." in Path(name).parts or not name.isprintable():
            raise UserError("a file outside of the bundle.")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise UserError(f"the digest of {name} is no SHA-256.")
    return value


def _range(values: list[object]) -> tuple[float, float]:
    """Finest and coarsest um/px, in this order."""
    if len(values) != 2:
        raise UserError("slide_um_per_px must be two sizes.")
    members = Members(
        dict(zip(("finest", "coarsest"), values, strict=True)),
        "slide_um_per_px",
        required=("finest",),
        optional=("coarsest",),
    )
    finest, coarsest = (members.number(key, 0.001, 1000.0) for key in ("finest", "coarsest"))
    if finest > coarsest:
        raise UserError("slide_um_per_px must be the finest and then the coarsest.")
    return finest, coarsest
