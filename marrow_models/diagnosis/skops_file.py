"""skops archives that can be trusted: written the same for the same content, read against a literal list of types.

skops does not unpickle, but it builds every object that an archive names out of the libraries it trusts.
Here only the few types that the diagnosis model consists of are let through, before skops sees the file.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from marrow_models.errors import BundleError, UserError
from marrow_models.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_BYTES = 4 * 1024 * 1024
"""Of the archive, and of what it unpacks to. A model of this kind takes about 100 kB."""

ALLOWED_NODES = frozenset(
    {
        ("builtins", "dict", "DictNode"),
        ("builtins", "list", "ListNode"),
        ("builtins", "tuple", "TupleNode"),
        ("builtins", "str", "JsonNode"),
        ("builtins", "str", "TypeNode"),
        ("numpy", "ndarray", "NdArrayNode"),
        ("numpy", "float64", "NdArrayNode"),
        ("numpy", "int64", "NdArrayNode"),
        ("sklearn.pipeline", "Pipeline", "ObjectNode"),
        ("sklearn.preprocessing._data", "StandardScaler", "ObjectNode"),
        ("sklearn.linear_model._logistic", "LogisticRegression", "ObjectNode"),
    }
)
"""(module, class, loader of skops) of everything that may be in an archive."""

_ZIP_MAGIC = b"PK\x03\x04"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
# What zipfile, zlib, numpy and skops raise on an archive that somebody has worked on; found by altering bytes.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    LookupError,
    ArithmeticError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
)


def dump_content(content: Mapping[str, object]) -> bytes:
    """Return the archive of ``content``; equal content gives equal bytes.

    skops names its members by memory addresses and stamps them with the time; both are replaced.
    """
    raw = skops.io.dumps(dict(content))
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        schema = source.read("schema.json").decode("utf-8")
        numbers: dict[str, str] = {}
        schema = re.sub(r'("__id__": )(\d+)', lambda m: m[1] + numbers.setdefault(m[2], str(len(numbers) + 1)), schema)
        schema = re.sub(r'("file": ")(\d+)(\.npy")', lambda m: m[1] + numbers[m[2]] + m[3], schema)
        members = {f"{numbers[name.removesuffix('.npy')]}.npy": name for name in source.namelist() if name[0].isdigit()}
        for new in sorted(members):
            target.writestr(zipfile.ZipInfo(new, _EPOCH), source.read(members[new]), zipfile.ZIP_DEFLATED)
        target.writestr(zipfile.ZipInfo("schema.json", _EPOCH), schema, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def load_content(data: bytes, where: str) -> dict[str, object]:
    """Return the content of an archive of :func:`dump_content`.

    BundleError, opening with ``where``, for anything else: a pickle, a bomb, an archive with other types.
    Nothing that the file names is imported or built before all of it has been checked.
    """
    if len(data) > LARGEST_BYTES:
        raise BundleError(f"{where}: larger than {LARGEST_BYTES} bytes; not a diagnosis model of Marrow.")
    if not data.startswith(_ZIP_MAGIC):
        raise BundleError(f"{where}: not a skops archive. Pickles are never loaded; train the model again.")
    try:
        _check(data, where)
        content = skops.io.loads(data, trusted=[])
    except UserError as error:
        raise BundleError(str(error)) from error
    except UntrustedTypesFoundException as error:
        raise BundleError(f"{where}: holds types that are not trusted; train the model again.") from error
    except _BROKEN as error:
        raise BundleError(
            f"{where}: a damaged skops archive ({type(error).__name__}); train the model again."
        ) from error
    if not isinstance(content, dict):
        raise BundleError(f"{where}: holds no diagnosis model; train the model again.")
    return content


def array(content: Mapping[str, object], key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """Return the finite float array ``key`` of the given shape; BundleError otherwise."""
    value = content.get(key)
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype != np.float64:
        raise BundleError(f"{where}: {key} is not a float array of the shape {shape}; train the model again.")
    if not np.isfinite(value).all():
        raise BundleError(f"{where}: {key} holds values that are not finite; train the model again.")
    return value


def _check(data: bytes, where: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
            raise BundleError(f"{where}: unpacks to more than {LARGEST_BYTES} bytes; not a diagnosis model of Marrow.")
        schema = parse_object(archive.read("schema.json"), where)
    for node in _nodes(schema):
        named = (node.get("__module__"), node.get("__class__"), node.get("__loader__"))
        if named not in ALLOWED_NODES:
            raise BundleError(f"{where}: holds {named[0]}.{named[1]}, which no diagnosis model consists of.")
    if untrusted := skops.io.get_untrusted_types(data=data):
        raise BundleError(f"{where}: holds types that skops does not trust: {', '.join(untrusted)}.")


def _nodes(value: object) -> Iterator[dict[str, object]]:
    """Yield every object of the schema that skops would take for a node, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.keys() & {"__module__", "__class__", "__loader__"}:
                yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
