"""Morphology of cells is stored and shown together with them, and adds up as they do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pytest

from marrow_models.errors import Reason, SlideRefused, WarehouseError
from marrow_models.records import CellAttribute, CellTable
from tests.unit.store_house.factories import (
    ATTRIBUTES,
    LABELS,
    analysis_record,
    begin_night,
    cell_table,
    everything,
    finish_slide,
    model_record,
    slide_record,
    walk,
)
from warehouse.dimensions import store_attribute_values, store_model
from warehouse.integrity import faults
from warehouse.ledger import State, record
from warehouse.load import load_slide, make_current
from warehouse.migrate import known_migrations, migrate
from warehouse.runs import RunState, finish_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from warehouse.connection import Warehouse

FACTS = ("fact_analysis", "fact_cell", "fact_cell_attribute", "dim_attribute_value")


def query(warehouse: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.exclusive() as connection:
        return connection.execute(sql).fetchall()


def told(count: int = 12, **options: Any) -> CellTable:
    return cell_table(count, attributes=ATTRIBUTES, **options)


def test_what_was_told_comes_out(warehouse: Warehouse) -> None:
    cells = finish_slide(warehouse, count=40, attributes=ATTRIBUTES)
    for name in ATTRIBUTES:
        rows = query(
            warehouse,
            "SELECT slide_id, patient_id, cell_id, value, confidence FROM cell_attributes "
            f"WHERE attribute = '{name}' ORDER BY cell_id",
        )
        column = cells.attributes[name]
        assert rows == [
            ("s1", "p1", number, value, sure)
            for number, (value, sure) in enumerate(zip(column.value, column.confidence.tolist(), strict=True))
        ]
        assert len({row[3] for row in rows}) > 1
    assert faults(warehouse) == ()


def test_a_model_without_attributes_stores_none(warehouse: Warehouse) -> None:
    finish_slide(warehouse)
    assert everything(warehouse, "fact_cell_attribute", "dim_attribute_value") == {
        "fact_cell_attribute": [],
        "dim_attribute_value": [],
    }
    assert warehouse.count("cell_attributes") == warehouse.count("attribute_counts") == 0
    assert faults(warehouse) == ()


def test_loading_again_changes_no_row(warehouse: Warehouse) -> None:
    cells = told()
    assert load_slide(warehouse, slide_record(), analysis_record(cells), cells).stored
    before = everything(warehouse, *FACTS)
    assert not load_slide(warehouse, slide_record(), analysis_record(cells, run_id="night-2"), cells).stored
    assert everything(warehouse, *FACTS) == before
    assert len(before["fact_cell_attribute"]) == 24
    assert len(before["dim_attribute_value"]) == 5


def test_a_slide_without_cells_is_a_result(warehouse: Warehouse) -> None:
    empty = CellTable.empty(LABELS, ATTRIBUTES)
    load_slide(warehouse, slide_record(), analysis_record(empty), empty)
    assert warehouse.count("fact_cell_attribute") == 0
    assert warehouse.count("dim_attribute_value") == 5
    assert faults(warehouse) == ()


def lost_an_attribute(cells: CellTable) -> CellTable:
    return replace(cells, attributes={"cell_size": cells.attributes["cell_size"]})


def told_by_another_model(cells: CellTable) -> CellTable:
    column = replace(cells.attributes["cell_size"], values=("tiny", "medium", "large"))
    return replace(cells, attributes=dict(cells.attributes) | {"cell_size": column})


def changed(**changes: Any) -> Callable[[CellTable], CellTable]:
    def spoil(cells: CellTable) -> CellTable:
        column = replace(cells.attributes["vacuoles"], **changes)
        return replace(cells, attributes=dict(cells.attributes) | {"vacuoles": column})

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lost_an_attribute,
        told_by_another_model,
        changed(index=np.full(12, 2, np.int8)),
        changed(index=np.full(12, -1, np.int8)),
        changed(confidence=np.full(12, 1.5, np.float32)),
        changed(confidence=np.full(12, np.nan, np.float32)),
        changed(index=np.zeros(11, np.int8), confidence=np.ones(11, np.float32)),
    ],
)
def test_morphology_that_cannot_be_refuses_the_slide_and_leaves_nothing(
    warehouse: Warehouse, spoil: Callable[[CellTable], CellTable]
) -> None:
    before = everything(warehouse, *FACTS)
    cells = told()
    with pytest.raises(SlideRefused) as refused:
        load_slide(warehouse, slide_record(), analysis_record(cells), spoil(cells))
    assert refused.value.reason is Reason.INCONSISTENT
    assert everything(warehouse, *FACTS) == before
    load_slide(warehouse, slide_record(), analysis_record(cells), cells)
    assert faults(warehouse) == ()


def test_a_model_keeps_its_attributes(warehouse: Warehouse) -> None:
    store_attribute_values(warehouse, "m1", ATTRIBUTES)
    store_attribute_values(warehouse, "m1", ATTRIBUTES)
    with pytest.raises(WarehouseError, match="other attributes"):
        store_attribute_values(warehouse, "m1", {"cell_size": ("large", "medium", "small")})
    assert query(warehouse, "SELECT attribute, value FROM dim_attribute_value ORDER BY ALL") == sorted(
        (name, value) for name, values in ATTRIBUTES.items() for value in values
    )


def test_counts_agree_with_the_cells_and_sum_to_100_percent(warehouse: Warehouse) -> None:
    cells = finish_slide(warehouse, count=60, attributes=ATTRIBUTES)
    counted = query(warehouse, "SELECT cell_class, attribute, value, cells FROM attribute_counts WHERE cells > 0")
    expected: dict[tuple[str, str, str | None], int] = {}
    for name, column in cells.attributes.items():
        for label, value in zip(cells.cell_class, column.value, strict=True):
            expected[label, name, value] = expected.get((label, name, value), 0) + 1
    assert {row[:3]: row[3] for row in counted} == expected
    sums = query(warehouse, "SELECT sum(percent) FROM attribute_counts GROUP BY slide_id, cell_class, attribute")
    assert len(sums) == len(set(cells.cell_class)) * 2
    assert [total for (total,) in sums] == pytest.approx([100.0] * len(sums))


def test_a_value_that_no_cell_has_is_there_with_nought_in_the_models_order(warehouse: Warehouse) -> None:
    walk(warehouse, "s1", until=State.VALIDATED)
    cells = told(1)
    load_slide(warehouse, slide_record(), analysis_record(cells), cells)
    rows = query(
        warehouse,
        "SELECT cell_class, attribute, value, cells, percent FROM attribute_counts "
        "ORDER BY attribute_position, value_position",
    )
    has = {name: column.value[0] for name, column in cells.attributes.items()}
    assert rows == [
        (cells.cell_class[0], name, value, int(value == has[name]), 100.0 * (value == has[name]))
        for name, values in ATTRIBUTES.items()
        for value in values
    ]


def test_only_the_current_analysis_is_shown(warehouse: Warehouse) -> None:
    finish_slide(warehouse, count=12, attributes=ATTRIBUTES)
    store_model(warehouse, model_record("m2"))
    other = cell_table(20, seed=3, attributes={"granularity": ("no", "yes")})
    load_slide(warehouse, slide_record(), analysis_record(other, "k2", model_digest="m2"), other)
    assert query(warehouse, "SELECT DISTINCT attribute FROM cell_attributes") == [("granularity",)]
    assert query(warehouse, "SELECT DISTINCT attribute FROM attribute_counts") == [("granularity",)]
    assert (warehouse.count("cell_attributes"), warehouse.count("fact_cell_attribute")) == (20, 44)
    make_current(warehouse, "k-s1")
    assert warehouse.count("cell_attributes") == 24
    assert faults(warehouse) == ()


def test_a_slide_in_quarantine_shows_no_morphology(warehouse: Warehouse) -> None:
    finish_slide(warehouse, attributes=ATTRIBUTES)
    finish_run(warehouse, "night-1", RunState.DONE)
    begin_night(warehouse, "night-2")
    record(warehouse, "night-2", "s1", State.DISCOVERED)
    record(warehouse, "night-2", "s1", State.QUARANTINED, reason=Reason.MODEL_OUTPUT)
    assert warehouse.count("cell_attributes") == warehouse.count("attribute_counts") == 0


def test_slides_of_models_with_and_without_attributes_stand_beside_each_other(warehouse: Warehouse) -> None:
    finish_slide(warehouse, "s1")
    store_model(warehouse, model_record("m2"))
    walk(warehouse, "s2", until=State.VALIDATED)
    cells = told(9)
    load_slide(warehouse, slide_record("s2"), analysis_record(cells, "k2", slide_id="s2", model_digest="m2"), cells)
    assert query(warehouse, "SELECT slide_id, count(*) FROM cell_attributes GROUP BY ALL") == [("s2", 18)]
    assert query(warehouse, "SELECT DISTINCT slide_id FROM attribute_counts") == [("s2",)]
    assert faults(warehouse) == ()


def test_a_warehouse_of_before_keeps_its_cells() -> None:
    with duckdb.connect(":memory:") as connection:
        migrate(connection, known_migrations()[:4])
        connection.execute("INSERT INTO dim_slide (slide_id, first_seen_at) VALUES ('s1', now())")
        connection.execute("INSERT INTO fact_analysis VALUES ('k1', 's1', 'm1', 'g1', 'r1', 1, 1, 1, 1, 1, true)")
        connection.execute(
            "INSERT INTO fact_cell VALUES ('k1', 0, 0, 1, 1, 9, 9, 'blast', 0.9, 0.8, [0.9, 0.1], false)"
        )
        kept = connection.execute("FROM fact_cell").fetchall()
        migrate(connection)
        assert connection.execute("FROM fact_cell").fetchall() == kept
        assert connection.execute("SELECT count(*) FROM attribute_counts").fetchone() == (0,)


def test_a_value_of_no_name_is_none() -> None:
    column = CellAttribute(("no", "yes"), np.array([1, 2, -1, 0], np.int8), np.ones(4, np.float32))
    assert column.value == ("yes", None, None, "no")
