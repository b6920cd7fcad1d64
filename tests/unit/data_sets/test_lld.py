"""LeukemiaAttri and LLD: names, domains, the split by patient, and three ways to write a label."""

import json
import shutil

import pytest

from marrow_models.datasets import lld
from marrow_models.datasets.attributes import load_schema
from marrow_models.datasets.lld_labels import ARTEFACT
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.splits import check_no_leak
from marrow_models.errors import UserError
from marrow_models.records import Rect
from tests.layouts import lld as layout
from tests.layouts.drawing import packed, write_picture, write_text

BLAST_ATTRIBUTES = {
    "cell_size": "large",
    "nuclear_chromatin": "open",
    "nuclear_shape": "irregular",
    "nucleus": "prominent",
    "cytoplasm": "scanty",
    "cytoplasmic_basophilia": "moderate",
    "cytoplasmic_vacuoles": "absent",
}
NEUTROPHIL_ATTRIBUTES = {
    "cell_size": "medium",
    "nuclear_chromatin": "coarse",
    "cytoplasm": "abundant",
    "cytoplasmic_basophilia": "slight",
}
PATCH = (8, 72, 10, 78)
"""As the README has it: px1 px2 py1 py2; it touches every box of the layout."""


@pytest.fixture
def domains(tmp_path):
    return layout.write(tmp_path / "lld")


def read(path, **options):
    return lld.read(path, ReadOptions(**options))


def picture(found, name, domain=None):
    return next(p for p in found.pictures if p.image.name == name and domain in (None, p.domain))


def without_size(attributes):
    return {name: value for name, value in attributes.items() if name != "cell_size"}


# --- names, domains, split ---------------------------------------------------------------------------------


def test_patient_and_diagnosis_are_in_the_name(domains):
    found = picture(read(domains), "12_15_1000_ALL.png")
    assert (found.patient, found.label) == ("12", "ALL")


def test_a_name_may_have_more_than_one_number_for_the_field(domains):
    found = picture(read(domains), "1_3_1_1000_AML.png")
    assert (found.patient, found.label) == ("1", "AML")


def test_a_stray_sign_in_the_number_of_the_field_does_no_harm(tmp_path):
    data = layout.write_lines(tmp_path)
    for file in sorted(data.rglob("12_15_1000_ALL.*")):
        file.rename(file.with_name(f"12_1`5_2_1000_ALL{file.suffix}"))
    assert picture(read(data), "12_1`5_2_1000_ALL.png").patient == "12"


def test_the_domain_is_the_folder_and_has_its_scale(domains):
    found = lld.read(domains, layout.OPTIONS)
    assert {(p.domain, p.um_per_px) for p in found.pictures} == {("H_100X_C1", 0.11), ("L_40X_C2", 0.27)}


def test_one_domain_can_be_read_alone(domains):
    found = read(domains / "LeukemiaAttri_Dataset" / "H_100X_C1")
    assert {p.domain for p in found.pictures} == {"H_100X_C1"}
    assert len(found.pictures) == 4


def test_domains_are_found_in_either_spelling(domains):
    root = domains / "LeukemiaAttri_Dataset"
    (root / "H_100X_C1").rename(root / "h_100x_c1")
    found = read(domains, um_per_px_by_domain=(("H_100x_C1", 0.11),))
    assert {p.um_per_px for p in found.pictures if p.domain == "H_100X_C1"} == {0.11}


def test_without_domain_folders_the_magnification_in_the_name_is_the_domain(tmp_path):
    found = read(layout.write_lines(tmp_path), um_per_px_by_domain=(("100X", 0.1),))
    assert {(p.domain, p.um_per_px) for p in found.pictures} == {("100X", 0.1)}


def test_the_scale_of_a_domain_comes_before_that_of_all(domains):
    found = read(domains, um_per_px=0.5, um_per_px_by_domain=(("L_40X_C2", 0.27),))
    assert {(p.domain, p.um_per_px) for p in found.pictures} == {("H_100X_C1", 0.5), ("L_40X_C2", 0.27)}


