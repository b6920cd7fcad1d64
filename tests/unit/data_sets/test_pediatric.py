"""BoneMarrowWSI-PediatricLeukemia: what becomes of regions, cells, votes and defects, in both of its forms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marrow_models.datasets.consensus import NO_CONSENSUS, OTHER, UNLABELLED, soft_labels
from marrow_models.datasets.images import read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.pediatric import monolayer_areas, read
from marrow_models.datasets.records import DataSet
from marrow_models.errors import UserError
from marrow_models.records import Rect
from tests.layouts.marrow_pediatric import (
    CORNER_PX,
    Defects,
    WrittenCell,
    marked_slide,
    phantom_slides,
    write,
    write_csv,
    write_dicom,
)

FIELD = (7, (128, 128, 640, 640))
OPTIONS = ReadOptions()
AGREED = ("monocyte", "monocyte")


def in_form(form: str, folder: Path, *slides, defects: Defects | None = None) -> DataSet:
    if form == "dicom":
        write_dicom(folder, slides, defects or Defects())
    else:
        write_csv(folder, slides, form)
    return read(folder, OPTIONS)


each_form = pytest.mark.parametrize("form", ["dicom", "mrxs", "csv with dicom slides"])
NAMED = {"dicom": "dicom", "mrxs": "mrxs", "csv with dicom slides": "dicom slides"}


def cell(number: int, box=(200, 210, 260, 280), votes=AGREED, roi_id=7) -> WrittenCell:
    return WrittenCell(number, roi_id, box, votes)


def noted(data_set: DataSet, words: str) -> bool:
    return any(words in note for note in data_set.notes)


@each_form
def test_a_field_is_a_picture_with_its_cells_where_they_are(form, tmp_path):
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1), cell(2, (500, 500, 540, 530))]))
    (picture,) = data_set.pictures
    assert (picture.width_px, picture.height_px, picture.annotated_px) == (512, 512, None)
    assert [found.box_px for found in picture.cells] == [(72, 82, 132, 152), (372, 372, 412, 402)]
    pixels = read_image(picture.image)
    dark = np.argwhere(pixels[..., 0] < 160)
    assert np.abs(dark.min(axis=0) - [82, 72]).max() <= 1
    assert np.abs(dark.max(axis=0) - [401, 411]).max() <= 1


@each_form
def test_the_pixel_size_is_the_one_of_the_slide(form, tmp_path):
    write_in = in_form(NAMED[form], tmp_path, marked_slide([cell(1)]))
    assert {picture.um_per_px for picture in write_in.pictures} == {0.25}
    assert read(tmp_path, ReadOptions(um_per_px=0.5)).pictures[0].um_per_px == 0.25


@each_form
def test_labels_are_those_of_the_taxonomy_and_the_raw_ones_are_kept(form, tmp_path):
    votes = [("lymphoblast",) * 2, ("lymphocytic_blast",) * 2, ("myeloblast",) * 2, ("monocyte", "promonocyte")]
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(n, votes=v) for n, v in enumerate(votes)]))
    cells = data_set.pictures[0].cells
    expected = ["lymphoid_precursor_cell", "lymphocytic_blast", "myeloid_precursor_cell", None]
    assert [found.label for found in cells] == expected
    assert [found.votes for found in cells[:3]] == [(label,) * 2 for label in expected[:3]]
    assert (cells[3].raw_label, cells[3].votes, cells[3].ignored) == (NO_CONSENSUS, ("monocyte", "promonocyte"), False)
    assert data_set.taxonomy.name == "marrow49"
    assert cells[0].raw_label == ("lymphoid_precursor_cell" if form == "dicom" else "lymphoblast")


@each_form
def test_an_unclassified_box_is_an_object_without_a_class(form, tmp_path):
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1, votes=())]))
    (found,) = data_set.pictures[0].cells
    assert (found.label, found.raw_label, found.votes, found.ignored) == (None, UNLABELLED, (), False)
    assert noted(data_set, "without a class (not classified, or no consensus): 1")


@each_form
def test_a_cell_outside_of_all_fields_is_a_small_picture_that_is_annotated_where_it_lies(form, tmp_path):
    outside = [cell(1, (670, 400, 710, 420), roi_id=-1), cell(2, (745, 300, 765, 340), roi_id=2001)]
    slide = marked_slide([*outside, cell(3)], [FIELD, (2001, (0, 0, 768, 768))])
    field, first, second = in_form(NAMED[form], tmp_path, slide).pictures
    assert len(field.cells) == 1
    assert (first.width_px, first.height_px) == (120, 100)
    assert first.cells[0].box_px == (40, 40, 80, 60)
    assert first.annotated_px == (Rect(40, 40, 40, 20),)
    assert (second.width_px, second.height_px) == (63, 120)  # cut by the edge of the slide
    assert read_image(second.image)[60, 50, 0] < 160


@each_form
def test_a_large_monolayer_region_is_an_area_and_no_picture(form, tmp_path):
    slide = marked_slide([cell(1)], [FIELD, (2001, (0, 0, 700, 768))])
    data_set = in_form(NAMED[form], tmp_path, slide)
    (area,) = monolayer_areas(tmp_path)
    assert len(data_set.pictures) == 1
    assert area.rect_px is not None
    assert (area.rect_px.width, area.rect_px.height) == (700, 768)
    assert area.path == data_set.pictures[0].image.path


@each_form
def test_a_field_in_which_nobody_marked_anything_is_left_out(form, tmp_path):
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1)], [FIELD, (8, (0, 640, 128, 768))]))
    assert len(data_set.pictures) == 1
    assert noted(data_set, "fields without a marked cell, left out: 1")


@each_form
def test_a_slide_is_a_patient_and_the_patients_are_in_a_fixed_order(form, tmp_path):
    slides = [marked_slide([cell(n)], patient=letter * 32) for n, letter in enumerate("CAB")]
    data_set = in_form(NAMED[form], tmp_path, *slides)
    assert [picture.patient for picture in data_set.pictures] == ["A" * 32, "B" * 32, "C" * 32]


@each_form
def test_notes_do_not_name_a_patient(form, tmp_path):
    slide = marked_slide([cell(1, votes=("monocyte", "promonocyte")), cell(2, (300, 300, 300, 320))])
    data_set = in_form(NAMED[form], tmp_path, slide)
    assert data_set.notes
    assert not any(slide.patient in note for note in data_set.notes)


@each_form
def test_a_box_of_zero_size_is_dropped_and_noted(form, tmp_path):
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1), cell(2, (300, 300, 300, 320))]))
    assert len(data_set.pictures[0].cells) == 1
    assert noted(data_set, "zero size, dropped: 1")


@each_form
def test_free_text_is_mapped_or_kept_as_other(form, tmp_path):
    votes = ("other:Riesenthrombozyt", "other:Fettzelle", "giant_platelet")
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1, votes=votes), cell(2)]))
    found = data_set.pictures[0].cells[0]
    assert found.votes == ("giant_platelet", OTHER, "giant_platelet")
    assert soft_labels(found.votes, data_set.taxonomy) == {"giant_platelet": 1.0}


def test_a_cell_at_the_edge_of_a_field_is_cut_and_counts_where_its_centre_is(tmp_path):
    inside, outside = cell(1, (100, 300, 170, 340)), cell(2, (90, 400, 150, 440))
    field, alone = in_form("mrxs", tmp_path, marked_slide([inside, outside])).pictures
    assert [(c.box_px, c.ignored) for c in field.cells] == [((0, 172, 42, 212), False), ((0, 272, 22, 312), True)]
    assert [(c.box_px, c.ignored) for c in alone.cells] == [((60, 60, 120, 100), False)]


def test_where_fields_overlap_a_cell_belongs_to_its_own_and_is_ignored_in_the_other(tmp_path):
    regions = [FIELD, (8, (400, 128, 700, 640))]
    slide = marked_slide([cell(1), cell(2, (500, 300, 540, 340), roi_id=8), cell(3, (600, 300, 640, 340))], regions)
    first, second = in_form("mrxs", tmp_path, slide).pictures
    assert [c.ignored for c in first.cells] == [False, True, False]
    assert [c.ignored for c in second.cells] == [False, True]


def test_a_region_that_is_listed_twice_is_one_picture(tmp_path):
    data_set = in_form("mrxs", tmp_path, marked_slide([cell(1), cell(2, roi_id=9)], [FIELD, (9, FIELD[1])]))
    (picture,) = data_set.pictures
    assert len(picture.cells) == 2


def test_a_box_that_was_drawn_twice_outside_of_fields_is_one_picture_with_two_cells(tmp_path):
    twice = [cell(n, (20, 30, 60, 50), roi_id=-1) for n in (1, 2)]
    data_set = in_form("mrxs", tmp_path, marked_slide(twice))
    assert [len(picture.cells) for picture in data_set.pictures] == [2]


def test_both_forms_and_both_kinds_of_slides_give_the_same_cells(tmp_path):
    found = []
    for form, slides in (("dicom", "dicom"), ("csv", "mrxs"), ("csv", "dicom")):
        folder = tmp_path / f"{form}-{slides}"
        write(folder, form=form, slides=slides, defects=Defects(monoblasts_dropped=False))
        pictures = read(folder, OPTIONS).pictures
        fields = [
            (p.width_px, p.height_px, p.patient, [(c.label, c.box_px, c.votes) for c in p.cells]) for p in pictures
        ]
        found.append((fields[0], fields[3], [(c.label, c.votes) for p in pictures for c in p.cells]))
    assert found[0] == found[1] == found[2]
    assert found[0][0][:2] == (2048, 2048)
    assert len(found[0][2]) > 100


def test_pixels_are_the_same_in_the_mirax_slide_and_in_the_dicom_slide(tmp_path):
    (slide,) = phantom_slides(1, 1, 0, 90, 1)
    pictures = [in_form(form, tmp_path / form, slide).pictures[0] for form in ("mrxs", "dicom")]
    corners = [picture.image.rect_px for picture in pictures]
    assert (corners[0].x - corners[1].x, corners[0].y - corners[1].y) == CORNER_PX
    first, second = (read_image(picture.image)[:400, :400].astype(int) for picture in pictures)
    aligned, shifted = np.abs(first - second).mean(), np.abs(first[:, 1:] - second[:, :-1]).mean()
    assert aligned < 0.7 * shifted
    assert aligned < 3


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dicom", "csv"])
def test_the_phantom_has_what_a_training_needs(form, tmp_path):
    data_set = read(write(tmp_path, form=form, patients=4, fields=4, cells=60), OPTIONS)
    labels = [c.label for picture in data_set.pictures for c in picture.cells if c.label]
    assert len({picture.patient for picture in data_set.pictures}) == 4
    assert len(labels) > 500
    assert len(set(labels)) > 10


def test_where_both_forms_lie_the_tables_are_read(tmp_path):
    slide = marked_slide([cell(1, votes=("monoblast",) * 2)])
    write_csv(tmp_path, [slide], "dicom slides")
    data_set = in_form("dicom", tmp_path, slide)
    assert [c.label for picture in data_set.pictures for c in picture.cells] == ["immature_monocyte"]


def test_a_folder_of_something_else_is_refused_with_what_was_expected_and_found(tmp_path):
    (tmp_path / "cells.txt").write_text("x")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError) as caught:
        read(tmp_path, OPTIONS)
    message = str(caught.value)
    assert all(
        part in message for part in ("bonemarrowwsi_pediatricleukemia", "cell_id", "1 files .txt", "1 files .csv")
    )


def test_a_file_instead_of_a_folder_is_refused(tmp_path):
    file = tmp_path / "cells.csv"
    file.write_text("")
    with pytest.raises(UserError, match=r"cells\.csv: expected the folder"):
        read(file, OPTIONS)


@each_form
def test_annotations_that_lie_outside_of_the_slide_are_refused(form, tmp_path):
    slide = marked_slide([cell(1)])
    far = replace(slide, cells=(*slide.cells, cell(12, (900, 100, 950, 150))))
    with pytest.raises(UserError, match=r"cell 12 at .* lies outside"):
        in_form(NAMED[form], tmp_path, far)


@each_form
def test_a_slide_that_cannot_be_read_is_refused_by_its_name(form, tmp_path):
    data_set = in_form(NAMED[form], tmp_path, marked_slide([cell(1)]))
    path = data_set.pictures[0].image.path
    if path.suffix == ".mrxs":
        (path.with_suffix("") / "Slidedat.ini").unlink()
    else:
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match=path.name):
        read(tmp_path, OPTIONS)
