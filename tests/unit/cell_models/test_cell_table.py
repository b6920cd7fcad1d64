"""Tables of cells keep their rows together: order, fields and morphology."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.records import CellAttribute, CellTable

LABELS = ("blast", "monocyte")
VALUES = {"cell_size": ("small", "big"), "granule_colour": ("nil", "pink", "light red")}


def table(count, seed=0, values=VALUES):
    rng = np.random.default_rng(seed)
    f32 = np.arange(count, dtype=np.float32)
    return CellTable(
        x_um=rng.uniform(0, 100, count),
        y_um=rng.integers(0, 5, count).astype(np.float64),
        width_um=f32,
        height_um=f32 + 1,
        detection_score=f32 + 2,
        probabilities=rng.dirichlet([1, 1], count).astype(np.float32),
        field_id=np.arange(count, dtype=np.int32),
        near_missing=np.arange(count) % 2 == 0,
        labels=LABELS,
        attributes={
            name: CellAttribute.of(names, rng.dirichlet(np.ones(len(names)), count).astype(np.float32))
            for name, names in values.items()
        },
    )


def rows(cells):
    """One tuple a cell, with everything that is known of it."""
    columns = [cells.x_um.tolist(), cells.y_um.tolist(), cells.width_um.tolist(), cells.cell_class]
    for attribute in cells.attributes.values():
        columns += [attribute.value, attribute.confidence.tolist()]
    return list(zip(*columns, strict=True))


def test_the_most_probable_value_and_its_probability_are_kept():
    chances = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2], [0.1, 0.1, 0.8]], np.float32)
    column = CellAttribute.of(VALUES["granule_colour"], chances)
    assert column.value == ("pink", "nil", "light red")
    assert column.index.dtype == np.int8
    assert column.confidence.dtype == np.float32
    assert column.confidence.tolist() == chances.max(axis=1).tolist()


def test_of_equal_values_the_first_is_kept():
    assert CellAttribute.of(("no", "yes"), np.full((2, 2), 0.5, np.float32)).value == ("no", "no")


def test_without_cells_an_attribute_has_no_rows():
    column = CellAttribute.of(("no", "yes"), np.zeros((0, 2), np.float32))
    assert (len(column), column.value, column.values) == (0, (), ("no", "yes"))


def test_rows_that_are_taken_keep_their_morphology():
    cells = table(20)
    index = np.array([7, 3, 3, 19])
    assert rows(cells.take(index)) == [rows(cells)[number] for number in index]
    even = np.arange(20) % 2 == 0
    assert rows(cells.take(even)) == rows(cells)[::2]


@given(st.permutations(range(4)), st.integers(0, 99))
def test_the_order_of_the_parts_changes_no_row(order, seed):
    parts = [table(number * 3, seed + number) for number in range(4)]
    joined = CellTable.concatenate([parts[number] for number in order], LABELS)
    assert rows(joined) == sorted((row for part in parts for row in rows(part)), key=lambda row: (row[1], row[0]))
    assert joined.attributes.keys() == VALUES.keys()


def test_tables_without_attributes_stay_without():
    cells = CellTable.concatenate([table(3, values={}), table(4, 1, values={})], LABELS)
    assert len(cells) == 7
    assert cells.attributes == {}
    assert CellTable.empty(LABELS).attributes == CellTable.concatenate([], LABELS).attributes == {}


def test_a_table_of_no_tables_knows_the_attributes_that_it_would_have():
    for cells in (CellTable.empty(LABELS, VALUES), CellTable.concatenate([], LABELS, VALUES)):
        assert {name: column.values for name, column in cells.attributes.items()} == VALUES
        assert all(len(column) == len(column.confidence) == 0 for column in cells.attributes.values())
    assert rows(CellTable.concatenate([CellTable.empty(LABELS, VALUES), table(5)], LABELS)) == sorted(
        rows(table(5)), key=lambda row: (row[1], row[0])
    )


@pytest.mark.parametrize(
    "other",
    [
        table(2, values={}),
        table(2, values={"cell_size": ("small", "big")}),
        table(2, values=VALUES | {"cell_size": ("big", "small")}),
    ],
)
def test_tables_of_different_models_do_not_go_together(other):
    with pytest.raises(ValueError, match="the tables do not"):
        CellTable.concatenate([table(2), other], LABELS)


def test_a_table_travels_between_processes_whole():
    cells = table(6)
    there = pickle.loads(pickle.dumps(cells))  # as Dask does
    assert rows(there) == rows(cells)
    assert dataclasses.replace(there, attributes={}).attributes == {}
