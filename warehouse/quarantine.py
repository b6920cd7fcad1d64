"""The slides in quarantine: why, since when, and which of them the next night leaves alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marrow_models.errors import REASONS, Reason, SlideRefused
from warehouse.clock import aware_utc

if TYPE_CHECKING:
    from datetime import datetime

    from warehouse.connection import Database, Row, Warehouse

TRIED_WITH = "tried with "
"""How the ledger begins to say what an attempt was made with; see :func:`held`."""


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A slide in quarantine."""

    slide_id: str
    patient_id: str | None
    reason: str
    detail: str
    """Empty in what was read from the published file."""
    since: datetime
    """When it first came here after it was last well."""
    attempts: int
    """Runs that tried it since then."""
    changed_at: datetime
    """When a run last found it here."""
    run_id: str
    """That run."""
    released: bool | None
    """Whether a person asked to try it again; None where the published file was read, which does not say."""
    tried_with: str | None
    """What the last attempt was made with."""


def quarantine_table(warehouse: Database) -> list[QuarantineRow]:
    """The slides in quarantine, the longest there first."""
    return [_row(row) for row in warehouse.rows("quarantine")]


def published_quarantine(database: Database) -> list[QuarantineRow]:
    """The same from the published file, which holds no releases and no details."""
    return [_row(row) for row in database.rows("quarantine_published")]


def held(warehouse: Warehouse, run_id: str) -> dict[str, tuple[SlideRefused, str]]:
    """The slides that nothing but a change will help: slide to its refusal and what it was last tried with.

    Ask before the run ``run_id`` enters them. A slide that was released, or whose reason passes by itself
    (``REASONS[...].tried_again``), is not among them.
    """
    return {
        row.slide_id: (SlideRefused(Reason(row.reason), row.detail), row.tried_with)
        for row in quarantine_table(warehouse)
        if row.tried_with and not row.released and row.run_id != run_id and not REASONS[Reason(row.reason)].tried_again
    }


def _row(row: Row) -> QuarantineRow:
    times = {name: aware_utc(row[name]) for name in ("since", "changed_at")}
    return QuarantineRow(**(row | times | {"detail": row["detail"] or ""}))
