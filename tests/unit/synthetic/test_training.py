"""Fields for training."""

from collections import Counter

import numpy as np
import pytest

from marrow_models.phantom.morphology import morphologies
from marrow_models.phantom.training import LabelledField, default_class_weights, training_field


def fields(number: int, **options: object) -> list[LabelledField]:
    rng = np.random.default_rng(11)
    return [training_field(rng, size_px=256, **options) for _ in range(number)]  # type: ignore[arg-type]


def test_boxes_are_boxes_of_the_field() -> None:
    for made in fields(12):
        assert made.image.shape == (256, 256, 3)
        assert made.image.dtype == np.uint8
        assert made.boxes.dtype == np.float32
        assert made.boxes.shape == (len(made.labels), 4)
        for boxes in (made.boxes, made.ignored):
            assert boxes.shape[1] == 4
            assert (boxes >= 0).all()
            assert (boxes <= 256).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_cells_at_the_border_have_a_box_when_their_centre_is_inside_and_are_ignored_otherwise() -> None:
    made = fields(40, readable_only=True)
    at_border = [(box, True) for f in made for box in f.boxes] + [(box, False) for f in made for box in f.ignored]
    touching = [inside for box, inside in at_border if box.min() == 0 or box.max() == 256]
    assert any(touching)
    assert not all(touching)
    # Without regions nothing else is ignored.
    for f in made:
        assert all(box.min() == 0 or box.max() == 256 for box in f.ignored)


def test_fields_are_three_to_five_times_as_dense_as_a_slide() -> None:
    made = [training_field(np.random.default_rng(seed), readable_only=True) for seed in range(12)]
    per_mm2 = np.mean([len(f.labels) for f in made]) / 0.128**2
    slide_per_mm2 = 315 / 1.024**2
    assert 2.8 < per_mm2 / slide_per_mm2 < 5


def test_by_default_every_label_may_turn_up_and_no_category_prevails() -> None:
    assert set(default_class_weights()) == set(morphologies())
    assert min(default_class_weights().values()) > 0
    counts = Counter(label for f in fields(60) for label in f.labels)
    assert len(counts) >= 28
    assert max(counts.values()) < 0.1 * sum(counts.values())


def test_only_labels_with_weight_are_drawn() -> None:
    weights = {"lymphocyte": 3.0, "monocyte": 1.0}
    counts = Counter(label for f in fields(30, class_weights=weights) for label in f.labels)
    assert set(counts) == set(weights)
    assert 1.5 < counts["lymphocyte"] / counts["monocyte"] < 6


def test_fields_without_cells_can_be_made() -> None:
    made = fields(3, density=0.0, readable_only=True)
    assert all(len(f.labels) == 0 for f in made)
    assert all(f.boxes.shape == (0, 4) for f in made)


def test_some_fields_hold_a_part_that_cannot_be_read() -> None:
    inner = [sum(1 for box in f.ignored if box.min() > 0 and box.max() < 256) > 0 for f in fields(60, density=0.5)]
    assert 2 <= sum(inner) <= 25


@pytest.mark.parametrize("um_per_px", [0.25, 0.5])
def test_cells_have_the_same_size_in_micrometres_at_every_scale(um_per_px: float) -> None:
    rng = np.random.default_rng(4)
    weights = {"neutrophilic_myelocyte": 1.0}
    sizes = []
    for _ in range(6):
        f = training_field(rng, size_px=300, um_per_px=um_per_px, class_weights=weights, readable_only=True)
        inner = [box for box in f.boxes if box.min() > 0 and box.max() < 300]
        sizes += [float(box[2] - box[0]) * um_per_px for box in inner]
    assert np.mean(sizes) == pytest.approx(15.6, abs=1.2)


def test_the_same_generator_makes_the_same_field() -> None:
    first, again = (training_field(np.random.default_rng(3), size_px=200) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.ignored, again.ignored)
    assert first.labels == again.labels