def test_a_scale_for_a_domain_that_is_not_there_is_refused(domains):
    with pytest.raises(UserError, match="names H_10X_C1; the domains are H_100X_C1, L_40X_C2"):
        read(domains, um_per_px_by_domain=(("H_10X_C1", 1.0),))


def test_the_authors_test_patients_are_18_of_48():
    assert len(lld.TEST_PATIENTS) == 18
    assert len(lld.PATIENTS - lld.TEST_PATIENTS) == 30


def test_the_split_is_by_patient_whatever_folder_a_picture_lies_in(domains):
    found = read(domains)
    assert {(p.patient, p.split) for p in found.pictures} == {
        ("1", "train"),
        ("12", "train"),
        ("2", "test"),
        ("4", "test"),
    }
    assert any("patient 2 lie in the folder of the other split" in note for note in found.notes)


def test_the_split_does_not_leak(domains):
    found = read(domains).pictures
    check_no_leak([p for p in found if p.split == "train"], [p for p in found if p.split == "test"])


def test_a_patient_unknown_to_the_authors_list_is_on_one_side_too(tmp_path):
    data = layout.write_lines(tmp_path)
    for split in ("train", "test"):
        write_picture(data / "images" / split / f"77_{split[1:3].count('e')}_1000_CLL.png", *layout.SIZE, seed=77)
        write_text(data / "labels" / split / f"77_{split[1:3].count('e')}_1000_CLL.txt", "")
    assert {p.split for p in read(data).pictures if p.patient == "77"} == {"test"}


def test_pictures_are_in_a_fixed_order(domains):
    assert read(domains).pictures == read(domains).pictures
    names = [(p.domain, p.image.path.parent.name, p.image.name) for p in read(domains).pictures]
    assert len(set(names)) == len(names) == 8


# --- what is marked ----------------------------------------------------------------------------------------


def check_marks(found, attributes=BLAST_ATTRIBUTES, neutrophil=NEUTROPHIL_ATTRIBUTES):
    for field in found.pictures:
        blast, other, artefact = field.cells
        assert (blast.label, other.label, artefact.label) == ("myeloblast", "neutrophil", ARTEFACT)
        assert blast.box_px == pytest.approx(layout.BLAST, abs=1e-3)
        assert other.box_px == pytest.approx(layout.OTHER, abs=1e-3)
        assert dict(blast.attributes) == attributes
        assert dict(other.attributes) == neutrophil
        assert [cell.ignored for cell in field.cells] == [False, False, True]


def test_json_of_a_domain(domains):
    found = read(domains)
    check_marks(found)
    assert {cell.attributes.get("cell_size") for p in found.pictures for cell in p.cells} == {"large", "medium", None}


def test_json_as_in_the_readme_with_the_columns_of_the_tables(tmp_path):
    check_marks(read(layout.write_readme_coco(tmp_path)))
    check_marks(read(tmp_path / "COCO Dataset"))


def test_lines_with_six_attributes_have_no_cell_size(tmp_path):
    found = read(layout.write_lines(tmp_path))
    check_marks(found, without_size(BLAST_ATTRIBUTES), without_size(NEUTROPHIL_ATTRIBUTES))
    assert {p.annotated_px for p in found.pictures} == {None}


def test_lines_with_seven_attributes_begin_with_the_cell_size(tmp_path):
    check_marks(read(layout.write_lines(tmp_path / "H_10X_C1", attributes=7, labels="txt_labels/AttriDet")))


def test_lines_without_attributes_are_boxes_only(tmp_path):
    check_marks(read(layout.write_lines(tmp_path, attributes=0, labels="txt_labels/WBC_Detection")), {}, {})


@pytest.mark.parametrize("attributes", [6, 7])
def test_the_annotated_rectangle_of_the_sparse_set(tmp_path, attributes):
    found = read(layout.write_lines(tmp_path, attributes=attributes, patch=PATCH))
    assert {p.annotated_px for p in found.pictures} == {(Rect(8, 10, 64, 68),)}
    blast = found.pictures[0].cells[0].attributes
    assert dict(blast) == (BLAST_ATTRIBUTES if attributes == 7 else without_size(BLAST_ATTRIBUTES))


