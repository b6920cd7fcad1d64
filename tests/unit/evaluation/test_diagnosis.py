import numpy as np
import pytest
from sklearn import metrics

from marrow_models.errors import UserError
from marrow_models.evaluation.diagnosis import diagnosis_figures
from tests.unit.evaluation.factories import certain, random_classes

DIAGNOSES = ("AML", "ALL", "APL")


def patients(seed, number=120, skill=1.5):
    true, probabilities = random_classes(seed, number, 3, skill)
    return [DIAGNOSES[k] for k in true], probabilities


def figures(truth, probabilities, **options):
    return diagnosis_figures(truth, probabilities, DIAGNOSES, **({"resamples": 0} | options))


def test_the_mean_f1_and_the_area_of_each_diagnosis_are_those_of_scikit_learn():
    truth, probabilities = patients(1)
    found = figures(truth, probabilities).classes
    said = [DIAGNOSES[k] for k in probabilities.argmax(axis=1)]
    assert found.macro_f1.value == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    for k, row in enumerate(found.classes):
        positive = [name == row.label for name in truth]
        assert row.label == DIAGNOSES[k]
        assert row.auc.value == pytest.approx(metrics.roc_auc_score(positive, probabilities[:, k]))
        assert row.f1.value == pytest.approx(metrics.f1_score(positive, [name == row.label for name in said]))


def test_log_loss_and_brier_score_by_hand():
    found = figures(["AML", "ALL"], [[0.8, 0.1, 0.1], [0.5, 0.25, 0.25]])
    assert found.log_loss == pytest.approx(-(np.log(0.8) + np.log(0.25)) / 2)
    assert found.brier == pytest.approx(((0.04 + 0.01 + 0.01) + (0.25 + 0.5625 + 0.0625)) / 2)


def test_two_diagnoses_are_enough():
    found = diagnosis_figures(["a", "b", "a"], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], ("a", "b"), resamples=0)
    assert found.classes.macro_f1.value == 1
    assert found.brier == pytest.approx(2 * (0.01 + 0.04 + 0.16) / 3)


def test_without_a_word_every_patient_was_answered():
    truth, probabilities = patients(2)
    found = figures(truth, probabilities, resamples=20)
    assert (found.answered.low, found.answered.value, found.answered.high) == (1, 1, 1)
    assert (found.classes.sampling.unit, found.classes.sampling.units) == ("patient", 120)


def test_figures_are_of_the_patients_that_were_answered_and_their_share_is_stated():
    truth, probabilities = patients(3)
    sure = probabilities.max(axis=1) > 0.6
    found = figures(truth, probabilities, answered=sure, resamples=200)
    direct = figures([name for name, kept in zip(truth, sure, strict=True) if kept], probabilities[sure])
    assert found.answered.value == pytest.approx(sure.mean())
    assert found.answered.low < sure.mean() < found.answered.high
    assert found.classes.cells == sure.sum()
    assert found.classes.macro_f1.value == direct.classes.macro_f1.value
    assert found.log_loss == direct.log_loss


def test_slides_of_a_patient_are_drawn_together():
    truth, probabilities = patients(4, 20)
    rows = np.repeat(np.arange(20), 6)
    slides = [truth[k] for k in rows]
    by_patient = figures(slides, probabilities[rows], patients=[f"p{k}" for k in rows], resamples=300).classes
    by_slide = figures(slides, probabilities[rows], resamples=300).classes
    assert by_patient.sampling.units == 20
    assert by_patient.accuracy.value == by_slide.accuracy.value
    assert by_patient.accuracy.high - by_patient.accuracy.low > 1.7 * (by_slide.accuracy.high - by_slide.accuracy.low)


def test_patients_of_the_answered_rows_stay_with_their_rows():
    truth, probabilities = patients(5, 10)
    names = [f"p{k // 2}" for k in range(10)]
    answered = np.asarray([True, True, False, False] + [True] * 6)
    found = figures(truth, probabilities, patients=names, answered=answered, resamples=50)
    assert found.classes.sampling.units == 4
    assert found.answered.value == 0.8


def test_a_diagnosis_that_the_model_does_not_know_is_refused_by_name():
    with pytest.raises(UserError, match="CML, MDS in the truth, expected AML, ALL, APL"):
        figures(["AML", "MDS", "CML"], certain(np.asarray([0, 1, 2]), 3))


def test_no_answer_at_all_and_answers_for_others_are_refused():
    truth, probabilities = patients(6, 4)
    with pytest.raises(UserError, match="0 rows with a suggestion"):
        figures(truth, probabilities, answered=[False] * 4)
    with pytest.raises(UserError, match=r"shape \(3,\)"):
        figures(truth, probabilities, answered=[True] * 3)
    with pytest.raises(UserError, match=r"shape \(4, 3\), expected \(3, 3\)"):
        figures(truth[:3], probabilities)
