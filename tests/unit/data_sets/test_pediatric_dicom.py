"""The DICOM form of BoneMarrowWSI-PediatricLeukemia: series, sessions, and the defects of its releases."""

import shutil
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from marrow_models.datasets.consensus import NO_CONSENSUS, OTHER
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.pediatric import read
from marrow_models.datasets.records import DataSet, MarkedCell
from marrow_models.errors import UserError
from tests.layouts.marrow_pediatric import (
    COLLECTION,
    Defects,
    WrittenCell,
    WrittenSlide,
    marked_slide,
    save_annotations,
    write_dicom,
    write_dicom_slide,
)

OPTIONS = ReadOptions()
VOTES = [("monocyte", "promonocyte", "monocyte"), ("lymphocyte", "lymphocyte"), ("lymphocyte", "plasma_cell")]


def slide_with(votes, patient="0123456789ABCDEF0123456789ABCDEF", first_id=1) -> WrittenSlide:
    """A slide with a cell for each entry of ``votes``."""
    cells = []
    for number, given in enumerate(votes):
        x, y = 140 + 24 * (number % 20), 140 + 24 * (number // 20)
        cells.append(WrittenCell(first_id + number, 7, (x, y, x + 20, y + 20), given))
    return marked_slide(cells, patient=patient)


def read_written(folder: Path, *slides: WrittenSlide, **defects: bool) -> DataSet:
    return read(write_dicom(folder, slides, Defects(**defects)), OPTIONS)


def cells_of(data_set: DataSet) -> list[MarkedCell]:
    return [cell for picture in data_set.pictures for cell in picture.cells]


def series(folder: Path, words: str) -> Path:
    """The one annotation file with these words in its description."""
    files = [f for f in sorted(folder.rglob("*.dcm")) if words in str(pydicom.dcmread(f).get("SeriesDescription", ""))]
    assert len(files) == 1
    return files[0]


def noted(data_set: DataSet, words: str) -> bool:
    return any(words in note for note in data_set.notes)


def test_the_level_that_is_read_is_the_largest_and_no_overview(tmp_path):
    path = read_written(tmp_path, slide_with(VOTES)).pictures[0].image.path
    header = pydicom.dcmread(path, stop_before_pixels=True)
    assert (header.TotalPixelMatrixColumns, header.ImageType[2]) == (768, "VOLUME")


def test_sessions_become_votes_in_their_order(tmp_path):
    assert [cell.votes for cell in cells_of(read_written(tmp_path, slide_with(VOTES)))] == VOTES


def test_a_consensus_of_the_first_ten_cells_is_completed_from_the_sessions(tmp_path):
    votes = [VOTES[n % 3] for n in range(25)]
    whole = read_written(tmp_path / "whole", slide_with(votes))
    short = read_written(tmp_path / "short", slide_with(votes), first_ten=True)
    assert [(c.label, c.raw_label, c.votes) for c in cells_of(short)] == [
        (c.label, c.raw_label, c.votes) for c in cells_of(whole)
    ]
    assert noted(short, "consensus lacks (on 1 slides), labelled anew from the sessions: 15")
    assert not noted(whole, "labelled anew")


def test_a_lost_consensus_series_is_made_again_from_the_sessions(tmp_path):
    before = cells_of(read_written(tmp_path, slide_with(VOTES)))
    series(tmp_path, "Consensus").unlink()
    assert cells_of(read(tmp_path, OPTIONS)) == before


def test_sessions_that_are_copies_of_the_consensus_are_no_votes(tmp_path):
    data_set = read_written(tmp_path, slide_with(VOTES), copied_sessions=True)
    assert [cell.label for cell in cells_of(data_set)] == ["monocyte", "lymphocyte", None]
    assert {cell.votes for cell in cells_of(data_set)} == {()}
    assert noted(data_set, "copies of the consensus (an early release): votes not used: 1")


def test_in_a_release_of_copies_agreement_is_no_vote_either(tmp_path):
    agreed = slide_with([("lymphocyte", "lymphocyte")] * 3, patient="F" * 32, first_id=50)
    data_set = read_written(tmp_path, slide_with(VOTES), agreed, copied_sessions=True)
    assert {cell.votes for cell in cells_of(data_set)} == {()}
    assert {cell.label for cell in cells_of(data_set)} == {"monocyte", "lymphocyte", None}
    alone = read_written(tmp_path / "alone", agreed, copied_sessions=True)
    assert {cell.votes for cell in cells_of(alone)} == {("lymphocyte", "lymphocyte")}


def test_both_defects_together_still_give_the_published_labels(tmp_path):
    votes = [VOTES[n % 3] for n in range(25)]
    whole = read_written(tmp_path / "whole", slide_with(votes))
    broken = read_written(tmp_path / "broken", slide_with(votes), first_ten=True, copied_sessions=True)
    assert [c.label for c in cells_of(broken)] == [c.label for c in cells_of(whole)]


def test_a_monoblast_that_the_conversion_dropped_is_a_lost_vote(tmp_path):
    votes = [("monoblast", "monocyte", "monocyte"), ("monocyte", "monoblast"), ("monocyte", "monocyte")]
    data_set = read_written(tmp_path, slide_with(votes))
    first, second, third = cells_of(data_set)
    assert (first.label, first.votes) == ("monocyte", (OTHER, "monocyte", "monocyte"))
    assert (second.label, second.raw_label, second.votes) == (None, NO_CONSENSUS, ("monocyte",))
    assert (third.label, third.votes) == ("monocyte", ("monocyte", "monocyte"))
    assert noted(data_set, "votes lost from a session")
    assert noted(data_set, "no object is labelled immature_monocyte")


def test_a_box_that_all_called_monoblast_is_in_no_object(tmp_path):
    votes = [("monoblast", "monoblast"), ("monocyte", "monocyte")]
    assert len(cells_of(read_written(tmp_path / "as published", slide_with(votes)))) == 1
    whole = read_written(tmp_path / "mended", slide_with(votes), monoblasts_dropped=False)
    assert [cell.label for cell in cells_of(whole)] == ["immature_monocyte", "monocyte"]
    assert not noted(whole, "immature_monocyte")


def test_a_cell_in_no_region_has_no_region_identifier(tmp_path):
    outside = WrittenCell(5, -1, (20, 30, 60, 50), ("monocyte", "monocyte"))
    inside = WrittenCell(6, 7, (200, 200, 240, 240), ("monocyte", "monocyte"))
    data_set = read_written(tmp_path, marked_slide([outside, inside]))
    group_count = len(highdicom.ann.annread(series(tmp_path, "Consensus")).get_annotation_groups())
    assert group_count == 2
    assert [len(picture.cells) for picture in data_set.pictures] == [1, 1]


def test_annotations_and_slides_without_each_other_are_left_out_and_counted(tmp_path):
    whole, no_slide, no_marks = (slide_with(VOTES, letter * 32, n) for letter, n in (("A", 1), ("B", 20), ("C", 40)))
    write_dicom(tmp_path, [whole, no_slide, no_marks], Defects())
    for folder in (tmp_path / COLLECTION / no_slide.patient).rglob("SM_*"):
        shutil.rmtree(folder)
    for folder in (tmp_path / COLLECTION / no_marks.patient).rglob("ANN_*"):
        shutil.rmtree(folder)
    data_set = read(tmp_path, OPTIONS)
    assert {picture.patient for picture in data_set.pictures} == {whole.patient}
    assert "slides with annotations that are not here, left out: 1" in data_set.notes
    assert "slides without annotations, left out: 1" in data_set.notes


def test_annotations_without_any_slide_are_refused(tmp_path):
    write_dicom(tmp_path, [slide_with(VOTES)], Defects())
    for folder in list(tmp_path.rglob("SM_*")):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"expected the whole-slide series \(SM\)"):
        read(tmp_path, OPTIONS)


