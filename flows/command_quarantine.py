"""`marrow quarantine`, `marrow explain` and `marrow reasons`: what became of slides, why, and what to do."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.reading import Reading, open_reading
from marrow_models.errors import REASONS, Reason, UserError
from tasks.home import Home
from warehouse import ledger
from warehouse.connection import open_warehouse
from warehouse.explain import SlideHistory, explain_slide, slide_like
from warehouse.quarantine import QuarantineRow, published_quarantine, quarantine_table

BY_ITSELF = "the next night tries it again"
BY_HAND = "stays until it is released or changed"


def quarantine_report(home: Path) -> dict[str, Any]:
    """Every slide in quarantine with its cause, what to do, since when and how often it was tried."""
    with open_reading(Home(home)) as reading:
        return {"source": reading.source, "slides": [_told(row) for row in _standing(reading)]}


def quarantine_of(home: Path, prefix: str) -> dict[str, Any]:
    """The same of one slide, by its id or the beginning of it. UserError when it is not in quarantine."""
    with open_reading(Home(home)) as reading:
        slide_id = slide_like(reading.database, prefix)
        found = [row for row in _standing(reading) if row.slide_id == slide_id]
        if not found:
            raise UserError(f"{slide_id} is not in quarantine. `marrow explain {slide_id}` tells what became of it.")
        return {"source": reading.source} | _told(found[0])


def release(home: Path, prefix: str) -> dict[str, Any]:
    """Let a slide out of quarantine: the next night tries it again. WarehouseHeld while a run has the warehouse."""
    place = Home(home)
    if not place.warehouse.is_file():
        raise UserError(f"There is no warehouse under {home}.")
    with open_warehouse(place.warehouse) as warehouse:
        slide_id = slide_like(warehouse, prefix)
        ledger.release(warehouse, slide_id)
    return {"slide_id": slide_id, "released": True}


def whole_ids(home: Path, prefixes: list[str]) -> list[str]:
    """The slides that ``prefixes`` stand for, each once, in their order."""
    with open_reading(Home(home)) as reading:
        return list(dict.fromkeys(slide_like(reading.database, prefix) for prefix in prefixes))


def explain(home: Path, prefix: str) -> dict[str, Any]:
    """The whole history of a slide: states, attempts, reasons, results, failed expectations, lost area."""
    with open_reading(Home(home)) as reading:
        slide_id = slide_like(reading.database, prefix)
        return {"source": reading.source, "slide_id": slide_id} | _history(explain_slide(reading.database, slide_id))


def reasons_table() -> list[dict[str, Any]]:
    """The published table of reason codes."""
    return [
        {"code": str(reason), "cause": text.cause, "what to do": text.next_step, "then": _then(reason)}
        for reason, text in REASONS.items()
    ]


def reasons_markdown() -> str:
    """``docs/reasons.md``."""
    lines = [
        "# Reason codes",
        "",
        "Why a slide is in quarantine or deferred. Written by `marrow reasons --markdown` from `REASONS` in",
        "`marrow_models/errors.py`; `marrow quarantine show SLIDE` says the same of one slide.",
        "",
        "*Stays*: no later night reads the slide again until it is released (`marrow quarantine release`,",
        "`marrow retry`), or the file, its `um_per_px`, the models, the settings or the version of Marrow change.",
        "It is counted every night all the same. What the listing of the inbox finds without a decoder is looked at",
        "every night.",
        "",
        "| code | cause | what to do | next night |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{code}` | {text.cause} | {text.next_step} | {'tried again' if text.tried_again else 'stays'} |"
        for code, text in REASONS.items()
    ]
    return "\n".join(lines) + "\n"


def _then(reason: Reason) -> str:
    return BY_ITSELF if REASONS[reason].tried_again else BY_HAND


def _standing(reading: Reading) -> list[QuarantineRow]:
    return quarantine_table(reading.warehouse) if reading.warehouse else published_quarantine(reading.database)


def _told(row: QuarantineRow) -> dict[str, Any]:
    text = REASONS[Reason(row.reason)]
    told = asdict(row) | {"cause": text.cause, "next_step": text.next_step, "then": _then(Reason(row.reason))}
    return told | ({"then": BY_ITSELF} if row.released else {})


def _history(history: SlideHistory) -> dict[str, Any]:
    texts = {e.reason: REASONS[e.reason] for e in history.events if e.reason is not None}
    return {
        "slide": asdict(history.slide) if history.slide else None,
        "events": [
            asdict(event)
            | {
                "cause": texts[event.reason].cause if event.reason else None,
                "next_step": texts[event.reason].next_step if event.reason else None,
            }
            for event in history.events
        ],
        "results": [asdict(row) for row in history.results],
        "failed_expectations": [asdict(row) for row in history.failed],
    }
