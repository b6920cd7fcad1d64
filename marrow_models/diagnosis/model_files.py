"""A diagnosis model on disk: ``diagnosis.skops`` (coefficients) and ``diagnosis.json`` (what it is, how made)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sklearn
import skops
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from marrow_models.diagnosis.features import FEATURES
from marrow_models.diagnosis.model import DiagnosisModel
from marrow_models.diagnosis.novelty import Novelty
from marrow_models.diagnosis.skops_file import LARGEST_BYTES, array, dump_content, load_content
from marrow_models.errors import BundleError, UserError
from marrow_models.strict_json import Members, digest_of, read_object

if TYPE_CHECKING:
    from collections.abc import Mapping

DESCRIPTION_FILE = "diagnosis.json"
WEIGHTS_FILE = "diagnosis.skops"
FORMAT = 1
INTENDED_USE = "For Research Use Only. Not for use in diagnostic procedures."

_STEPS = (("scale", StandardScaler), ("logistic", LogisticRegression))
_MEMBERS = (
    "format",
    "intended_use",
    "classes",
    "features",
    "least_probability",
    "novelty_limit",
    "weights_sha256",
    "taxonomy",
    "training",
    "figures",
    "libraries",
)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """How a model was made, kept beside it. JSON values only."""

    taxonomy: Mapping[str, object]
    training: Mapping[str, object]
    figures: Mapping[str, object]


def save_model(folder: Path, model: DiagnosisModel, record: ModelRecord) -> DiagnosisModel:
    """Write ``model`` into ``folder`` and return it with its digest. Equal models give equal files.

    The description is written last and each file is replaced as a whole, so a reader never sees a half model:
    a description that does not fit its weights is refused.
    """
    novelty = model.novelty
    content = {"pipeline": model.pipeline, "means": novelty.means, "precisions": novelty.precisions}
    data = dump_content(content)
    description: dict[str, object] = {
        "format": FORMAT,
        "intended_use": INTENDED_USE,
        "classes": list(model.classes),
        "features": list(FEATURES),
        "least_probability": model.least_probability,
        "novelty_limit": novelty.limit,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "taxonomy": dict(record.taxonomy),
        "training": dict(record.training),
        "figures": dict(record.figures),
        "libraries": {"scikit-learn": sklearn.__version__, "skops": skops.__version__},
    }
    text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / WEIGHTS_FILE, data)
    _replace(folder / DESCRIPTION_FILE, text.encode("utf-8"))
    return replace(model, digest=digest_of(json.loads(text)))


def load_model(folder: Path, digest: str | None = None) -> DiagnosisModel:
    """Return the model in ``folder``.

    BundleError when a file is missing, altered by as much as a byte, of another format or set of features,
    holds anything but the types of such a model, or when ``digest`` is given and is not the model's.
    """
    where = f"{Path(folder).name}/{DESCRIPTION_FILE}"
    try:
        description = read_object(Path(folder) / DESCRIPTION_FILE)
        members = Members(description, where, required=_MEMBERS)
        if members.whole("format", 1, 1_000_000) != FORMAT:
            raise BundleError(f"{where}: of format {members.value('format')}, not {FORMAT}; train the model again.")
        classes, features = members.texts("classes"), members.texts("features")
        least, limit = members.number("least_probability", 0, 1), members.number("novelty_limit", 0, 1e9)
        expected = members.text("weights_sha256")
    except UserError as error:
        raise BundleError(str(error)) from error
    if features != FEATURES:
        raise BundleError(f"{where}: made for other features than this version computes; train the model again.")
    if len(set(classes)) != len(classes) or len(classes) < 3:
        raise BundleError(f"{where}: classes must be three or more different diagnoses; train the model again.")
    found = digest_of(description)
    if digest is not None and digest != found:
        raise BundleError(
            f"{where}: has the digest {found[:12]}, expected was {digest[:12]}; it was altered or replaced."
        )
    content = load_content(_weights(Path(folder) / WEIGHTS_FILE, expected), f"{Path(folder).name}/{WEIGHTS_FILE}")
    return _model(content, classes, least, limit, found, f"{Path(folder).name}/{WEIGHTS_FILE}")


def _weights(path: Path, expected: str) -> bytes:
    """Return the bytes that were checked: read once, so that what is parsed is what was hashed."""
    where = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{where}: cannot be read ({error.strerror}); train the model again.") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise BundleError(f"{where}: does not have the SHA-256 of its description; it was altered or is not whole.")
    return data


def _model(
    content: Mapping[str, object], classes: tuple[str, ...], least: float, limit: float, digest: str, where: str
) -> DiagnosisModel:
    pipeline, size = content.get("pipeline"), len(FEATURES)
    if not isinstance(pipeline, Pipeline):
        raise BundleError(f"{where}: holds no pipeline; train the model again.")
    steps = tuple((name, type(step)) for name, step in pipeline.steps)
    if steps != _STEPS:
        raise BundleError(f"{where}: the steps of the pipeline are not those of a diagnosis model; train it again.")
    scaler, logistic = (vars(step) for _, step in pipeline.steps)
    array(scaler, "mean_", (size,), where)
    array(scaler, "scale_", (size,), where)
    array(logistic, "coef_", (len(classes), size), where)
    array(logistic, "intercept_", (len(classes),), where)
    if tuple(np.asarray(logistic.get("classes_")).tolist()) != classes:
        raise BundleError(f"{where}: holds other classes than its description; train the model again.")
    means = array(content, "means", (len(classes), size), where)
    precisions = array(content, "precisions", (len(classes), size, size), where)
    return DiagnosisModel(classes, pipeline, Novelty(means, precisions, limit), least, digest)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