def test_slides_without_any_annotation_are_the_wrong_layout(tmp_path):
    write_dicom_slide(tmp_path / "SM_1", slide_with(VOTES))
    with pytest.raises(UserError, match=r"ANN_\*"):
        read(tmp_path, OPTIONS)


def test_annotations_of_a_level_that_is_not_the_largest_are_refused(tmp_path):
    path = read_written(tmp_path, slide_with(VOTES)).pictures[0].image.path
    path.unlink()
    with pytest.raises(UserError, match="largest level"):
        read(tmp_path, OPTIONS)


def test_two_releases_of_the_same_annotations_are_refused_by_name(tmp_path):
    write_dicom(tmp_path, [slide_with(VOTES)], Defects())
    file = series(tmp_path, "Consensus")
    shutil.copy(file, file.with_name("again.dcm"))
    with pytest.raises(UserError, match=r"again\.dcm"):
        read(tmp_path, OPTIONS)


def test_a_damaged_file_is_refused_by_name(tmp_path):
    write_dicom(tmp_path, [slide_with(VOTES)], Defects())
    file = series(tmp_path, "Session 0")
    file.write_bytes(b"\x55" * 2000)
    with pytest.raises(UserError, match=file.name):
        read(tmp_path, OPTIONS)


def test_annotations_that_lost_their_groups_are_refused_by_name(tmp_path):
    write_dicom(tmp_path, [slide_with(VOTES)], Defects())
    file = series(tmp_path, "Session 0")
    broken = pydicom.dcmread(file)
    del broken.AnnotationGroupSequence[0].PointCoordinatesData
    broken.save_as(file)
    with pytest.raises(UserError, match=file.name):
        read(tmp_path, OPTIONS)


