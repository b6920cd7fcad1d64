"""The writer's number: whoever opens the warehouse next takes a higher one, and the earlier holder may not go on.

The lock (:mod:`warehouse.writer_lock`) keeps two writers apart wherever locks work. This is for the rest: a process
that slept while its lock file was removed, or a file system whose locks do nothing. The number is in a file beside
the warehouse, because a DuckDB connection sees the database as its own process left it, never what another wrote;
the warehouse holds the same number, so that it goes on rising when the file is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marrow_models.errors import CannotWrite
from warehouse.files import replacing


class Fenced(CannotWrite):
    """Another writer has taken the warehouse since; nothing of this one may become visible any more."""


@dataclass(frozen=True, slots=True)
class Fence:
    """One writer's number. Small and picklable: workers check it before a store becomes visible."""

    path: Path
    token: int

    def check(self) -> None:
        """Raise :class:`Fenced` unless this is still the latest writer, also when that cannot be told."""
        latest = latest_token(self.path)
        if latest != self.token:
            raise Fenced(
                f"another run has taken the warehouse over (writer {latest or 'unknown'}, this is {self.token}): "
                "this one stops, and nothing more of it is stored."
            )


def fence_file(warehouse: Path) -> Path:
    """Where the number of the writer of a warehouse is."""
    return warehouse.with_name(warehouse.name + ".writer")


def latest_token(path: Path) -> int | None:
    """The number in the file; None when there is none that can be read."""
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None


def raise_fence(path: Path, stored: int) -> Fence:
    """Take the number after the one in the file and the one ``stored`` in the warehouse, and write the file."""
    fence = Fence(path, max(stored, latest_token(path) or 0) + 1)
    with replacing(path) as staged:
        staged.write_text(f"{fence.token}\n", "ascii")
    return fence
