import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.pyramid.scale import resampled
from marrow_models.records import Rect
from marrow_models.taxonomy import load_taxonomy
from marrow_models.training import crops as reading
from marrow_models.training.fields import FieldSet
from marrow_models.training.pictures import (
    KINDS,
    MarkedPictures,
    kind_of,
    marked_fields,
    marked_pictures,
    reduced,
    rescaled,
)
from tests.unit.cell_models.marked import box_um, cell, field_at, saved

BLOOD, MARROW = load_taxonomy("blood3"), load_taxonomy("marrow49")
NONE = np.zeros((0, 4), np.float32)


def marked(tmp_path, pictures, kinds=KINDS, um_per_px=0.25, taxonomy=BLOOD):
    return marked_pictures(pictures, taxonomy, kinds, um_per_px, tmp_path / "kept")


def blood(tmp_path, name="f.png", um_per_px=0.1, **more):
    cells = [
        cell("rbc", box_um(12, 15, 8, um_per_px)),
        cell("wbc", box_um(27, 24, 10, um_per_px)),
        cell("platelet", box_um(20, 33, 6, um_per_px)),
        cell("wbc", box_um(5, 5, 4, um_per_px), ignored=True),
    ]
    return saved(tmp_path / name, field_at(um_per_px), cells, um_per_px=um_per_px, **more)


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("segmented_neutrophil", "nucleated"),
        ("orthochromatic_erythroblast", "nucleated"),
        ("smudge_cell", "nucleated"),
        ("megakaryocyte", "nucleated"),
        ("erythrocyte", "erythrocyte"),
        ("giant_platelet", "platelet"),
        ("artifact", None),
        ("spicule", None),
        (None, "nucleated"),
    ],
)
def test_the_class_of_an_object_says_what_a_detector_should_call_it(label, kind):
    assert kind_of(cell(label), MARROW) == kind


def test_pictures_come_at_the_detectors_scale_with_their_boxes(tmp_path):
    pictures = marked(tmp_path, [blood(tmp_path, patient="p"), blood(tmp_path, "g.png", um_per_px=0.2)])
    assert pictures.um_per_px == 0.25
    assert len(pictures) == 2
    assert [image.shape for image in pictures.images] == [(160, 160, 3)] * 2
    for boxes, kinds, labels, ignored in zip(
        pictures.boxes, pictures.kinds, pictures.labels, pictures.ignored, strict=True
    ):
        assert boxes[1] == pytest.approx(box_um(27, 24, 10, 0.25), rel=1e-5)
        assert [KINDS[kind] for kind in kinds] == ["erythrocyte", "nucleated", "platelet"]
        assert labels == ("rbc", "wbc", "platelet")
        assert ignored == pytest.approx(np.asarray([box_um(5, 5, 4, 0.25)]), rel=1e-5)
    assert pictures.patients == ("p", None)
    # Both are the same field, read with pixels of two sizes.
    assert abs(pictures.images[0].astype(int) - pictures.images[1]).mean() < 2
    assert abs(pictures.images[0].astype(int) - field_at(0.25)).mean() < 2


def test_kinds_that_are_not_looked_for_are_background_and_numbers_follow_the_order_asked(tmp_path):
    pictures = marked(tmp_path, [blood(tmp_path)], ("nucleated", "platelet"))
    assert pictures.kinds[0].tolist() == [0, 1]
    assert pictures.labels[0] == ("wbc", "platelet")
    assert len(pictures.ignored[0]) == 1


def test_around_the_part_that_was_annotated_nothing_is_held_against_a_detector(tmp_path):
    picture = blood(tmp_path, annotated_px=(Rect(100, 60, 250, 200),))
    pictures = marked(tmp_path, [picture], um_per_px=0.1)
    covered = np.zeros((400, 400), int)
    for left, top, right, bottom in pictures.ignored[0][1:].astype(int):
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    assert not covered[60:260, 100:350].any()
    assert (covered == 0).sum() == 250 * 200


def test_a_picture_annotated_to_its_edges_has_nothing_around(tmp_path):
    picture = blood(tmp_path, annotated_px=(Rect(0, 0, 400, 400),))
    assert len(marked(tmp_path, [picture]).ignored[0]) == 1


