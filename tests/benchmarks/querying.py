"""What analysts ask, of the published views and of one flat table written by hand, for benchmarks."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import duckdb

from tests.benchmarks.generated_warehouse import Size, generate
from warehouse.published import open_published

REPEATED = 3
THREADS = 2

SAME = {
    "cells of a slide": "SELECT x_um, y_um, cell_class, confidence FROM {cells} WHERE slide_id = '{slide}'",
    "cells of each class": "SELECT cell_class, count(*) FROM {cells} GROUP BY ALL ORDER BY ALL",
    "mean confidence of a category": (
        "SELECT category, count(*), avg(confidence) FROM {cells} WHERE in_differential GROUP BY ALL ORDER BY ALL"
    ),
    "size of the cells of a class": (
        "SELECT cell_class, avg(width_um * height_um), max(confidence) FROM {cells} GROUP BY ALL ORDER BY ALL"
    ),
    "patients with most of a class": (
        "SELECT patient_id, count(*) AS n FROM {cells} WHERE cell_class = 'class3' "
        "GROUP BY ALL ORDER BY n DESC, 1 LIMIT 20"
    ),
    "classes of a slide": (
        "SELECT cell_class, count(*) FROM {cells} WHERE slide_id = '{slide}' GROUP BY ALL ORDER BY ALL"
    ),
}
"""The same words over the view ``cells`` and over the flat table."""

COUNTED = {
    "counts of all slides": (
        "SELECT count(*), sum(cells) FROM (SELECT slide_id, cell_class, cells FROM cell_counts WHERE cells > 0)",
        "SELECT count(*), sum(n) FROM (SELECT slide_id, cell_class, count(*) AS n FROM {cells} GROUP BY ALL)",
    ),
    "share of a class, by patient": (
        "SELECT patient_id, sum(cells) FILTER (cell_class = 'class3') * 100.0 / sum(cells) AS p FROM cell_counts "
        "WHERE in_differential GROUP BY ALL ORDER BY p DESC, 1 LIMIT 20",
        "SELECT patient_id, count(*) FILTER (cell_class = 'class3') * 100.0 / count(*) AS p FROM {cells} "
        "WHERE in_differential GROUP BY ALL ORDER BY p DESC, 1 LIMIT 20",
    ),
}
"""What the product counted already, and how the flat table is asked for the same."""


def make(path: Path, size: Size) -> None:
    """A published file at ``path``, and beside it the flat table that somebody would write for these questions."""
    generate(path, size, published=True)
    with duckdb.connect(str(path.with_name("flat.duckdb"))) as connection:
        connection.execute(f"ATTACH '{path}' AS published (READ_ONLY)")
        connection.execute(
            "CREATE TABLE flat AS SELECT slide_id, patient_id, cell_id, x_um, y_um, width_um, height_um, cell_class, "
            "confidence, detection_score, category, lineage, in_differential FROM published.cells"
        )


def ask(path: str) -> dict[str, Any]:
    """Seconds of CPU and wall of every question, the least of some runs, ours and flat; and whether they agree."""
    found: dict[str, Any] = {}
    with (
        open_published(Path(path), threads=THREADS, memory_limit_mb=4096) as database,
        duckdb.connect(str(Path(path).with_name("flat.duckdb")), read_only=True, config={"threads": THREADS}) as flat,
    ):
        ours = database._connection
        slide = ours.execute("SELECT median(slide_id) FROM dim_slide").fetchall()[0][0]
        questions = {name: (text, text) for name, text in SAME.items()} | COUNTED
        for name, (of_ours, of_flat) in questions.items():
            for _ in range(REPEATED):  # in turns, so that what else the machine does meets both
                for who, connection, text, table in (("ours", ours, of_ours, "cells"), ("flat", flat, of_flat, "flat")):
                    cost, rows = _timed(connection, text.format(cells=table, slide=slide))
                    said = found.setdefault(name, {}).setdefault(who, {"cpu_s": 1e9, "wall_s": 1e9})
                    found[name][who] = {key: min(said[key], cost[key]) for key in cost} | {"rows": rows}
            assert _near(found[name]["ours"].pop("rows"), found[name]["flat"].pop("rows")), name
    return found


def views(path: str) -> dict[str, float]:
    """Wall seconds of counting every shipped view, and of what it has for one slide or patient: the larger one."""
    found = {}
    with open_published(Path(path), threads=THREADS, memory_limit_mb=4096) as database:
        connection = database._connection
        names = [
            row[0] for row in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        ]
        ids = connection.execute("SELECT slide_id, patient_key FROM dim_slide ORDER BY slide_id LIMIT 1").fetchall()[0]
        for view in names:
            columns = [row[0] for row in connection.execute(f"DESCRIBE {view}").fetchall()]
            key = next((column for column in ("slide_id", "patient_id") if column in columns), None)
            texts = [f"SELECT count(*) FROM {view}"]
            if key is not None:
                texts.append(f"SELECT * FROM {view} WHERE {key} = '{ids[key == 'patient_id']}'")
            found[view] = max(min(_timed(connection, text)[0]["wall_s"] for _ in range(REPEATED)) for text in texts)
    return found


def _timed(connection: Any, text: str) -> tuple[dict[str, float], list[Any]]:
    cpu, wall = time.process_time(), time.perf_counter()
    rows = connection.execute(text).fetchall()
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}, rows


def _near(ours: list[Any], theirs: list[Any]) -> bool:
    """The same rows; sums of floats may differ in their last digits, since threads add them in any order."""
    rounded = [
        [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in rows]
        for rows in (ours, theirs)
    ]
    return sorted(map(repr, rounded[0])) == sorted(map(repr, rounded[1]))
