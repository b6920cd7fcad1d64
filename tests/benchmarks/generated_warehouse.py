"""A warehouse of any size, made by DuckDB itself: slides, patients and cells that are nobody's, in the real schema."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from warehouse.connection import open_warehouse
from warehouse.migrate import mark_published
from warehouse.published_rows import CELLS, shape
from warehouse.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LABELS = 34
SLIDES_A_PATIENT = 2
SLIDES_A_NIGHT = 100
FIELDS = 8
SLIDES_AT_A_TIME = 10_000

# Hashes of numbers stand for slides, patients and results: as long and as unordered as the real ones.
SLIDE = "'s' || md5('s' || {n})[:24]"
PATIENT = "md5('p' || {n}) || md5('q' || {n})"
RESULT = "'r' || md5('r' || {n})"


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    slides: int
    cells_a_slide: int
    probabilities: int = LABELS
    """Length of the list of each cell: a short one keeps a very large file on the disk of a small machine."""
    attributes: int = 0
    """Morphology attributes of each cell."""

    @property
    def cells(self) -> int:
        """Cells in all."""
        return self.slides * self.cells_a_slide


def generate(path: Path, size: Size, *, published: bool = False, first_slide: int = 0) -> None:
    """Make the warehouse (or the analysts' file) at ``path``; with ``first_slide`` add slides to one that is there."""
    if published:
        with duckdb.connect(str(path)) as connection:
            shape(connection, "generated")
            for begin in range(0, size.slides, SLIDES_AT_A_TIME):
                part = replace(size, slides=min(SLIDES_AT_A_TIME, size.slides - begin))
                fill(connection, part, first_slide + begin, published=True)
            mark_published(connection)
        return
    with open_warehouse(path) as warehouse, warehouse.exclusive() as connection:
        fill(connection, size, first_slide)


def fill(connection: DuckDBPyConnection, size: Size, first: int = 0, *, published: bool = False) -> None:
    """Add slides ``first`` to ``first + size.slides`` with all that belongs to them."""
    named = {
        "first": first, "last": first + size.slides, "cells": size.cells_a_slide, "fields": FIELDS, "labels": LABELS,
        "list": size.probabilities, "a_patient": SLIDES_A_PATIENT, "a_night": SLIDES_A_NIGHT,
        "attributes": size.attributes,
    }  # fmt: skip
    for text in (*_OF_ALL, *_OF_SLIDES, *(_OF_ATTRIBUTES if size.attributes else ())):
        connection.execute(_sql(text, named))
    if published:
        connection.execute(statement("results_to_publish"))
    large = {"fact_cell": _CELLS, "fact_cell_count": _CELL_COUNTS}
    if size.attributes:
        large |= {"fact_cell_attribute": _CELL_ATTRIBUTES, "fact_attribute_count": _ATTRIBUTE_COUNTS}
    for table, text in large.items():
        connection.execute("CREATE OR REPLACE TEMP VIEW staging AS " + _sql(text, named))
        insert = statement(CELLS[table]) if published else f"INSERT INTO {table} BY NAME FROM staging"
        connection.execute(insert)
        connection.execute("DROP VIEW staging")
    if published:
        connection.execute(statement("publish_results"))
    connection.execute("CHECKPOINT")


def _sql(text: str, named: dict[str, int]) -> str:
    for word, number in named.items():
        text = text.replace(f"${word}$", str(number))
    for word, pattern in (("SLIDE", SLIDE), ("PATIENT", PATIENT), ("RESULT", RESULT)):
        text = text.replace(f"${word}$", pattern.format(n="n"))
        text = text.replace(f"${word}_OF_PATIENT$", pattern.format(n="n // $a_patient$"))
    for word, number in named.items():
        text = text.replace(f"${word}$", str(number))
    return text


_OF_ALL = (
    """
    INSERT INTO dim_model
    SELECT 'model', 'generated', '1', 'detector', 'classifier', list('class' || k ORDER BY k), 'generated', '1',
        'taxonomy', NULL
    FROM range($labels$) AS t(k)
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO dim_cell_class BY NAME
    SELECT 'taxonomy' AS taxonomy_digest, 'class' || k AS label, 'generated' AS taxonomy_name, '1' AS taxonomy_version,
        k AS position, 'Class ' || k AS title, 'category' || k // 3 AS category, 'lineage' || k // 6 AS lineage,
        k < 30 AS in_differential
    FROM range($labels$) AS t(k)
    ON CONFLICT DO NOTHING
    """,
)

_OF_SLIDES = (
    """
    INSERT INTO dim_patient
    SELECT $PATIENT$, 20 + n % 60, 'female' FROM range($first$ // $a_patient$, ($last$ - 1) // $a_patient$ + 1) AS t(n)
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO dim_slide BY NAME
    SELECT $SLIDE$ AS slide_id, $PATIENT_OF_PATIENT$ AS patient_key, 'bone_marrow' AS specimen, 'wright' AS stain,
        'aperio' AS format, 40000 AS width_px, 40000 AS height_px, 0.25 AS um_per_px, 0.0 AS missing_um2,
        1000000000 AS size_bytes, TIMESTAMP '2026-01-01' + to_minutes(n) AS first_seen_at, 0.0 AS unscanned_um2
    FROM range($first$, $last$) AS t(n)
    """,
    """
    INSERT INTO dim_run BY NAME
    SELECT 'night-' || n AS run_id, TIMESTAMP '2026-01-01' + to_days(n::INTEGER) AS started_at,
        TIMESTAMP '2026-01-01' + to_days(n::INTEGER) + INTERVAL 3 HOUR AS finished_at, 'done' AS state,
        'schedule' AS "trigger", '1' AS code_version, '{}' AS settings, $a_night$ AS discovered, $a_night$ AS done,
        0 AS quarantined, 0 AS deferred, n + 1 AS run_number
    FROM range($first$ // $a_night$, ($last$ - 1) // $a_night$ + 1) AS t(n)
    ON CONFLICT DO NOTHING
    """,
    """
    INSERT INTO ledger_event BY NAME
    SELECT 'night-' || n // $a_night$ AS run_id, $SLIDE$ AS slide_id, 1 AS attempt, state,
        TIMESTAMP '2026-01-01' + to_days((n // $a_night$)::INTEGER) + to_seconds(n % $a_night$) AS entered_at
    FROM range($first$, $last$) AS t(n),
        unnest(['discovered', 'ingested', 'surveyed', 'analysed', 'validated', 'loaded', 'done']) AS u(state)
    ORDER BY n
    """,
    """
    INSERT INTO stage_time
    SELECT 'night-' || n // $a_night$, $SLIDE$, stage,
        TIMESTAMP '2026-01-01' + to_days((n // $a_night$)::INTEGER) + to_seconds(n % $a_night$), 1.5
    FROM range($first$, $last$) AS t(n),
        unnest(['ingest', 'survey', 'detect and classify', 'validate', 'load']) AS u(stage)
    ORDER BY n
    """,
    """
    INSERT INTO expectation_result
    SELECT 'night-' || n // $a_night$, 'cells', $SLIDE$, 'cells', 'expectation ' || e, 'x_um', true, false, 0, NULL
    FROM range($first$, $last$) AS t(n), range(20) AS u(e)
    ORDER BY n
    """,
    """
    INSERT INTO fact_analysis BY NAME
    SELECT $RESULT$ AS result_key, $SLIDE$ AS slide_id, 'model' AS model_digest, 'configuration' AS config_digest,
        'night-' || n // $a_night$ AS run_id, $fields$ AS fields, $cells$ AS cells,
        counted AS counted_cells, 1e6 AS analysed_um2, 60.0 AS seconds, true AS is_current
    FROM (
        SELECT g // $cells$ AS n, count(*) FILTER (hash(g) % $labels$ < 30)::INTEGER AS counted
        FROM range($first$ * $cells$, $last$ * $cells$) AS t(g) GROUP BY n
    )
    ORDER BY n
    """,
    """
    INSERT INTO fact_field
    SELECT $RESULT$, f, f * 1000, 0, 1000, 1000, f * 250.0, 0, 250, 250, $cells$ / $fields$,
        $cells$ // $fields$, 0.9
    FROM range($first$, $last$) AS t(n), range($fields$) AS u(f)
    ORDER BY n
    """,
    """
    INSERT INTO fact_patient_diagnosis BY NAME
    SELECT 'd' || md5('d' || n) AS diagnosis_key, $PATIENT$ AS patient_key, 'night-0' AS run_id,
        'model' AS model_digest,
        'suggested' AS status, 'AML' AS diagnosis, 0.8 AS probability,
        MAP {'AML': 0.8, 'normal': 0.2} AS probabilities, ['blasts'] AS reasons, $a_patient$ AS slides,
        3 * 300 AS total_cells, 30.0 AS blast_percent, 20.0 AS blast_low,
        40.0 AS blast_high, 2.0 AS me_ratio, 'who5' AS rule_set, '1' AS rule_set_version, 'model' AS diagnosis_model,
        true AS is_current
    FROM range(($first$ + $a_patient$ - 1) // $a_patient$, ($last$ - 1) // $a_patient$ + 1) AS t(n)
    """,
    """
    INSERT INTO fact_differential
    SELECT 'd' || md5('d' || n), 'category' || c, c, 90, 10.0, 8.0, 12.0
    FROM range(($first$ + $a_patient$ - 1) // $a_patient$, ($last$ - 1) // $a_patient$ + 1) AS t(n), range(10) AS u(c)
    """,
    """
    INSERT INTO fact_laboratory
    SELECT $PATIENT$, name, 8.1
    FROM range(($first$ + $a_patient$ - 1) // $a_patient$, ($last$ - 1) // $a_patient$ + 1) AS t(n),
        unnest(['haemoglobin', 'platelets']) AS u(name)
    """,
)

_OF_ATTRIBUTES = (
    """
    INSERT INTO dim_attribute_value
    SELECT 'model', 'attribute' || a, 'value' || v, a, v FROM range($attributes$) AS t(a), range(3) AS u(v)
    ON CONFLICT DO NOTHING
    """,
)

_CELLS = """
    SELECT $RESULT$ AS result_key, i AS cell_id, i % $fields$ AS field_id, (h % 1000000) / 100.0 AS x_um,
        (h // 1000 % 1000000) / 100.0 AS y_um, (8 + h % 12)::FLOAT AS width_um, (8 + h // 12 % 12)::FLOAT AS height_um,
        'class' || h % $labels$ AS cell_class, (0.5 + (h % 5000) / 10000.0)::FLOAT AS confidence,
        (0.3 + (h % 7000) / 10000.0)::FLOAT AS detection_score,
        list_transform(range($list$), lambda k: ((h + k * 7919) % 10007 / 170000.0)::FLOAT) AS probabilities,
        false AS near_missing
    FROM (
        SELECT g // $cells$ AS n, (g % $cells$)::INTEGER AS i, hash(g) AS h
        FROM range($first$ * $cells$, $last$ * $cells$) AS t(g)
    )
"""

_CELL_ATTRIBUTES = """
    SELECT $RESULT$ AS result_key, i AS cell_id, 'attribute' || a AS attribute,
        'value' || hash(n * $cells$ + i + a) % 3 AS value, 0.9 AS confidence
    FROM (
        SELECT g // $attributes$ // $cells$ AS n, g // $attributes$ % $cells$ AS i, g % $attributes$ AS a
        FROM range($first$ * $cells$ * $attributes$, $last$ * $cells$ * $attributes$) AS t(g)
    )
"""

_CELL_COUNTS = """
    SELECT $RESULT$ AS result_key, 'class' || k AS cell_class, count(*) AS cells
    FROM (
        SELECT g // $cells$ AS n, hash(g) % $labels$ AS k FROM range($first$ * $cells$, $last$ * $cells$) AS t(g)
    )
    GROUP BY n, k ORDER BY n, k
"""

_ATTRIBUTE_COUNTS = """
    SELECT $RESULT$ AS result_key, 'class' || k AS cell_class, 'attribute' || a AS attribute, 'value' || v AS value,
        cells,
        (sum(cells) OVER (PARTITION BY n, k, a))::INTEGER AS class_cells, a AS attribute_position, v AS value_position
    FROM (
        SELECT g // $cells$ AS n, hash(g) % $labels$ AS k, a, hash(g + a) % 3 AS v, count(*) AS cells
        FROM range($first$ * $cells$, $last$ * $cells$) AS t(g), range($attributes$) AS u(a)
        GROUP BY ALL
    )
    ORDER BY n, k, a, v
"""
