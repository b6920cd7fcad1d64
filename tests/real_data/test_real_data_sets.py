"""The data sets at hand, read in place: their counts, their pixels and their known defects."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from marrow_models.datasets import bccd, class_folder, oi_pbc, txl_pbc
from marrow_models.datasets.images import content_digest, read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not (DATA / "pbc").is_dir(), reason="the real data sets are not beside the project"),
]


def labels(data_set: DataSet, split: str | None = None) -> Counter[str | None]:
    pictures = (p for p in data_set.pictures if split is None or p.split == split)
    return Counter(cell.label for picture in pictures for cell in picture.cells)


@pytest.fixture(scope="module")
def pbc() -> DataSet:
    return oi_pbc.read(DATA / "pbc", ReadOptions())


def test_the_cleaned_bccd_has_its_splits_and_boxes() -> None:
    data_set = bccd.read(DATA / "smear_fields" / "bccd_clean.tar", ReadOptions())
    assert Counter(p.split for p in data_set.pictures) == {"train": 300, "test": 60}
    assert labels(data_set) == {"rbc": 4131, "wbc": 368, "platelet": 359}
    assert data_set.notes == ("boxes of zero size, dropped: 2 (first: testing/BloodImage_00343.xml)",)
    assert {(p.width_px, p.height_px) for p in data_set.pictures} == {(640, 480)}


def test_the_boxes_of_bccd_are_those_that_the_composite_slide_was_made_with() -> None:
    """The slide's boxes were written from the same files by other code; boxes without area apart."""
    with (DATA / "wsi" / "blood-composite.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = Counter((row["field"], int(row["x1"]) - int(row["x0"]), int(row["y1"]) - int(row["y0"])) for row in rows)
    data_set = bccd.read(DATA / "smear_fields" / "bccd_clean.tar", ReadOptions())
    found = Counter(
        (picture.image.member[:-4], int(cell.box_px[2] - cell.box_px[0]), int(cell.box_px[3] - cell.box_px[1]))
        for picture in data_set.pictures
        for cell in picture.cells
        if picture.split == "test"
    )
    assert found == {(field[:-4], w, h): n for (field, w, h), n in wanted.items() if w and h}


def test_the_fields_of_another_laboratory_have_their_boxes() -> None:
    data_set = txl_pbc.read(DATA / "smear_fields" / "raabin_fields.tar", ReadOptions())
    assert len(data_set.pictures) == 250
    assert labels(data_set) == {"rbc": 3112, "wbc": 256, "platelet": 16}
    assert {(p.width_px, p.height_px) for p in data_set.pictures} == {(575, 575)}
    assert data_set.notes == ()


@pytest.mark.parametrize("reader", [(bccd, "bccd_clean"), (txl_pbc, "raabin_fields")], ids=["bccd", "raabin"])
def test_every_field_decodes_and_its_the_middle_of_its_white_cells_is_dark(reader) -> None:
    module, name = reader
    data_set = module.read(DATA / "smear_fields" / f"{name}.tar", ReadOptions())
    darker = []
    for picture in data_set.pictures:
        green = read_image(picture.image)[..., 1]
        assert green.shape == (picture.height_px, picture.width_px)
        for cell in picture.cells:
            if cell.label == "wbc" and cell.box_px is not None:
                left, top, right, bottom = cell.box_px
                x, y = int(left + right) // 2, int(top + bottom) // 2
                darker.append(np.median(green[y - 20 : y + 20, x - 20 : x + 20]) < np.median(green))
    assert np.mean(darker) > 0.97


def test_oi_pbc_has_its_splits_classes_and_attributes(pbc) -> None:
    assert Counter(p.split for p in pbc.pictures) == {"train": 5000, "val": 550, "test": 1643}
    assert len(labels(pbc)) == 12
    assert labels(pbc)["rbc"] == 114501
    assert all("zero size" in note or "edge" in note or "central" in note or "red cells" in note for note in pbc.notes)
    assert "boxes of zero size, dropped: 13 (first: train.tar: labels/train/BA_229541.txt)" in pbc.notes


def test_the_central_cells_of_oi_pbc_are_those_of_its_table(pbc) -> None:
    single = oi_pbc.central_cells(pbc)
    with (DATA / "pbc" / "cells.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert set(rows) == {p.image.name for p in single.pictures}
    for picture in single.pictures:
        row, (cell,) = rows[picture.image.name], picture.cells
        assert (cell.raw_label, picture.split) == (row["cell_class"], row["split"])
        assert dict(cell.attributes) == {k: v for k, v in row.items() if k in pbc.attributes.values and v}
    assert sum(bool(p.cells[0].attributes) for p in single.pictures) == 4020
    assert len(labels(single, "test")) == 11


def test_no_picture_of_oi_pbc_is_in_two_splits(pbc) -> None:
    splits: dict[str, set[str | None]] = {}
    for picture in pbc.pictures:
        splits.setdefault(content_digest(picture.image), set()).add(picture.split)
    assert all(len(found) == 1 for found in splits.values())


def test_marrow_cells_are_known_by_the_beginning_of_their_names() -> None:
    data_set = class_folder.read(DATA / "marrow_samples", ReadOptions(taxonomy="bmc21"))
    assert len(data_set.pictures) == 36
    assert {(p.width_px, p.height_px) for p in data_set.pictures} == {(250, 250)}
    assert labels(data_set)["blast"] == 7
