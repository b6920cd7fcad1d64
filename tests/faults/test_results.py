"""F42, F43: networks that return no numbers and counts that do not add up never become rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from marrow_models.analysis import analyse_pixels
from marrow_models.errors import Reason, SlideRefused
from marrow_models.model_output import check_output
from marrow_models.networks.loading import load_networks
from marrow_models.records import CellTable, Field, Rect
from tests.unit.cell_models import factories
from tests.unit.store_house.factories import analysis_record, begin_night, cell_table, slide_record
from warehouse.connection import open_warehouse
from warehouse.load import load_slide

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = Field(0, Rect(0, 0, 120, 100))
ROLES = {"detector": 0, "classifier": 1}


def spoiled(output: object, value: float) -> object:
    """The output of a network with ``value`` in its place."""
    if isinstance(output, dict):
        return {name: torch.full_like(part, value) for name, part in output.items()}
    assert isinstance(output, tuple)
    return tuple(torch.full_like(part, value) for part in output)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_network_that_returns_no_number_costs_the_slide(tmp_path: Path, role: str, value: float) -> None:
    """F42."""
    bundle = factories.bundle(tmp_path)
    network = load_networks(bundle)[ROLES[role]].network
    hook = network.register_forward_hook(lambda _module, _inputs, output: spoiled(output, value))
    try:
        with pytest.raises(SlideRefused) as refused:
            analyse_pixels(factories.slide(1), (WHOLE,), bundle, batch_size=32, tile_px=256)
    finally:
        hook.remove()

    assert refused.value.reason is Reason.MODEL_OUTPUT


def test_a_classifier_that_prefers_no_class_is_not_taken_for_the_first_class(tmp_path: Path) -> None:
    """F42: all logits equal."""
    bundle = factories.bundle(tmp_path)
    network = load_networks(bundle)[1].network
    hook = network.register_forward_hook(lambda _module, _inputs, output: spoiled(output, 7.0))
    try:
        cells = analyse_pixels(factories.slide(1), (WHOLE,), bundle, batch_size=32, tile_px=256)
    finally:
        hook.remove()

    assert len(cells)
    with pytest.raises(SlideRefused) as refused:
        check_output(cells)
    assert refused.value.reason is Reason.MODEL_OUTPUT
    check_output(analyse_pixels(factories.slide(1), (WHOLE,), bundle, batch_size=32, tile_px=256))
    check_output(CellTable.empty(bundle.labels))


@pytest.mark.parametrize("fault", ["a cell is missing", "a cell is in no field", "a width below zero"])
def test_counts_that_do_not_add_up_roll_the_slide_back(tmp_path: Path, fault: str) -> None:
    """F43."""
    cells = cell_table(30)
    analysis = analysis_record(cells, "k1", slide_id="s1")
    if fault == "a cell is missing":
        cells = cells.take(np.arange(29))
    elif fault == "a cell is in no field":
        cells = replace(cells, field_id=np.full(30, 99, np.int32))
    else:
        cells = replace(cells, width_um=-cells.width_um)
    with open_warehouse(tmp_path / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        with pytest.raises(SlideRefused) as refused:
            load_slide(warehouse, slide_record("s1"), analysis, cells)
        assert refused.value.reason is Reason.INCONSISTENT
        assert [warehouse.count(table) for table in ("fact_analysis", "fact_field", "fact_cell")] == [0, 0, 0]
