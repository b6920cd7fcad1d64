"""Reading what `marrow phantom` wrote as a data set."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from marrow_models.datasets.images import read_image
from marrow_models.datasets.phantom import read
from marrow_models.datasets.splits import split_pictures
from marrow_models.errors import UserError
from marrow_models.phantom.night import SlideScale
from tests.layouts import phantom

WIDE = SlideScale(1100, 640, cells=(6, 8))
"""Two pictures wide, one high."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return phantom.write(tmp_path_factory.mktemp("phantom"), patients=2, scale=WIDE)


@pytest.fixture(scope="module")
def data_set(folder):
    return read(folder, phantom.OPTIONS)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def altered(folder: Path, name: str, old: str, new: str) -> Path:
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return folder


def test_a_slide_becomes_pictures_that_cover_it_once(data_set):
    covered = np.zeros((640, 1100), int)
    slide = data_set.pictures[0].image.path
    for picture in data_set.pictures:
        if picture.image.path == slide:
            rect = picture.image.rect_px
            covered[rect.y : rect.bottom, rect.x : rect.right] += 1
    assert (covered == 1).all()


def test_pictures_are_about_128_um_wide(data_set):
    assert {picture.width_px * picture.um_per_px for picture in data_set.pictures} == {137.5}


def test_whose_picture_it_is_stands_in_the_manifest(folder, data_set):
    manifest = {row["file"]: row["patient_id"] for row in rows(folder / "manifest.csv")}
    assert {(p.image.name, p.patient) for p in data_set.pictures} == set(manifest.items())


def test_each_cell_of_the_truth_is_where_it_was_drawn(folder, data_set):
    truth = [row for row in rows(folder / "truth" / "cells.csv") if row["readable"] == "true"]
    found = {
        (p.image.name, cell.label, p.image.rect_px.x + cell.box_px[0], p.image.rect_px.y + cell.box_px[1])
        for p in data_set.pictures
        for cell in p.cells
        if not cell.ignored
    }
    expected = {
        (
            row["file"],
            row["cell_class"],
            float(row["x_px"]) - float(row["width_px"]) / 2,
            float(row["y_px"]) - float(row["height_px"]) / 2,
        )
        for row in truth
    }
    assert found <= expected
    assert len(found) >= 0.7 * len(expected)  # the others are cut by an edge


def test_a_readable_cell_is_darker_than_the_glass_around_it(data_set):
    picture = next(p for p in data_set.pictures if any(not cell.ignored for cell in p.cells))
    cell = next(cell for cell in picture.cells if not cell.ignored)
    left, top, right, bottom = (round(value) for value in cell.box_px)
    pixels = read_image(picture.image)
    assert pixels[top:bottom, left:right].mean() < np.median(pixels) - 10


def test_cells_that_cannot_be_read_are_ignored(folder, data_set):
    unreadable = sum(row["readable"] == "false" for row in rows(folder / "truth" / "cells.csv"))
    assert unreadable
    assert sum(cell.ignored for picture in data_set.pictures for cell in picture.cells) >= unreadable


def test_a_cell_that_the_edge_of_a_picture_cuts_is_ignored_in_both(tmp_path):
    folder = phantom.write(tmp_path, patients=1, scale=WIDE)
    row = next(row for row in rows(folder / "truth" / "cells.csv") if row["readable"] == "true")
    altered(folder, "truth/cells.csv", f",{row['x_px']},{row['y_px']},", ",550.0,300.0,")
    here = read(folder, phantom.OPTIONS)
    middle = [
        (picture.image.rect_px.x, cell.ignored, cell.box_px)
        for picture in here.pictures
        for cell in picture.cells
        if cell.label == row["cell_class"] and cell.box_px[1] == 300 - float(row["height_px"]) / 2
    ]
    half = float(row["width_px"]) / 2
    assert [(left, ignored) for left, ignored, _ in middle] == [(0, True), (550, True)]
    assert middle[0][2][0::2] == (550 - half, 550)
    assert middle[1][2][0::2] == (0, half)


def test_the_parts_of_a_split_share_no_patient(data_set):
    split = split_pictures(data_set, seed=1, shares=(0.5, 0.0, 0.5))
    assert {p.patient for p in split.train}.isdisjoint(p.patient for p in split.test)
    assert split.train
    assert split.test


@pytest.mark.parametrize(("slide_format", "domain"), [("dicom", "dicom"), ("ome-tiff", "ome-tiff")])
def test_slides_of_every_format_are_read_and_are_a_domain_of_their_own(tmp_path, slide_format, domain):
    here = read(phantom.write(tmp_path, patients=1, slide_format=slide_format), phantom.OPTIONS)
    assert {picture.domain for picture in here.pictures} == {domain}
    svs = read(phantom.write(tmp_path / "svs", patients=1), phantom.OPTIONS)
    assert [p.cells for p in here.pictures] == [p.cells for p in svs.pictures]
    # The containers hold the same JPEG tiles.
    assert (read_image(here.pictures[0].image) == read_image(svs.pictures[0].image)).all()


def test_without_a_manifest_the_error_names_it(tmp_path):
    folder = phantom.write(tmp_path, patients=1)
    (folder / "manifest.csv").unlink()
    with pytest.raises(UserError, match=r"manifest\.csv"):
        read(folder, phantom.OPTIONS)


def test_a_slide_that_is_gone_is_named(tmp_path):
    folder = phantom.write(tmp_path, patients=1)
    (folder / "slide-0001-a.svs").unlink()
    with pytest.raises(UserError, match=r"slide-0001-a\.svs: the slide cannot be read"):
        read(folder, phantom.OPTIONS)


def test_a_folder_of_a_series_without_a_level_is_named(tmp_path):
    folder = phantom.write(tmp_path, patients=1, slide_format="dicom")
    for file in (folder / "slide-0001-a").glob("*.dcm"):
        file.unlink()
    with pytest.raises(UserError, match="slide-0001-a: the slide cannot be read"):
        read(folder, phantom.OPTIONS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("slide-0001-a.svs", "slide-0099-a.svs", r"line 2: slide-0099-a\.svs is not in manifest\.csv"),
        (",true,", ",yes,", "readable as true or false"),
    ],
)
def test_a_row_of_the_truth_that_cannot_be_is_refused_with_its_line(tmp_path, old, new, message):
    folder = altered(phantom.write(tmp_path, patients=1), "truth/cells.csv", old, new)
    with pytest.raises(UserError, match=message):
        read(folder, phantom.OPTIONS)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("cell_class", "megaloblast", "no label 'megaloblast'"),
        ("width_px", "0", "has no area"),
        ("x_px", "nan", "has no area"),
        ("x_px", "left", "expected a box"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(tmp_path, column, value, message):
    folder = phantom.write(tmp_path, patients=1)
    table = rows(folder / "truth" / "cells.csv")
    table[0][column] = value
    with (folder / "truth" / "cells.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    with pytest.raises(UserError, match=message):
        read(folder, phantom.OPTIONS)