def written_group(*, graphic_type="RECTANGLE", identifiers=(1,)) -> highdicom.ann.AnnotationGroup:
    corners = np.array([(200, 200), (220, 200), (220, 220), (200, 220)], np.float32)
    values = np.array(identifiers, np.float32)
    name = Code("0010197", "EFO", "single cell identifier")
    return highdicom.ann.AnnotationGroup(
        number=1,
        uid="2.25.77",
        label="monocyte",
        annotated_property_category=Code("91723000", "SCT", "Anatomical structure"),
        annotated_property_type=Code("55918008", "SCT", "Monocyte"),
        graphic_type=graphic_type,
        graphic_data=[corners] * max(len(identifiers), 1),
        algorithm_type="MANUAL",
        measurements=[highdicom.ann.Measurements(name, values, codes.UCUM.NoUnits)] if identifiers else None,
    )


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ({"graphic_type": "POLYGON"}, "type RECTANGLE, found POLYGON"),
        ({"identifiers": ()}, "a box has no identifier"),
        ({"identifiers": (4, 4)}, "cell 4 is there twice"),
    ],
)
def test_graphics_of_another_kind_are_refused(tmp_path, group, words):
    slide = slide_with(VOTES)
    base = write_dicom_slide(tmp_path / "SM_1", slide)
    file = save_annotations(tmp_path, slide, base, "Session 0: boxes", [written_group(**group)])
    with pytest.raises(UserError, match=rf"{file.name}: .*{words}"):
        read(tmp_path, OPTIONS)


def test_annotations_of_other_people_are_passed_over(tmp_path):
    slide = slide_with(VOTES)
    write_dicom(tmp_path, [slide], Defects())
    before = read(tmp_path, OPTIONS)
    base = pydicom.dcmread(before.pictures[0].image.path)
    save_annotations(tmp_path, slide, base, "My own polygons", [written_group(graphic_type="POLYGON")])
    after = read(tmp_path, OPTIONS)
    assert after.pictures == before.pictures
    assert noted(after, "none of the collection's, passed over: 1")


@pytest.mark.parametrize(
    "description",
    ["Cell bounding boxes with cell type labels; annotation session: 0", "Session 0: Cell bounding boxes"],
)
def test_the_wording_of_every_release_is_understood(tmp_path, description):
    slide = slide_with(VOTES)
    base = write_dicom_slide(tmp_path / "SM_1", slide)
    save_annotations(tmp_path, slide, base, description, [written_group()])
    (cell,) = cells_of(read(tmp_path, OPTIONS))
    assert cell.votes == ("monocyte",)


def test_a_slide_without_a_pixel_size_takes_the_one_that_is_given(tmp_path):
    path = read_written(tmp_path, slide_with(VOTES)).pictures[0].image.path
    header = pydicom.dcmread(path)
    del header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    header.save_as(path)
    assert read(tmp_path, OPTIONS).pictures[0].um_per_px is None
    assert read(tmp_path, ReadOptions(um_per_px=0.12)).pictures[0].um_per_px == 0.12