def test_the_rectangle_in_the_order_of_the_authors_loader_is_recognised(tmp_path):
    found = read(layout.write_lines(tmp_path, patch=(8, 10, 72, 78)))
    assert {p.annotated_px for p in found.pictures} == {(Rect(8, 10, 64, 68),)}
    assert any("x1 y1 x2 y2" in note for note in found.notes)


def test_the_documented_order_needs_no_note(tmp_path):
    assert read(layout.write_lines(tmp_path, patch=PATCH)).notes == ()


def test_a_field_of_the_sparse_set_without_lines_was_not_annotated(tmp_path):
    data = layout.write_lines(tmp_path, patch=PATCH)
    write_text(data / "labels/train/12_15_1000_ALL.txt", "\n")
    found = picture(read(data), "12_15_1000_ALL.png")
    assert (found.cells, found.annotated_px) == ((), ())


def test_a_field_of_the_full_set_without_lines_is_empty(tmp_path):
    data = layout.write_lines(tmp_path)
    write_text(data / "labels/train/12_15_1000_ALL.txt", "")
    found = picture(read(data), "12_15_1000_ALL.png")
    assert (found.cells, found.annotated_px) == ((), None)


def test_the_taxonomy_has_14_classes_in_index_order(domains):
    taxonomy = read(domains).taxonomy
    assert [label.replace("_", " ") for label in taxonomy.labels] == list(layout.NAMES)
    assert [taxonomy.resolve(str(n)) for n in range(14)] == list(taxonomy.labels)


def test_attributes_follow_the_schema(domains):
    found = read(domains)
    assert found.attributes == load_schema("lld7")
    for cell in (cell for p in found.pictures for cell in p.cells):
        assert all(value in found.attributes.values[name] for name, value in cell.attributes.items())


def test_boxes_that_are_corners_are_recognised_and_noted(domains):
    file = domains / "LeukemiaAttri_Dataset/H_100X_C1/json_labels/train.json"
    far = (*layout.MARKS, (1, (60, 50, 90, 78), layout.MARKS[0][2]))
    file.write_text(json.dumps(layout.coco(layout.FIELDS["train"], far, corners=True)))
    found = read(domains)
    assert picture(found, "12_15_1000_ALL.png").cells[3].box_px == (60, 50, 90, 78)
    assert any(note.startswith("H_100X_C1/train: bbox holds two corners") for note in found.notes)


def test_a_box_over_the_edge_by_a_pixel_is_cut(tmp_path):
    data = layout.write_lines(tmp_path, attributes=0)
    write_text(data / "labels/test/4_15_1000_ALL.txt", "1 0.95 0.5 0.12 0.5\n")
    (cell,) = picture(read(data), "4_15_1000_ALL.png").cells
    assert cell.box_px == pytest.approx((85.44, 20, 96, 60))


# --- what is incomplete or wrong ---------------------------------------------------------------------------


def test_a_tar_archive_is_read_in_place(domains, tmp_path):
    found = read(packed(domains, tmp_path / "lld.tar"))
    check_marks(found)
    assert [(p.image.name, p.split, p.domain) for p in found.pictures] == [
        (p.image.name, p.split, p.domain) for p in read(domains).pictures
    ]


def test_pictures_that_are_not_there_are_noted(domains):
    assert any("L_40X_C2/train: pictures that are not there: 1 (first: 12_99" in note for note in read(domains).notes)


def test_pictures_without_labels_are_noted_and_left_out(tmp_path):
    data = layout.write_lines(tmp_path)
    (data / "labels/train/12_15_1000_ALL.txt").unlink()
    found = read(data)
    assert "12_15_1000_ALL.png" not in {p.image.name for p in found.pictures}
    assert any("pictures without labels: 1 (first: 12_15_1000_ALL.png)" in note for note in found.notes)


