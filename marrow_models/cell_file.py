"""A table of cells as bytes: what was put in comes out bit for bit, or is refused. Arrays only, never code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile

import numpy as np

from marrow_models.errors import MarrowError
from marrow_models.records import CellAttribute, CellTable

MAGIC = b"marrow cells 1\n"
_COLUMNS = (
    "x_um",
    "y_um",
    "width_um",
    "height_um",
    "detection_score",
    "probabilities",
    "field_id",
    "near_missing",
)


class CellFileError(MarrowError):
    """The bytes are torn, altered, or are the cells of something else."""


def pack_cells(cells: CellTable, identity: str) -> bytes:
    """``cells`` as bytes that know what they are the cells of (``identity``) and carry their own SHA-256."""
    arrays = {name: getattr(cells, name) for name in _COLUMNS}
    for number, attribute in enumerate(cells.attributes.values()):
        arrays[f"attribute_{number}_index"] = attribute.index
        arrays[f"attribute_{number}_confidence"] = attribute.confidence
    values = [[name, list(attribute.values)] for name, attribute in cells.attributes.items()]
    about = json.dumps({"identity": identity, "labels": list(cells.labels), "attributes": values})
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, about=np.frombuffer(about.encode(), np.uint8), **arrays)
    body = buffer.getvalue()
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack_cells(data: bytes, identity: str) -> CellTable:
    """The cells that :func:`pack_cells` packed under the same ``identity``. Raises :class:`CellFileError`."""
    start = len(MAGIC) + hashlib.sha256().digest_size
    body = data[start:]
    if data[: len(MAGIC)] != MAGIC or data[len(MAGIC) : start] != hashlib.sha256(body).digest():
        raise CellFileError("the file of cells is torn or altered")
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            if about["identity"] != identity:
                raise CellFileError("the file holds the cells of something else")
            attributes = {
                name: CellAttribute(
                    tuple(values), arrays[f"attribute_{number}_index"], arrays[f"attribute_{number}_confidence"]
                )
                for number, (name, values) in enumerate(about["attributes"])
            }
            columns = {name: arrays[name] for name in _COLUMNS}
            return CellTable(**columns, labels=tuple(about["labels"]), attributes=attributes)
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise CellFileError("the file of cells is of another form") from error
