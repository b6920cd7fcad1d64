"""JSON from files that people edit: read strictly, refused with one clear sentence. Standard library only."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LARGEST_BYTES = 4 * 1024 * 1024
"""No taxonomy, rule set or model description comes near this."""


def parse_object(data: bytes, where: str) -> dict[str, object]:
    """Return the JSON object in ``data``; ``where`` names the file in the message of the UserError.

    Refused: anything but one UTF-8 object, a key given twice, NaN or infinity, nesting without end, half of a
    surrogate pair (no file, database or terminal takes such a text).
    """
    if len(data) > LARGEST_BYTES:
        raise UserError(f"{where}: larger than {LARGEST_BYTES} bytes; this is not a file that Marrow wrote or reads.")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise UserError(f"{where}: nested too deeply to be read.") from error
    except ValueError as error:  # covers undecodable text, bad JSON, doubled keys and endless numbers
        raise UserError(f"{where}: not valid JSON ({error}). Correct the file.") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: must hold one JSON object, not {_kind(value)}.")
    return value


def read_object(path: Path) -> dict[str, object]:
    """Return the JSON object in the file ``path``; UserError when it cannot be read or is not one."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        cause = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read ({cause}). Check the name and the permissions.") from error
    return parse_object(data, path.name)


def digest_of(value: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the content: the same for any order of keys and any white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Members:
    """The members of one JSON object, taken out by type. ``where`` (file and place) opens every message."""

    def __init__(self, value: object, where: str, *, required: Iterable[str], optional: Iterable[str] = ()) -> None:
        if not isinstance(value, dict):
            raise UserError(f"{where}: must be an object, not {_kind(value)}.")
        self.where = where
        self._values: dict[str, object] = value
        needed = frozenset(required)
        if missing := sorted(needed - value.keys()):
            raise UserError(f"{where}: {', '.join(missing)} missing.")
        if unknown := sorted(value.keys() - needed - frozenset(optional)):
            raise UserError(f"{where}: unknown member {', '.join(unknown)}; known are {_listing(needed, optional)}.")

    def text(self, key: str) -> str:
        """Return a string that is not empty."""
        value = self._values[key]
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{self.where}: {key} must be a text that is not empty.")
        return value

    def optional_text(self, key: str) -> str | None:
        """Return a string that is not empty, or None where the member is absent or null."""
        return None if self._values.get(key) is None else self.text(key)

    def one_of(self, key: str, choices: Iterable[str]) -> str:
        """Return a string out of ``choices``."""
        value, known = self._values[key], tuple(choices)
        if not isinstance(value, str) or value not in known:
            raise UserError(f"{self.where}: {key} must be one of {', '.join(known)}, not {json.dumps(value)[:80]}.")
        return value

    def optional_one_of(self, key: str, choices: Iterable[str]) -> str | None:
        """Return a string out of ``choices``, or None where the member is absent or null."""
        return None if self._values.get(key) is None else self.one_of(key, choices)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self._values[key]
        if not isinstance(value, bool):
            raise UserError(f"{self.where}: {key} must be true or false.")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """Return a number with low <= number <= high."""
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise UserError(f"{self.where}: {key} must be a number from {low:g} to {high:g}.")
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int:
        """Return a whole number with low <= number <= high."""
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"{self.where}: {key} must be a whole number from {low} to {high}.")
        return value

    def items(self, key: str) -> list[object]:
        """Return a list; empty where the member is absent."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise UserError(f"{self.where}: {key} must be a list.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings that are not empty; an empty tuple where the member is absent."""
        values = self.items(key)
        texts = tuple(value for value in values if isinstance(value, str) and value.strip())
        if len(texts) != len(values):
            raise UserError(f"{self.where}: {key} must be a list of texts that are not empty.")
        return texts

    def value(self, key: str) -> object:
        """Return the member as it is; None where it is absent."""
        return self._values.get(key)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is given twice in one object")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _kind(value: object) -> str:
    names = {
        type(None): "null",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
    }
    return names.get(type(value), "an object")


def _listing(required: Iterable[str], optional: Iterable[str]) -> str:
    return ", ".join(sorted({*required, *optional}))
