"""Morphology on its way: from the networks through the gate and the warehouse into the published files."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from marrow_models.analysis import analyse_pixels
from marrow_models.bundle import load_bundle, shipped_bundles
from marrow_models.phantom.training import training_field
from marrow_models.records import CellTable, Field, Rect
from marrow_models.taxonomy import load_taxonomy
from marrow_models.training.array_slide import ArraySlide
from tests.integration.attribute_bundle import VALUES, attribute_bundle
from tests.unit.store_house.factories import analysis_record, begin_night, model_record, slide_record, walk
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_model
from warehouse.frames import attribute_parameters, attributes_frame
from warehouse.integrity import faults
from warehouse.ledger import State
from warehouse.load import load_slide
from warehouse.publish import publish
from warehouse.published import open_published
from warehouse.records import FieldRecord, ModelRecord
from warehouse.validate import Gates

SIDE_PX = 320
FIELD = Field(0, Rect(0, 0, SIDE_PX, SIDE_PX))
HALVES = (Rect(0, 0, 151, SIDE_PX), Rect(151, 0, SIDE_PX - 151, SIDE_PX))

pytestmark = pytest.mark.skipif("phantom" not in shipped_bundles(), reason="no trained bundle is shipped")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return attribute_bundle(tmp_path_factory.mktemp("bundles") / "phantom-attributes")


@pytest.fixture(scope="module")
def slide():
    drawn = training_field(np.random.default_rng(4), size_px=SIDE_PX, um_per_px=0.25, readable_only=True, density=1.5)
    return ArraySlide(drawn.image, 0.25)


@pytest.fixture(scope="module")
def cells(bundle, slide):
    return analyse_pixels(slide, (FIELD,), bundle, batch_size=64, tile_px=512)


@pytest.fixture(scope="module")
def gates(tmp_path_factory):
    return Gates(tmp_path_factory.mktemp("validation"))


def same(told, expected):
    return told.attributes.keys() == expected.attributes.keys() and all(
        np.array_equal(told.attributes[name].index, column.index)
        and np.array_equal(told.attributes[name].confidence, column.confidence)
        for name, column in expected.attributes.items()
    )


def test_every_cell_gets_each_attribute(cells):
    assert len(cells) > 5
    assert {name: column.values for name, column in cells.attributes.items()} == VALUES
    for column in cells.attributes.values():
        assert (column.index.dtype, column.confidence.dtype) == (np.int8, np.float32)
        assert len(column) == len(column.confidence) == len(cells)
        assert (column.confidence >= np.float32(1 / len(column.values)) - 1e-5).all()
        assert len(set(column.value)) > 1


def test_the_cells_and_their_classes_are_those_of_the_bundle_without_attributes(cells, slide):
    plain = analyse_pixels(slide, (FIELD,), load_bundle("phantom"), batch_size=64, tile_px=512)
    for name in ("x_um", "y_um", "width_um", "height_um", "detection_score", "probabilities", "near_missing"):
        assert np.array_equal(getattr(plain, name), getattr(cells, name))
    assert plain.attributes == {}


def test_no_tile_field_or_batch_changes_an_attribute(bundle, slide, cells):
    parts = [
        analyse_pixels(slide, (Field(number, rect),), bundle, batch_size=2, tile_px=97)
        for number, rect in enumerate(HALVES)
    ]
    assert min(map(len, parts)) > 0
    assert same(CellTable.concatenate(parts, bundle.labels), cells)


def test_fields_without_cells_know_the_attributes(bundle):
    glass = ArraySlide(np.full((64, 64, 3), 255, np.uint8), 0.25)
    for fields in ((), (Field(0, Rect(0, 0, 64, 64)),)):
        empty = analyse_pixels(glass, fields, bundle, batch_size=8, tile_px=128)
        assert len(empty) == 0
        assert {name: column.values for name, column in empty.attributes.items()} == VALUES


def look(gates, table, expected=None):
    parameters = attribute_parameters(VALUES, len(table if expected is None else expected))
    return gates.validate("attributes", attributes_frame(table), run_id="night-1", slide_id="s1", parameters=parameters)


def spoilt(table, spoil):
    return replace(table, attributes=dict(table.attributes) | {"cell_size": spoil(table.attributes["cell_size"])})


def test_morphology_that_can_be_passes_the_gate(gates, cells, bundle):
    result = look(gates, cells)
    assert result.success, result.detail
    assert look(gates, CellTable.empty(bundle.labels, bundle.classifier.attributes)).success


def first(values, value):
    changed = values.copy()
    changed[0] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "column"),
    [
        # "pink" is a value of another attribute.
        (lambda a: replace(a, values=("pink", "medium", "large"), index=first(a.index, 0)), "told"),
        (lambda a: replace(a, index=first(a.index, 3)), "told"),
        (lambda a: replace(a, index=first(a.index, -1)), "told"),
        (lambda a: replace(a, confidence=first(a.confidence, 1.01)), "confidence"),
        (lambda a: replace(a, confidence=first(a.confidence, -0.01)), "confidence"),
        (lambda a: replace(a, confidence=first(a.confidence, np.nan)), "confidence"),
        (lambda a: a.take(np.arange(1, len(a))), None),
    ],
)
def test_morphology_that_cannot_be_is_stopped(gates, cells, spoil, column):
    result = look(gates, spoilt(cells, spoil), cells)
    assert not result.success
    assert result.errors == ()
    assert {outcome.column for outcome in result.failures} == {column}
    assert all(value not in result.detail for values in VALUES.values() for value in values)


def test_an_attribute_that_is_lost_is_stopped(gates, cells):
    result = look(gates, replace(cells, attributes={"cell_size": cells.attributes["cell_size"]}))
    assert [outcome.expectation for outcome in result.failures] == ["table_row_count_to_equal"]


def test_a_told_slide_is_published_and_counted(bundle, cells, tmp_path):
    taxonomy = load_taxonomy(bundle.taxonomy)
    model = model_record(
        bundle.digest,
        labels=bundle.labels,
        taxonomy_digest=taxonomy.digest,
        classes=ModelRecord.classes_of(taxonomy),
    )
    analysis = replace(
        analysis_record(cells, model_digest=bundle.digest, attributes=bundle.classifier.attributes),
        fields=(FieldRecord(FIELD, len(cells)),),
    )
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        store_model(warehouse, model)
        walk(warehouse, "s1", until=State.VALIDATED)
        assert load_slide(warehouse, slide_record(), analysis, cells).stored
        assert faults(warehouse) == ()
        published = publish(warehouse, tmp_path / "published")
    table = pq.read_table(published.parquet["cell_attributes"]).to_pylist()
    assert len(table) == published.rows["cell_attributes"] == 2 * len(cells)
    assert {(row["cell_id"], row["attribute"], row["value"]) for row in table} == {
        (number, name, value) for name, column in cells.attributes.items() for number, value in enumerate(column.value)
    }
    with open_published(published.path) as database, database.batches("attribute_counts", 10_000) as batches:
        counts = batches.read_all().to_pylist()
    assert sum(row["cells"] for row in counts) == 2 * len(cells)
    assert {(row["attribute"], row["value"]) for row in counts} == {
        (n, v) for n, names in VALUES.items() for v in names
    }
    assert {row["patient_id"] for row in counts} == {"p1"}