def test_two_annotated_parts_in_one_picture_are_refused_by_name(tmp_path):
    picture = blood(tmp_path, annotated_px=(Rect(0, 0, 20, 20), Rect(30, 0, 20, 20)))
    with pytest.raises(UserError, match=r"f\.png: 2 annotated parts"):
        marked(tmp_path, [picture])


def test_a_picture_of_unknown_pixel_size_is_refused_by_name(tmp_path):
    picture = saved(tmp_path / "q.png", field_at(0.5), [cell("wbc", (1.0, 1.0, 9.0, 9.0))], um_per_px=None)
    with pytest.raises(UserError, match=r"q\.png.*um_per_px"):
        marked(tmp_path, [picture])


def test_without_an_object_of_the_kinds_it_is_refused(tmp_path):
    points = saved(tmp_path / "q.png", field_at(0.5), [cell("wbc", point=(9.0, 9.0))])
    for pictures, kinds in (([points], KINDS), ([], KINDS)):
        with pytest.raises(UserError, match=r"No object.*nucleated"):
            marked(tmp_path, pictures, kinds)


def test_pixels_are_kept_and_read_again_from_the_folder(tmp_path, monkeypatch):
    source = [blood(tmp_path), blood(tmp_path, "g.png", um_per_px=0.2)]
    first = marked(tmp_path, source)
    opened = []
    original = reading.read_image
    monkeypatch.setattr(reading, "read_image", lambda ref: opened.append(ref.name) or original(ref))
    again = marked(tmp_path, source)
    assert opened == []
    assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert not again.images[0].flags.writeable
    other = marked(tmp_path, source[::-1])
    assert opened == ["g.png", "f.png"]
    assert np.array_equal(other.images[0], first.images[1])
    coarse = marked(tmp_path, source, um_per_px=0.5)
    assert coarse.images[0].shape == (80, 80, 3)


def test_sides_that_are_no_whole_number_at_a_scale_lose_no_pixel(tmp_path):
    picture = saved(tmp_path / "q.png", field_at(0.2)[:151, :133], [cell("wbc", (1.0, 1.0, 9.0, 9.0))], um_per_px=0.2)
    image = marked(tmp_path, [picture]).images[0]
    assert image.shape == (121, 107, 3)


def test_parts_are_put_together_in_order(tmp_path):
    parts = [marked(tmp_path / str(n), [blood(tmp_path / str(n), patient=f"p{n}")]) for n in range(3)]
    both = MarkedPictures.concatenate(parts)
    assert len(both) == len(both.boxes) == len(both.kinds) == len(both.ignored) == len(both.labels) == 3
    assert both.patients == ("p0", "p1", "p2")
    assert both.um_per_px == 0.25


def test_drawn_fields_are_averaged_and_their_boxes_shrink_with_them():
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    boxes = (np.asarray([[8, 12, 24, 40]], np.float32), NONE)
    fields = FieldSet(images, boxes, (("a",), ()), (NONE, boxes[0]), 0.25)
    pictures = marked_fields(fields, 0.5)
    assert pictures.images[0].shape == (32, 32, 3)
    assert pictures.boxes[0].tolist() == [[4, 6, 12, 20]]
    assert pictures.ignored[1].tolist() == [[4, 6, 12, 20]]
    assert [kinds.tolist() for kinds in pictures.kinds] == [[0], []]
    assert pictures.labels == (("a",), ())


def test_fields_are_reduced_as_a_slide_is():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def read(rect):
        padded = np.pad(image, ((0, 64), (0, 64), (0, 0)), constant_values=255)
        return padded[rect.y : rect.bottom, rect.x : rect.right]

    of_slide = resampled(read, 2.0, Rect(0, 0, 32, 32))
    assert abs(reduced(image[None], 2)[0].astype(int) - of_slide).max() <= 1


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_rescaled_picture_shows_the_same_field_with_pixels_of_another_size(factor):
    image = rescaled(field_at(0.2), factor)
    assert image.shape[:2] == (round(200 / factor),) * 2
    assert abs(image.astype(int) - field_at(0.2 * factor)).mean() < 2.5
