import numpy as np

from marrow_models.training.card import model_card
from marrow_models.training.evaluation import Evaluation
from tests.unit.cell_models.factories import CLASSIFIER, DETECTOR

FIGURES = Evaluation(
    fields=12,
    cells=345,
    ap50=0.98765,
    recall=0.91234,
    precision=0.95,
    label_accuracy=0.81,
    category_accuracy=0.97,
    categories=("blast", "lymphocyte", "never_seen"),
    confusion=np.asarray([[90, 10, 0], [5, 95, 0], [0, 0, 0]]),
    largest_bias=2.5,
)


def card():
    return model_card(
        title="Toy",
        data="Drawn.",
        command="marrow train",
        detector=DETECTOR,
        classifier=CLASSIFIER,
        figures=FIGURES,
        limits=("Synthetic only.",),
        licence="Apache-2.0",
    )


def test_a_card_warns_names_its_data_limits_and_licence():
    text = card()
    for part in ("# Toy", "For Research Use Only", "Drawn.", "`marrow train`", "- Synthetic only.", "Apache-2.0"):
        assert part in text


def test_a_card_holds_the_figures():
    text = card()
    for figure in ("12 fields", "345 cells", "0.9877", "0.9123", "0.9500", "0.8100", "0.9700", "2.50 percentage"):
        assert figure in text


def test_a_card_says_what_is_taken_for_what_and_leaves_out_what_was_never_seen():
    text = card()
    assert "| blast | 100 | 0.900 | lymphocyte 10 |" in text
    assert "| lymphocyte | 100 | 0.950 | blast 5 |" in text
    assert "never_seen" not in text
