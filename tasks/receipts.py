"""Receipts of fields: cells that are found but not yet loaded, so that a restart repeats only what was in flight.

A receipt is a file ``HOME/work/<result key>/<name of its fields>.cells``, written by the flow process beside its
place, flushed and renamed. The result key names content, scale, models and configuration, so a receipt is never
wrong, only torn or stale. One that cannot be read is computed again; one that cannot be written costs the resume.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from marrow_models.cell_file import CellFileError, pack_cells, unpack_cells
from marrow_models.records import CellTable, Field
from warehouse.files import remove, replacing

SUFFIX = ".cells"
STALE_S = 14 * 24 * 3600.0
"""Receipts that nobody added to for so long belong to a slide or a configuration that does not come back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one result."""

    folder: Path
    """``HOME/work/<result key>``."""

    def read(self, group: Sequence[Field]) -> CellTable | None:
        """The cells of a group of fields; None where there is no receipt that can be trusted."""
        try:
            return unpack_cells(self._path(group).read_bytes(), self._identity(group))
        except (OSError, CellFileError):
            return None

    def write(self, group: Sequence[Field], cells: CellTable) -> None:
        """Keep the cells of a group of fields. A disk that is full is told to the log and to nobody else."""
        try:
            with replacing(self._path(group)) as staged:
                staged.write_bytes(pack_cells(cells, self._identity(group)))
        except OSError as error:
            _log.warning("%s: no receipt (%s): a restart repeats these fields", self.folder.name, error.strerror)

    def remove(self) -> None:
        """Forget all of them: the result is in the warehouse."""
        try:
            remove(self.folder)
        except OSError as error:
            _log.warning("%s: receipts stay (%s) and are swept later", self.folder.name, error.strerror)

    def _path(self, group: Sequence[Field]) -> Path:
        name = hashlib.sha256(self._identity(group).encode()).hexdigest()[:32]
        return self.folder / f"{name}{SUFFIX}"

    def _identity(self, group: Sequence[Field]) -> str:
        """What the cells are of: the result, and every field with its place."""
        fields = [(f.field_id, f.rect_px.x, f.rect_px.y, f.rect_px.width, f.rect_px.height) for f in group]
        return f"{self.folder.name} {fields}"


def sweep(work: Path, *, stored: Callable[[str], bool], older_than_s: float = STALE_S) -> tuple[str, ...]:
    """Remove the receipts of results that are ``stored`` already and those nobody came back for; their keys."""
    oldest = time.time() - older_than_s
    swept = []
    for folder in work.iterdir():
        if folder.is_dir() and (stored(folder.name) or folder.stat().st_mtime < oldest):
            Receipts(folder).remove()
            swept.append(folder.name)
    return tuple(swept)