def test_a_domain_whose_labels_are_still_packed_is_noted(domains):
    assert any(note.startswith("L_100X_C2: no labels beside its pictures (unpack") for note in read(domains).notes)


def test_pictures_without_any_labels_are_refused_with_what_was_expected(domains):
    for folder in sorted(domains.rglob("json_labels")):
        shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"Annotations/train.json or json_labels/train.json .*H_100X_C1/Images/train"):
        read(domains)


def test_labels_without_any_picture_are_refused(tmp_path):
    data = layout.write_lines(tmp_path)
    for file in sorted(data.rglob("*.png")):
        file.unlink()
    (data / "images/train/readme.txt").write_text("pictures here")
    with pytest.raises(UserError, match="none of the pictures"):
        read(data)


def test_a_name_without_a_patient_is_refused(tmp_path):
    data = layout.write_lines(tmp_path)
    for file in sorted(data.rglob("12_15_1000_ALL.*")):
        file.rename(file.with_name(f"IMG7{file.suffix}"))
    with pytest.raises(UserError, match=r"IMG7.png gives no patient"):
        read(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0.5 0.5 0.1 0.1 0 0 0", "line 1: 8 columns; expected cls x y w h"),
        ("1 0.5 0.5 0.1 x", "line 1: expected numbers"),
        ("1 0.5 0.5 nan 0.1", "line 1: expected finite numbers"),
        ("\n14 0.5 0.5 0.1 0.1", "line 2: taxonomy lld14 does not know the raw label '14'"),
        ("1.5 0.5 0.5 0.1 0.1", "raw label '1.5'"),
        ("1 0.5 0.5 0 0.1", "has no size"),
        ("1 1.5 0.5 0.1 0.1", "leaves the picture of 96 x 80 px"),
        ("1 0.5 0.5 0.1 0.1 3 0 0 0 0 0", "nuclear_chromatin is 3.0; expected 0 to 1, or 2 or 4 for none"),
        ("1 0.5 0.5 0.1 0.1 3 0 0 0 0 0 0", "cell_size is 3.0; expected 0 to 2"),
        ("1 0.5 0.5 0.1 0.1 60 90 60 79 0 0 0 0 0 0", "does not hold the box"),
        ("1 0.5 0.5 0.1 0.1 90 10 70 20 0 0 0 0 0 0", "does not hold the box"),
    ],
)
def test_a_line_that_cannot_be_is_refused_by_name_and_number(tmp_path, text, message):
    data = layout.write_lines(tmp_path)
    write_text(data / "labels/train/12_15_1000_ALL.txt", text + "\n")
    with pytest.raises(UserError, match=message) as caught:
        read(data)
    assert "12_15_1000_ALL.txt" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("categories"), "not a COCO file"),
        (lambda c: c["annotations"][0].pop("bbox"), "an item of annotations lacks image_id or category_id or bbox"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation 1: bbox must be a list of four numbers"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3, None]), "annotation 1: expected numbers"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 300, 4]), "annotation 1: the box .* leaves the picture"),
        (lambda c: c["annotations"][0].update(image_id=99), "annotation 1 belongs to no image"),
        (lambda c: c["annotations"][0].update(image_id=[1]), "an item of annotations has a image_id"),
        (lambda c: c["annotations"][0].update(category_name="basophile"), "does not know the raw label 'basophile'"),
        (lambda c: c["annotations"][0].update(cell_size="big"), "cell_size is 'big'"),
        (lambda c: c["images"].append(7), "an item of images lacks id or file_name"),
    ],
)
def test_a_json_file_that_cannot_be_is_refused_by_name(domains, change, message):
    file = domains / "LeukemiaAttri_Dataset/H_100X_C1/json_labels/train.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as caught:
        read(domains)
    assert "H_100X_C1/json_labels/train.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"images": 1}'])
def test_a_file_that_is_no_json_is_refused(domains, text):
    file = domains / "LeukemiaAttri_Dataset/H_100X_C1/json_labels/test.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"test.json: not a"):
        read(domains)
