"""Keyed hashes that stand for patients and files, so that no identifier leaves the inbox."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from marrow_models.errors import UserError

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """HMAC-SHA256 under the laboratory's key: the same patient has the same hash, and no way back without the key."""

    key: bytes = field(repr=False)

    def patient(self, patient_id: str) -> str:
        """``p`` and 24 hex digits for a patient."""
        return "p" + self._digest("patient", patient_id)[:24]

    def entry(self, relative_name: str) -> str:
        """``e`` and 24 hex digits for an inbox entry that has no content to be known by."""
        return "e" + self._digest("entry", relative_name)[:24]

    def fingerprint(self, relative_name: str, size_bytes: int, mtime_ns: int) -> str:
        """64 hex digits for a file as it was seen: the same unless its name, size or time changed."""
        return self._digest("file", f"{relative_name}\0{size_bytes}\0{mtime_ns}")

    def text(self, value: str) -> str:
        """24 hex digits for any other text."""
        return self._digest("text", value)[:24]

    def _digest(self, purpose: str, value: str) -> str:
        return hmac.new(self.key, f"{purpose}\0{value}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def load_pseudonyms(key_file: Path) -> Pseudonyms:
    """Read the key, making it (mode 0600) if there is none yet.

    Raises :class:`UserError` when the file is readable by others, is not a key, or cannot be read or made.
    """
    try:
        _make_key_once(key_file)
        if stat.S_IMODE(key_file.stat().st_mode) & 0o077:
            raise UserError(f"{key_file} may be read by others. Run: chmod 600 {key_file}")
        key = bytes.fromhex(key_file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{key_file} is not a usable pseudonym key ({type(error).__name__}). Restore it from its backup: "
            "with another key, patients of earlier nights would get other pseudonyms."
        ) from None
    if len(key) != KEY_BYTES:
        raise UserError(f"{key_file} holds {len(key)} bytes, not {KEY_BYTES}. Restore the key from its backup.")
    return Pseudonyms(key)


def _make_key_once(key_file: Path) -> None:
    if key_file.exists():
        return
    key_file.parent.mkdir(parents=True, exist_ok=True)
    partial = key_file.with_name(f"{key_file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, key_file)  # fails if another process made the key first: then that one counts
        except FileExistsError:
            return
    finally:
        partial.unlink()
