"""A model of plain arrays on disk: ``NAME.skops`` (the arrays) and ``NAME.json`` (what it is, how made)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sklearn
import skops

from marrow_models.diagnosis.skops_file import LARGEST_BYTES, dump_content, load_content
from marrow_models.errors import BundleError, UserError
from marrow_models.strict_json import Members, digest_of, read_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
INTENDED_USE = "For Research Use Only. Not for use in diagnostic procedures."

_MEMBERS = ("format", "intended_use", "weights_sha256", "libraries")


@dataclass(frozen=True, slots=True)
class ArrayModel:
    """What a folder holds."""

    arrays: Mapping[str, NDArray[np.float64]]
    description: Members
    digest: str


def save_arrays(
    folder: Path, name: str, arrays: Mapping[str, NDArray[np.float64]], description: Mapping[str, object]
) -> str:
    """Write a model into ``folder`` and return its digest. Equal models give equal files.

    The description is written last and each file is replaced as a whole, so a reader never sees a half model.
    """
    data = dump_content({key: np.ascontiguousarray(values) for key, values in arrays.items()})
    whole: dict[str, object] = {
        "format": FORMAT,
        "intended_use": INTENDED_USE,
        **description,
        "weights_sha256": hashlib.sha256(data).hexdigest(),
        "libraries": {"scikit-learn": sklearn.__version__, "skops": skops.__version__},
    }
    text = json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{name}.skops", data)
    _replace(folder / f"{name}.json", text.encode("utf-8"))
    return digest_of(json.loads(text))


def load_arrays(folder: Path, name: str, members: tuple[str, ...], digest: str | None = None) -> ArrayModel:
    """Return the model ``name`` in ``folder``, whose description has ``members`` besides the common ones.

    BundleError when a file is missing or altered, of another format, holds anything but float arrays, or when
    ``digest`` is given and is not the model's. Nothing but arrays is ever built from the file.
    """
    where = f"{folder.name}/{name}.json"
    try:
        content = read_object(folder / f"{name}.json")
        description = Members(content, where, required=(*_MEMBERS, *members))
        if description.whole("format", 1, 1_000_000) != FORMAT:
            raise BundleError(f"{where}: of format {description.value('format')}, not {FORMAT}; train the model again.")
        expected = description.text("weights_sha256")
    except UserError as error:
        raise BundleError(str(error)) from error
    found = digest_of(content)
    if digest is not None and digest != found:
        raise BundleError(f"{where}: has the digest {found[:12]}, expected was {digest[:12]}; it was replaced.")
    weights = f"{folder.name}/{name}.skops"
    arrays = load_content(_checked(folder / f"{name}.skops", expected, weights), weights)
    floats = {
        key: value for key, value in arrays.items() if isinstance(value, np.ndarray) and value.dtype == np.float64
    }
    if len(floats) != len(arrays):
        raise BundleError(f"{weights}: holds something else than float arrays; train the model again.")
    return ArrayModel(floats, description, found)


def _checked(path: Path, expected: str, where: str) -> bytes:
    """Return the bytes that were checked: read once, so that what is parsed is what was hashed."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{where}: cannot be read ({error.strerror}); train the model again.") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise BundleError(f"{where}: does not have the SHA-256 of its description; it was altered or is not whole.")
    return data


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    partial.replace(path)
