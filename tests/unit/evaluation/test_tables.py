import csv
import io
import json

import numpy as np
import pytest

from marrow_models.evaluation.attributes import attribute_figures
from marrow_models.evaluation.boxes import box_figures
from marrow_models.evaluation.classes import class_figures
from marrow_models.evaluation.diagnosis import diagnosis_figures
from marrow_models.evaluation.resampling import Estimate, Sampling
from marrow_models.evaluation.tables import (
    Table,
    as_json,
    attribute_tables,
    box_tables,
    class_tables,
    confusion_table,
    diagnosis_tables,
    sampling_text,
)
from tests.unit.evaluation.factories import LABELS, SCHEMA, random_attributes, random_boxes, random_classes

KINDS = ("white cell", "red cell", "platelet")
MIXED = Table(
    "mixed", "Mixed", ("class", "cells", "F1", "recall"), (("a|b", 3, Estimate(0.5, 0.25, 0.75), float("nan")),)
)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_for_people_has_three_digits_and_intervals_in_brackets():
    assert MIXED.as_markdown().splitlines() == [
        "| class | cells | F1 | recall |",
        "| --- | --- | --- | --- |",
        "| a\\|b | 3 | 0.500 (0.250 - 0.750) | - |",
    ]


def test_a_table_for_programs_has_columns_for_the_ends_of_intervals():
    assert MIXED.as_csv() == "class,cells,F1,F1 low,F1 high,recall\na|b,3,0.500000,0.250000,0.750000,\n"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\tx"])
def test_f39_a_name_that_a_spreadsheet_would_run_is_a_text_in_the_csv_file(name):
    table = Table("t", "T", (name, "F1"), ((name, -0.5),))
    assert list(csv.reader(io.StringIO(table.as_csv()))) == [["'" + name, "F1"], ["'" + name, "-0.500000"]]


def test_a_figure_without_interval_is_shown_alone():
    table = Table("", "", ("F1",), ((Estimate(0.5),), (Estimate(float("nan")),)))
    assert table.as_markdown().splitlines()[2:] == ["| 0.500 |", "| - |"]
    assert rows_of(table.as_csv())[0] == {"F1": "0.500000", "F1 low": "", "F1 high": ""}


def test_a_column_that_has_intervals_in_some_rows_is_split_in_all():
    table = Table("", "", ("figure", "value"), (("a", Estimate(0.5, 0.4, 0.6)), ("b", 0.25)))
    first, second = rows_of(table.as_csv())
    assert first == {"figure": "a", "value": "0.500000", "value low": "0.400000", "value high": "0.600000"}
    assert second == {"figure": "b", "value": "0.250000", "value low": "", "value high": ""}


@pytest.fixture(scope="module")
def classes():
    return class_figures(*random_classes(1), LABELS, resamples=50)


def test_class_tables_hold_the_figures(classes):
    overall, each = class_tables(classes)
    values = dict(overall.rows)
    assert values["macro F1"] is classes.macro_f1
    assert values["expected calibration error"] == classes.calibration_error
    assert [row[0] for row in each.rows] == list(LABELS)
    assert each.rows[1] == (
        "monocyte",
        classes.classes[1].cells,
        classes.classes[1].precision,
        classes.classes[1].recall,
        classes.classes[1].specificity,
        classes.classes[1].f1,
        classes.classes[1].auc,
    )


def test_the_confusion_table_names_its_rows_and_columns(classes):
    rows = rows_of(confusion_table(classes).as_csv())
    assert [row["true class"] for row in rows] == list(LABELS)
    assert [[int(row[label]) for label in LABELS] for row in rows] == classes.confusion.tolist()


def test_box_tables_hold_the_figures():
    found = box_figures(*random_boxes(3), KINDS, resamples=20)
    overall, kinds = box_tables(found)
    assert dict(overall.rows) == {
        "AP50": found.ap50,
        "AP50:95": found.ap50_95,
        "AP75": found.ap75,
        "average recall": found.recall,
    }
    for row, of_kind in zip(rows_of(kinds.as_csv()), found.kinds, strict=True):
        assert (row["kind"], int(row["boxes"])) == (of_kind.kind, of_kind.boxes)
        assert float(row["AP50 low"]) == pytest.approx(of_kind.ap50.low, abs=1e-6)
        assert float(row["F1"]) == pytest.approx(of_kind.best.f1, abs=1e-6)
        assert float(row["from score"]) == pytest.approx(of_kind.best.score, abs=1e-6)


def test_attribute_tables_hold_the_figures():
    found = attribute_figures(*random_attributes(4), SCHEMA, resamples=20)
    overall, each, values = attribute_tables(found)
    assert [value for _, value in overall.rows] == [found.mean_accuracy, found.mean_macro_f1, found.mean_second_f1]
    assert [row[0] for row in each.rows] == list(SCHEMA.values)
    assert [row[:2] for row in values.rows] == [
        (name, value) for name, all_of in SCHEMA.values.items() for value in all_of
    ]
    assert rows_of(each.as_csv())[1]["F1 of the second value"] == ""


def test_diagnosis_tables_hold_the_figures():
    true, probabilities = random_classes(5, 60)
    found = diagnosis_figures([LABELS[k] for k in true], probabilities, LABELS, resamples=20)
    overall, each = diagnosis_tables(found)
    values = dict(overall.rows)
    assert values["share of patients with a suggestion"] is found.answered
    assert values["macro F1"] is found.classes.macro_f1
    assert (values["log loss"], values["Brier score (0 to 2)"]) == (found.log_loss, found.brier)
    assert (overall.name, each.name) == ("diagnoses", "diagnoses_each")
    assert each.head[1] == "patients"


def test_the_sampling_is_told_in_a_sentence():
    assert sampling_text(Sampling("patient", 246, 1000, 7)) == (
        "95 % intervals: percentile bootstrap, 1000 resamples of 246 units (patient), seed 7."
    )


def test_figures_become_json_without_curves(classes):
    value = as_json(classes)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert "roc" not in value
    assert "reliability" not in value
    assert value["macro_f1"]["value"] == round(classes.macro_f1.value, 6)
    assert value["labels"] == list(LABELS)
    assert value["confusion"] == classes.confusion.tolist()
    assert value["classes"][0]["label"] == "lymphocyte"


def test_what_is_undefined_is_null_in_json():
    assert as_json(Estimate(float("nan"))) == {"value": None, "low": None, "high": None}
    assert as_json(np.asarray([1.0, np.nan, 0.12345678])) == [1.0, None, 0.123457]
