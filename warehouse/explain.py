"""What is known of one slide over all runs: its states, results, failed expectations and lost area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from marrow_models.errors import UserError
from warehouse.clock import aware_utc
from warehouse.ledger import LedgerEvent, history

if TYPE_CHECKING:
    from datetime import datetime

    from warehouse.connection import Database

SHOWN = 5
"""Slide ids that a message names where a prefix fits several."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One analysis of a slide."""

    result_key: str
    run_id: str
    started_at: datetime | None
    """When the run that made it began."""
    model: str | None
    model_version: str | None
    model_digest: str
    config_digest: str
    fields: int
    cells: int
    counted_cells: int
    analysed_um2: float
    is_current: bool


@dataclass(frozen=True, slots=True)
class FailedExpectation:
    """An expectation that the slide's cells did not meet in a run."""

    run_id: str
    gate: str
    expectation: str
    column_name: str | None
    raised: bool
    """The check itself failed, which says nothing about the cells."""
    unexpected_count: int | None
    observed: str | None


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """The slide itself, as far as it was ever read."""

    slide_id: str
    patient_id: str | None
    specimen: str | None
    stain: str | None
    format: str | None
    width_px: int | None
    height_px: int | None
    um_per_px: float | None
    missing_um2: float | None
    """Area that was never scanned or does not decode."""
    missing_share: float | None
    """Its part of the slide, 0 to 1."""
    first_seen_at: datetime


@dataclass(frozen=True, slots=True)
class SlideHistory:
    """Everything that the warehouse holds about a slide, but for its cells."""

    slide: SlideFacts | None
    """None for an inbox entry whose content was never taken."""
    events: tuple[LedgerEvent, ...]
    results: tuple[ResultRow, ...]
    failed: tuple[FailedExpectation, ...]


def slide_like(database: Database, prefix: str) -> str:
    """The one slide whose id begins with ``prefix``. UserError when there is none, or when there are several."""
    found = [str(row["slide_id"]) for row in database.rows("slides_like", prefix=prefix)] if prefix else []
    if prefix in found:
        return prefix
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"No slide is called {prefix!r}: see `marrow status` or `marrow quarantine list`.")
    more = ", ..." if len(found) > SHOWN else ""
    raise UserError(f"{prefix!r} fits {len(found)} slides: {', '.join(found[:SHOWN])}{more}. Give more of the id.")


def explain_slide(database: Database, slide_id: str) -> SlideHistory:
    """The history of a slide; empty for one that is not known."""
    facts = database.row("slide_area", slide_id=slide_id)
    return SlideHistory(
        SlideFacts(**(facts | {"first_seen_at": aware_utc(facts["first_seen_at"])})) if facts else None,
        tuple(history(database, slide_id)),
        tuple(
            ResultRow(**(row | {"started_at": aware_utc(row["started_at"]) if row["started_at"] else None}))
            for row in database.rows("results_of_slide", slide_id=slide_id)
        ),
        tuple(FailedExpectation(**row) for row in database.rows("failed_expectations", slide_id=slide_id)),
    )
