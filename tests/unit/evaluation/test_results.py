import csv
import json
import re

import pytest

from marrow_models.errors import UserError
from marrow_models.evaluation.attributes import attribute_figures
from marrow_models.evaluation.boxes import box_figures
from marrow_models.evaluation.classes import class_figures
from marrow_models.evaluation.diagnosis import diagnosis_figures
from marrow_models.evaluation.plots import TrainingCurve
from marrow_models.evaluation.provenance import Provenance
from marrow_models.evaluation.results import write_results
from tests.unit.evaluation.factories import LABELS, SCHEMA, random_attributes, random_boxes, random_classes

PROVENANCE = Provenance(
    command="marrow evaluate classifier --data small=data/small --seed 7",
    data=("small, made up, CC0", "smaller, made up | CC0"),
    split="by patient, 5 folds",
    seed=7,
    machine="Fast Chip, 2 cores",
    limits=("drawn at random",),
)
KINDS = ("white cell", "red cell", "platelet")


def diagnosis():
    true, probabilities = random_classes(5, 60)
    return diagnosis_figures([LABELS[k] for k in true], probabilities, LABELS, resamples=30)


@pytest.fixture(scope="module")
def figures():
    return {
        "boxes": box_figures(*random_boxes(3), KINDS, resamples=30, max_per_picture=50),
        "classes": class_figures(*random_classes(1), LABELS, resamples=30),
        "attributes": attribute_figures(*random_attributes(4), SCHEMA, resamples=30),
        "diagnosis": diagnosis(),
        "curve": TrainingCurve([1, 2, 3], {"training": [3.0, 2.0, 1.0]}, {"macro F1": [0.1, 0.2, 0.3]}),
    }


@pytest.fixture(scope="module")
def folder(figures, tmp_path_factory):
    path = tmp_path_factory.mktemp("results") / "new" / "folder"
    write_results(path, "A small model", provenance=PROVENANCE, **figures)
    return path


def numbers(value):
    """All numbers in JSON values."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


def test_the_folder_holds_figures_tables_and_plots(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "attributes.csv",
        "attributes_each.csv",
        "attributes_values.csv",
        "boxes.csv",
        "boxes_kinds.csv",
        "boxes_precision_recall.png",
        "classes.csv",
        "classes_confusion.csv",
        "classes_confusion.png",
        "classes_each.csv",
        "classes_reliability.png",
        "classes_roc.png",
        "diagnoses.csv",
        "diagnoses_confusion.csv",
        "diagnoses_confusion.png",
        "diagnoses_each.csv",
        "diagnoses_reliability.png",
        "diagnoses_roc.png",
        "figures.json",
        "training.png",
    ]


def test_the_readme_says_how_to_make_the_figures_again(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# A small model\n\nFor Research Use Only. Not for use in diagnostic procedures.\n")
    for row in (
        "| command | `marrow evaluate classifier --data small=data/small --seed 7` |",
        "| data | small, made up, CC0 |",
        "| data | smaller, made up \\| CC0 |",
        "| split | by patient, 5 folds |",
        "| seed | 7 |",
        "| machine | Fast Chip, 2 cores |",
        "| limit | drawn at random |",
    ):
        assert row in text.splitlines()
    assert "30 resamples of 200 units (cell), seed 0." in text
    assert "At most 50 boxes of a kind count in a picture." in text


def test_every_picture_of_the_readme_is_there_and_every_picture_is_in_the_readme(folder):
    named = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(path.name for path in folder.glob("*.png"))


def test_every_number_of_the_readme_tables_is_a_figure(folder):
    known = {f"{number:.3f}" for number in numbers(json.loads((folder / "figures.json").read_text("utf-8")))}
    cells = [
        cell
        for line in (folder / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
        for cell in re.findall(r"\d\.\d{3}\b", line)
    ]
    # Six digits in the file, three in the table: a value such as 0.1234996 may round twice.
    near = {f"{float(value) + shift:.3f}" for value in known for shift in (-0.001, 0.001)}
    assert len(cells) > 100
    assert sum(cell not in known for cell in cells) <= 2
    assert all(cell in known | near for cell in cells)


def test_figures_json_holds_figures_and_provenance(folder, figures):
    content = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert set(content) == {"title", "provenance", "boxes", "classes", "attributes", "diagnosis"}
    assert content["provenance"]["command"] == PROVENANCE.command
    assert content["provenance"]["data"] == list(PROVENANCE.data)
    assert content["classes"]["macro_f1"]["low"] == round(figures["classes"].macro_f1.low, 6)
    assert content["boxes"]["kinds"][2]["ap50"]["value"] == round(figures["boxes"].kinds[2].ap50.value, 6)
    assert content["diagnosis"]["classes"]["sampling"]["unit"] == "patient"


def test_the_csv_of_the_classes_is_that_of_the_figures(folder, figures):
    with (folder / "classes_each.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, figures["classes"].classes, strict=True):
        assert (row["class"], int(row["cells"])) == (expected.label, expected.cells)
        assert float(row["F1"]) == pytest.approx(expected.f1.value, abs=1e-6)
        assert float(row["AUC high"]) == pytest.approx(expected.auc.high, abs=1e-6)


def test_the_same_figures_give_the_same_bytes(folder, figures, tmp_path):
    written = write_results(tmp_path, "A small model", provenance=PROVENANCE, **figures)
    assert {path.name for path in written} == {path.name for path in folder.iterdir()}
    for path in written:
        assert path.read_bytes() == (folder / path.name).read_bytes()


def test_figures_json_is_written_last(figures, tmp_path):
    assert write_results(tmp_path, "x", provenance=PROVENANCE, classes=figures["classes"])[-1].name == "figures.json"


def test_only_what_was_judged_is_written(figures, tmp_path):
    write_results(tmp_path, "x", provenance=PROVENANCE, attributes=figures["attributes"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "attributes.csv",
        "attributes_each.csv",
        "attributes_values.csv",
        "figures.json",
    }


def test_other_files_of_the_folder_stay_and_old_results_are_replaced(figures, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text("old")
    write_results(tmp_path, "New", provenance=PROVENANCE, classes=figures["classes"])
    assert (tmp_path / "weights.safetensors").read_bytes() == b"weights"
    assert (tmp_path / "README.md").read_text(encoding="utf-8").startswith("# New\n")


def test_no_figures_are_refused(tmp_path, figures):
    with pytest.raises(UserError, match="no figures to write"):
        write_results(tmp_path / "x", "x", provenance=PROVENANCE, curve=figures["curve"])
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path, figures):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(UserError, match=r"taken: cannot be written .* Choose another folder"):
        write_results(taken, "x", provenance=PROVENANCE, classes=figures["classes"])
