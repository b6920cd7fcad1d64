"""Room for a night: every folder that it writes can be written, and its disk has space."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from marrow_models.errors import UserError
from tasks.home import Home


class NoRoom(UserError):
    """A disk of HOME is full or cannot be written, so that no night is started."""

    exit_code = 1


def check_room(home: Home, least_free_bytes: int) -> int:
    """The least free space, bytes, among the disks under HOME. Raises :class:`NoRoom` that says where what is missing.

    Folders of HOME may be disks of their own: each one is looked at.
    """
    free = {name: _free_bytes(name, folder) for name, folder in _folders(home).items()}
    short = [f"{name} has {_mib(space)}" for name, space in free.items() if space < least_free_bytes]
    if short:
        raise NoRoom(
            f"Too little space for a night under HOME: {', '.join(short)}; each needs {_mib(least_free_bytes)}. "
            "Free space, or lower least_free_bytes."
        )
    return min(free.values())


def _folders(home: Home) -> dict[str, Path]:
    # The embedded orchestrator has its database there; a server elsewhere looks after its own disk.
    own_server = {"prefect": home.prefect} if home.prefect.is_dir() else {}
    return own_server | {
        "slides": home.slides,
        "warehouse": home.warehouse.parent,
        "work": home.work,
        "published": home.published,
        "validation": home.validation,
        "scratch": home.scratch,
    }


def _free_bytes(name: str, folder: Path) -> int:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise NoRoom(f"HOME/{name} cannot be written: check its owner, and whether its disk is mounted read-only.")
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise NoRoom(f"HOME/{name} cannot be used ({error.strerror}): check its disk.") from None


def _mib(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
