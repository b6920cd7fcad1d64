import numpy as np
import pytest

from marrow_models.taxonomy import load_taxonomy
from marrow_models.training.evaluation import (
    Found,
    average_precision,
    best_threshold,
    evaluate,
    fitted_temperature,
    look_for_cells,
)
from marrow_models.training.fields import FieldSet
from tests.unit.cell_models import factories

LABELS = ("lymphocyte", "monocyte", "segmented_neutrophil", "neutrophilic_band")


def boxes(*centres, size=10.0):
    return np.asarray([[x - size / 2, y - size / 2, x + size / 2, y + size / 2] for x, y in centres]).reshape(-1, 4)


def found(given, scores, said, true, labels, match):
    probabilities = np.full((len(said), len(LABELS)), 0.1, np.float32)
    for row, label in enumerate(said):
        probabilities[row, LABELS.index(label)] = 0.7
    return Found(given, np.asarray(scores, float), probabilities, true, tuple(labels), np.asarray(match, np.int64))


RIGHT = found(
    boxes((20, 20), (50, 50)),
    [0.9, 0.8],
    ["lymphocyte", "monocyte"],
    boxes((20, 20), (50, 50)),
    ["lymphocyte", "monocyte"],
    [0, 1],
)


def test_perfect_networks_have_perfect_figures():
    figures = evaluate([RIGHT], LABELS, load_taxonomy("marrow49"))
    assert figures.ap50 == pytest.approx(1)
    assert (figures.recall, figures.precision, figures.label_accuracy, figures.category_accuracy) == (1, 1, 1, 1)
    assert figures.largest_bias == 0
    assert (figures.fields, figures.cells) == (1, 2)


def test_a_missed_cell_costs_recall_and_a_false_one_precision():
    field = found(
        boxes((20, 20), (90, 90)),
        [0.9, 0.8],
        ["lymphocyte", "monocyte"],
        boxes((20, 20), (50, 50)),
        ["lymphocyte"] * 2,
        [0, -1],
    )
    figures = evaluate([field], LABELS, load_taxonomy("marrow49"))
    assert (figures.recall, figures.precision) == (0.5, 0.5)
    # The precision is 1 up to a recall of 0.5: COCO's 101 recall points 0 ... 0.50.
    assert figures.ap50 == pytest.approx(51 / 101)


def test_a_box_that_overlaps_by_less_than_half_is_no_hit():
    off = found(boxes((24, 20)), [0.9], ["lymphocyte"], boxes((20, 20)), ["lymphocyte"], [-1])
    near = found(boxes((22, 20)), [0.9], ["lymphocyte"], boxes((20, 20)), ["lymphocyte"], [0])
    assert average_precision([off]) == 0
    assert average_precision([near]) == pytest.approx(1)


def test_a_wrong_label_of_the_right_category_costs_label_accuracy_only():
    eosinophils = ("eosinophilic_myelocyte", "segmented_eosinophil", "monocyte")
    probabilities = np.asarray([[0.1, 0.8, 0.1], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6], [0.6, 0.2, 0.2]], np.float32)
    true = boxes((20, 20), (40, 40), (60, 60), (80, 80))
    labels = ("eosinophilic_myelocyte", "eosinophilic_myelocyte", "monocyte", "monocyte")
    field = Found(true, np.full(4, 0.9), probabilities, true, labels, np.arange(4))
    figures = evaluate([field], eosinophils, load_taxonomy("marrow49"))
    assert figures.label_accuracy == 0.5
    assert figures.category_accuracy == 0.75
    assert figures.confusion.tolist() == [[2, 0], [1, 1]]
    assert figures.largest_bias == pytest.approx(25)


def test_without_any_cell_figures_are_nought_and_finite():
    empty = found(boxes(), [], [], boxes(), [], [])
    figures = evaluate([empty], LABELS, load_taxonomy("marrow49")).as_json()
    assert figures["ap50"] == figures["recall"] == figures["category_accuracy"] == 0


def test_the_threshold_separates_hits_from_misses():
    scores = [0.95, 0.9, 0.8, 0.3, 0.2]
    field = found(
        boxes(*[(20 * n, 20) for n in range(1, 6)]),
        scores,
        ["monocyte"] * 5,
        boxes((20, 20), (40, 20), (60, 20)),
        ["monocyte"] * 3,
        [0, 1, 2, -1, -1],
    )
    assert 0.3 < best_threshold([field]) <= 0.8


def overconfident(rng, true_temperature):
    """Fields whose probabilities are those of scores that are ``true_temperature`` times too large."""
    logits = rng.normal(0, 2, (3000, len(LABELS)))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = [LABELS[rng.choice(len(LABELS), p=row)] for row in chances]
    said = np.exp(true_temperature * logits)
    said /= said.sum(axis=1, keepdims=True)
    none = np.zeros((3000, 4))
    return Found(none, np.ones(3000), said.astype(np.float32), none, tuple(truth), np.arange(3000))


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.8])
def test_the_temperature_undoes_overconfidence(temperature):
    fitted = fitted_temperature([overconfident(np.random.default_rng(0), temperature)], LABELS)
    assert fitted == pytest.approx(temperature, rel=0.1)


def test_without_a_found_cell_the_temperature_stays_one():
    assert fitted_temperature([found(boxes(), [], [], boxes(), [], [])], LABELS) == 1.0


def test_networks_are_run_over_fields_and_matched_with_the_truth(toy_bundle):
    from marrow_models.networks.loading import load_networks

    detector, classifier = load_networks(toy_bundle)
    image = factories.picture(1, 200, 200)
    probe = FieldSet(image[None], (np.zeros((0, 4), np.float32),), ((),), (np.zeros((0, 4), np.float32),), 0.25)
    (alone,) = look_for_cells(detector, classifier, probe)
    assert (alone.match == -1).all()
    # The largest of the boxes as the truth, all of the rest of the field to be ignored.
    best = int(np.argmax((alone.boxes[:, 2] - alone.boxes[:, 0]) * (alone.boxes[:, 3] - alone.boxes[:, 1])))
    truth = (alone.boxes[best : best + 1] / 0.25).astype(np.float32)
    everything = np.asarray([[0, 0, 200, 200]], np.float32)
    (with_truth,) = look_for_cells(
        detector, classifier, FieldSet(image[None], (truth,), ((factories.LABELS[0],),), (everything,), 0.25)
    )
    assert with_truth.match.tolist() == [0]
    assert len(with_truth.probabilities) == 1
