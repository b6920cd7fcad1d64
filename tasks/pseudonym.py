"""Keyed hashes that stand for patients and files, so that no identifier leaves the inbox."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from marrow_models.errors import UserError

KEY_BYTES = 32


FORMS = {"patient": ("p", 24), "entry": ("e", 24), "file": ("", 64), "diagnosis": ("d", 32), "text": ("", 24)}
"""Kind of pseudonym to its first letter and number of hex digits."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """HMAC-SHA256 under the laboratory's key: the same patient has the same hash, and no way back without the key.

    After a rotation there are several keys. Each later one is applied to the pseudonym that the earlier ones gave, so
    that what is stored can be brought forward without any patient's id, and whoever knows the old keys alone can
    compute no present pseudonym.
    """

    key: bytes = field(repr=False)
    later: tuple[bytes, ...] = field(default=(), repr=False)
    """Keys of later rotations, oldest first."""

    def patient(self, patient_id: str) -> str:
        """``p`` and 24 hex digits for a patient."""
        return self._pseudonym("patient", patient_id)

    def entry(self, relative_name: str) -> str:
        """``e`` and 24 hex digits for an inbox entry that has no content to be known by."""
        return self._pseudonym("entry", relative_name)

    def fingerprint(self, relative_name: str, size_bytes: int, mtime_ns: int) -> str:
        """64 hex digits for a file as it was seen: the same unless its name, size or time changed."""
        return self._pseudonym("file", f"{relative_name}\0{size_bytes}\0{mtime_ns}")

    def text(self, value: str) -> str:
        """24 hex digits for any other text."""
        return self._pseudonym("text", value)

    @property
    def generation(self) -> int:
        """How many keys there are: 1 before the first rotation."""
        return 1 + len(self.later)

    @property
    def key_id(self) -> str:
        """16 hex digits by which a warehouse knows the key it was made with; they tell nothing about it."""
        return self._key_id(self.generation)

    def generation_of(self, key_id: str) -> int | None:
        """At which of its generations this key had a mark; None for the mark of another key."""
        return next((g for g in range(1, self.generation + 1) if self._key_id(g) == key_id), None)

    def renewed(self, kind: str, pseudonym: str, since: int) -> str:
        """A pseudonym of generation ``since`` as it is now."""
        for key in self.later[since - 1 :]:
            pseudonym = _form(kind, _hmac(key, kind, pseudonym))
        return pseudonym

    def _pseudonym(self, kind: str, value: str) -> str:
        return self.renewed(kind, _form(kind, _hmac(self.key, kind, value)), 1)

    def _key_id(self, generation: int) -> str:
        keys = (self.key, *self.later)[:generation]
        return _hmac(keys[-1], "key id", str(generation))[:16]


def _hmac(key: bytes, purpose: str, value: str) -> str:
    return hmac.new(key, f"{purpose}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _form(kind: str, digest: str) -> str:
    letter, digits = FORMS[kind]
    return letter + digest[:digits]


def load_pseudonyms(key_file: Path, *, make: bool = True) -> Pseudonyms:
    """Read the key, making it (mode 0600) if there is none yet and ``make`` is set.

    Raises :class:`UserError` when the file is readable by others, is not a key, or cannot be read or made.
    """
    try:
        if make:
            make_key_once(key_file)
        elif not key_file.exists():
            raise UserError(
                f"There is no pseudonym key at {key_file}. Restore it from its backup or mount its folder; for a new "
                "laboratory make one with `marrow init`."
            )
        if stat.S_IMODE(key_file.stat().st_mode) & 0o077:
            raise UserError(f"{key_file} may be read by others. Run: chmod 600 {key_file}")
        keys = [bytes.fromhex(line) for line in key_file.read_text(encoding="ascii").split()]
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key_file} is not a usable pseudonym key ({type(error).__name__}). Restore it from its backup: "
            "with another key, patients of earlier nights would get other pseudonyms."
        ) from None
    for key in keys or [b""]:
        if len(key) != KEY_BYTES:
            raise UserError(f"{key_file} holds {len(key)} bytes, not {KEY_BYTES}. Restore the key from its backup.")
    return Pseudonyms(keys[0], tuple(keys[1:]))


def add_key(key_file: Path) -> Pseudonyms:
    """Rotate: add a new key to those in the file, all at once; the file is never without a whole key."""
    before = load_pseudonyms(key_file, make=False)
    lines = [key.hex() for key in (before.key, *before.later)] + [secrets.token_hex(KEY_BYTES)]
    with _partial(key_file, lines) as partial:
        partial.replace(key_file)
    return load_pseudonyms(key_file, make=False)


def make_key_once(key_file: Path) -> bool:
    """Make the key if there is none; whether it was made. An existing file is never touched."""
    if key_file.exists():
        return False
    key_file.parent.mkdir(parents=True, exist_ok=True)
    with _partial(key_file, [secrets.token_hex(KEY_BYTES)]) as partial:
        try:
            os.link(partial, key_file)  # fails if another process made the key first: then that one counts
        except FileExistsError:
            return False
    return True


@contextmanager
def _partial(key_file: Path, lines: list[str]) -> Iterator[Path]:
    """A file beside the key with these lines, for its owner only; removed afterwards where it is still there."""
    partial = key_file.with_name(f"{key_file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)
