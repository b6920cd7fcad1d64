"""`marrow demo`: a night of synthetic slides with known truth, run for real and compared with the truth."""

from __future__ import annotations

import csv
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.command_run import run_night
from flows.result import NightResult
from flows.settings import load_settings
from marrow_models.errors import NightFailed
from marrow_models.phantom.compare import Matches, average_precision, largest_deviation, match_boxes
from marrow_models.phantom.night import make_phantom
from marrow_models.slides.identity import slide_id_of
from marrow_models.slides.inbox import content_digest, find_slides
from tasks.home import Home
from tasks.pseudonym import load_pseudonyms
from warehouse import read
from warehouse.connection import Database
from warehouse.published import open_published

Row = dict[str, str]
QUERY = (
    "import duckdb; duckdb.connect({path!r}, read_only=True)"
    ".sql('FROM patient_diagnoses SELECT patient_id, diagnosis, probability, reasons').show(max_width=200)"
)
"""A line that an analyst can run."""


def run_demo(home: Path, *, seed: int, patients: int, as_json: bool, out: Console, err: Console) -> None:
    """Make the slides (once for a seed), run the night, print what was found next to the truth.

    Raises :class:`NightFailed` when the night failed.
    """
    inbox = home / f"inbox-seed-{seed}-patients-{patients}"
    started = time.monotonic()
    if not (inbox / "truth" / "patients.csv").is_file():
        with err.status(f"drawing the slides of {patients} patients"):
            make_phantom(inbox, seed=seed, patients=patients, processes=os.cpu_count() or 1)
    drawn_s = time.monotonic() - started
    result = run_night(home, {"inbox": inbox}, trigger="demo", err=err)
    if result.failure or result.published is None:
        raise NightFailed(result.failure or "nothing was published")
    with open_published(result.published) as database:
        rows = _patients(database, inbox, home)
        detection = _detection(database, inbox)
    seconds = {"drawing": round(drawn_s, 1), "night": round(time.monotonic() - started - drawn_s, 1)}
    if as_json:
        whole = result.as_dict() | {"patients": rows, "detection": detection, "seconds": seconds}
        sys.stdout.write(json.dumps(whole, indent=2, default=str) + "\n")
    else:
        _show(out, rows, detection, seconds, result)


def _patients(database: Database, inbox: Path, home: Path) -> list[dict[str, Any]]:
    """A row a patient: true and suggested diagnosis, cells, and the category farthest from the truth."""
    plan = load_settings(home=home)
    pseudonyms = load_pseudonyms(plan.key_file or Home(home).default_key_file)
    suggestions = {row.patient_id: row for row in read.patient_table(database)}
    percentages: dict[str, dict[str, float]] = defaultdict(dict)
    for row in read.differential_table(database):
        percentages[row.patient_id][row.category] = row.percent or 0.0
    rows = []
    for truth in _read_csv(inbox / "truth" / "patients.csv"):
        key = pseudonyms.patient(truth["patient_id"])
        found = suggestions[key]
        true_percent = {name: float(truth[name]) for name in percentages[key]}
        category, points = largest_deviation(percentages[key], true_percent)
        rows.append(
            {
                "patient": truth["patient_id"],
                "patient_id": key,
                "truth": truth["diagnosis"],
                "suggestion": found.diagnosis,
                "status": found.status,
                "probability": found.probability,
                "right": found.diagnosis == truth["diagnosis"],
                "true_cells": int(truth["cells"]),
                "counted_cells": found.total_cells,
                "farthest_category": category,
                "points": round(points, 1),
                "percent": {
                    name: {"true": true_percent[name], "found": percentages[key][name]} for name in true_percent
                },
            }
        )
    return rows


def _detection(database: Database, inbox: Path) -> dict[str, float]:
    """AP50, recall and precision over all slides, in the fields that were analysed."""
    truth: dict[str, list[Row]] = defaultdict(list)
    for row in _read_csv(inbox / "truth" / "cells.csv"):
        truth[row["file"]].append(row)
    matches = []
    for entry in find_slides(inbox)[0]:
        slide_id = slide_id_of(content_digest(entry))
        named = next(name for name in (entry.relative_name, *entry.aliases) if name in truth)
        matches.append(_match(database, slide_id, truth[named]))
    total = Matches(
        np.concatenate([m.score for m in matches]),
        np.concatenate([m.true for m in matches]),
        sum(m.cells for m in matches),
    )
    return {
        "ap50": round(average_precision(matches), 4),
        "recall": round(total.recall, 4),
        "precision": round(total.precision, 4),
    }


def _match(database: Database, slide_id: str, truth: list[Row]) -> Matches:
    cells = read.cell_boxes(database, slide_id)
    fields = read.field_rects_um(database, slide_id)
    inside = [
        row
        for row in truth
        if any(x <= float(row["x_um"]) < x + w and y <= float(row["y_um"]) < y + h for x, y, w, h in fields)
    ]
    return match_boxes(
        np.asarray([box for _, box in cells], np.float64).reshape(-1, 4),
        np.asarray([score for score, _ in cells], np.float32),
        np.asarray([_box(row) for row in inside], np.float64).reshape(-1, 4),
        np.asarray([row["readable"].lower() in ("1", "true") for row in inside], bool),
    )


def _box(row: Row) -> tuple[float, float, float, float]:
    x, y, width, height = (float(row[name]) for name in ("x_um", "y_um", "width_um", "height_um"))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _read_csv(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _show(
    out: Console,
    rows: list[dict[str, Any]],
    detection: dict[str, float],
    seconds: dict[str, float],
    result: NightResult,
) -> None:
    table = Table(title="Truth against found")
    for column in ("patient", "truth", "suggestion", "probability", "cells: true", "counted", "farthest category"):
        table.add_column(column)
    for row in rows:
        mark = "[green]✓[/]" if row["right"] else "[red]✗[/]"
        probability = f"{row['probability']:.2f}" if row["probability"] is not None else row["status"]
        table.add_row(
            row["patient"], row["truth"], f"{mark} {row['suggestion'] or row['status']}", probability,
            str(row["true_cells"]), str(row["counted_cells"]),
            f"{row['farthest_category']} {row['points']:+.1f} points",
        )  # fmt: skip
    out.print(table)
    categories = Table(title="Differential: true / found, percent")
    categories.add_column("category")
    for row in rows:
        categories.add_column(f"{row['patient']} ({row['truth']})", justify="right")
    for name in rows[0]["percent"]:
        pairs = [row["percent"][name] for row in rows]
        categories.add_row(name, *(f"{pair['true']:.1f} / {pair['found']:.1f}" for pair in pairs))
    out.print(categories)
    out.print(
        f"Detection: AP50 {detection['ap50']:.3f}, recall {detection['recall']:.3f}, "
        f"precision {detection['precision']:.3f}. "
        f"Slides drawn in {seconds['drawing']} s, night in {seconds['night']} s."
    )
    out.print(f"Orchestration took {100 * result.overhead:.1f} % of the {result.seconds:.0f} s between start and end.")
    out.print(f"Published: {result.published}", markup=False)
    query = QUERY.format(path=str(result.published))
    out.print(f'Try:\n{sys.executable} -c "{query}"', markup=False, soft_wrap=True)
    out.print("For Research Use Only. Not for use in diagnostic procedures.")
