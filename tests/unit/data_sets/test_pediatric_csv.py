"""The authors' tables of BoneMarrowWSI-PediatricLeukemia: columns, corners, gaps and what is missing."""

import csv
from pathlib import Path

import pytest

from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.pediatric import read
from marrow_models.errors import UserError
from tests.layouts.marrow_pediatric import WrittenCell, marked_slide, write_csv, write_dicom_slide, write_mirax_slide

OPTIONS = ReadOptions()
SLIDE = marked_slide([WrittenCell(1, 7, (200, 210, 260, 280), ("monocyte", "promonocyte", "monocyte"))])
OTHER_SLIDE = marked_slide([WrittenCell(2, 7, (300, 310, 360, 380))], patient="F" * 32)


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_csv(tmp_path, [SLIDE])


def change(table: Path, **values: str) -> None:
    """Set columns of the first row."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0] |= values
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_the_name_of_a_slide_tells_the_patient(folder):
    assert [picture.patient for picture in read(folder, OPTIONS).pictures] == [SLIDE.patient]


def test_tables_are_known_by_their_columns_whatever_they_are_called(folder):
    before = read(folder, OPTIONS).pictures
    (folder / "cells_classification.csv").rename(folder / "a.csv")
    (folder / "rois.csv").rename(folder / "b.csv")
    assert read(folder, OPTIONS).pictures == before


def test_an_empty_consensus_means_that_there_was_none(folder):
    change(folder / "cells_classification.csv", original_consensus_label="")
    (found,) = read(folder, OPTIONS).pictures[0].cells
    assert (found.label, found.raw_label, len(found.votes)) == (None, "no_consensus_found", 3)


@pytest.mark.parametrize("roi_id", ["-1", "", "7.0"])
def test_a_cell_without_a_region_is_found_by_where_it_lies(folder, roi_id):
    change(folder / "cells_classification.csv", roi_id=roi_id)
    (picture,) = read(folder, OPTIONS).pictures
    assert (picture.width_px, len(picture.cells)) == (512, 1)


def test_a_cell_in_both_kinds_of_table_keeps_its_label(folder):
    bare = folder / "cells_detection.csv"
    rows = (folder / "cells_classification.csv").read_text().splitlines()
    bare.write_text("\n".join(",".join(row.split(",")[:7]) for row in rows) + "\n")
    (found,) = read(folder, OPTIONS).pictures[0].cells
    assert found.label == "monocyte"


def test_slides_that_are_not_there_are_left_out_and_counted(tmp_path):
    write_csv(tmp_path, [SLIDE, OTHER_SLIDE])
    (tmp_path / f"{OTHER_SLIDE.slide_id}.mrxs").unlink()
    data_set = read(tmp_path, OPTIONS)
    assert {picture.patient for picture in data_set.pictures} == {SLIDE.patient}
    assert "slides with annotations that are not here, left out: 1" in data_set.notes


def test_without_any_slide_the_error_says_which_file_is_wanted(folder):
    (folder / f"{SLIDE.slide_id}.mrxs").unlink()
    with pytest.raises(UserError, match=f"{SLIDE.slide_id}.mrxs"):
        read(folder, OPTIONS)


def test_without_a_table_of_regions_the_error_says_so(folder):
    (folder / "rois.csv").unlink()
    with pytest.raises(UserError, match="table of regions with the columns roi_id, slide_id"):
        read(folder, OPTIONS)


def test_the_mirax_slide_is_taken_where_the_dicom_slide_lies_beside_it(folder):
    write_dicom_slide(folder / SLIDE.slide_id, SLIDE)
    assert {picture.image.path.suffix for picture in read(folder, OPTIONS).pictures} == {".mrxs"}


def test_a_dicom_slide_is_known_by_its_container_as_well_as_by_its_folder(tmp_path):
    write_csv(tmp_path, [SLIDE], "dicom slides")
    (tmp_path / SLIDE.slide_id).rename(tmp_path / "SM_1.2.3")
    assert len(read(tmp_path, OPTIONS).pictures) == 1


def test_a_dicom_slide_that_does_not_say_where_it_was_cut_is_refused(tmp_path):
    write_csv(tmp_path, [SLIDE])
    (tmp_path / f"{SLIDE.slide_id}.mrxs").unlink()
    write_dicom_slide(tmp_path / SLIDE.slide_id, SLIDE, bounds=False)
    with pytest.raises(UserError, match=r"openslide\.bounds-x"):
        read(tmp_path, OPTIONS)


def test_slides_may_lie_in_folders(tmp_path):
    write_csv(tmp_path, [SLIDE])
    inner = tmp_path / "slides" / "batch 1"
    inner.mkdir(parents=True)
    (tmp_path / f"{SLIDE.slide_id}.mrxs").unlink()
    write_mirax_slide(inner, SLIDE)
    assert read(tmp_path, OPTIONS).pictures[0].image.path.parent == inner


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x1": "nan"}, "x1 must be a number"),
        ({"y2": ""}, "y2 must be a number"),
        ({"x1": "900", "x2": "800"}, "ends before it begins"),
        ({"cell_id": "1.5"}, "cell_id must be a whole number"),
        ({"cell_id": "one"}, "cell_id must be a number"),
        ({"roi_id": "field"}, "roi_id must be a number"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_file_and_line(folder, values, words):
    change(folder / "cells_classification.csv", **values)
    with pytest.raises(UserError, match=rf"cells_classification\.csv: line 2: .*{words}") as caught:
        read(folder, OPTIONS)
    assert SLIDE.patient not in str(caught.value)


def test_a_row_that_was_cut_off_is_refused_by_its_line(folder):
    table = folder / "cells_classification.csv"
    table.write_text(table.read_text() + "9,abc\n")
    with pytest.raises(UserError, match=r"line 3: expected 9 values"):
        read(folder, OPTIONS)


def test_a_consensus_that_is_no_class_is_refused_by_name(folder):
    change(folder / "cells_classification.csv", original_consensus_label="neutrophile")
    with pytest.raises(UserError, match="neutrophile"):
        read(folder, OPTIONS)


def test_a_table_that_is_not_utf_8_is_refused(folder):
    table = folder / "cells_classification.csv"
    table.write_bytes(table.read_bytes().replace(b"promonocyte", b"other:H\xe4mo"))
    with pytest.raises(UserError, match=r"cells_classification\.csv: not UTF-8"):
        read(folder, OPTIONS)
