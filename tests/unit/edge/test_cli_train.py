"""`marrow train` and `marrow evaluate` used wrongly: exit code 2, and a sentence that names what is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from flows import cli
from flows.command_train import _command, parse_data
from marrow_models.errors import UserError
from tests.layouts import mll23, taleqani

EXIT_USAGE = 2


@pytest.fixture
def marrow(monkeypatch, tmp_path, capsys):
    """Runs the command line in an empty folder; the exit code, and what was said in one line."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["marrow", *map(str, words)])
        code = cli._run()
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, re.sub(r"[\s│╭╮╰╯─]+", " ", captured.err)

    return run


@pytest.fixture
def fields(tmp_path) -> Path:
    (tmp_path / "fields").mkdir()
    return taleqani.write(tmp_path / "fields")


TRAIN = ("train", "classifier", "--out", "out", "--work", "work")
EVALUATE = ("evaluate", "--out", "out")


@pytest.mark.parametrize("command", ["detector", "classifier"])
@pytest.mark.parametrize("missing", ["--out", "--work", "--config"])
def test_an_option_that_is_missing_is_named(marrow, command, missing):
    given = {"--out": "out", "--work": "work", "--config": "all4"}
    del given[missing]
    code, said = marrow("train", command, *(word for pair in given.items() for word in pair))
    assert code == EXIT_USAGE
    assert f"Missing option '{missing}'" in said


@pytest.mark.parametrize("missing", ["--out", "--data"])
def test_an_evaluation_needs_data_and_a_folder(marrow, missing):
    given = {"--out": "out", "--data": "taleqani=fields"}
    del given[missing]
    code, said = marrow("evaluate", *(word for pair in given.items() for word in pair))
    assert code == EXIT_USAGE
    assert f"Missing option '{missing}'" in said


@pytest.mark.parametrize(("size", "only"), [("0", "classifier"), ("nan", "classifier"), ("0.25", "detector")])
def test_a_scanner_is_imitated_for_the_classifier_only_and_has_a_pixel_size(marrow, fields, size, only):
    code, said = marrow(*EVALUATE, "--data", f"taleqani={fields}", "--only", only, "--scanner-um-per-px", size)
    assert code == EXIT_USAGE
    assert "--scanner-um-per-px: a pixel size above 0, with --only classifier" in said


def test_a_recipe_that_is_not_there_is_named_with_those_that_are(marrow):
    code, said = marrow(*TRAIN, "--config", "all5")
    assert code == EXIT_USAGE
    assert "--config all5: no such recipe" in said
    assert "all4" in said


def test_a_misspelt_setting_of_a_recipe_is_named(marrow, tmp_path):
    shipped = Path(cli.__file__).parents[1] / "marrow_models" / "recipes" / "all4" / "recipe.toml"
    mine = tmp_path / "mine.toml"
    mine.write_text(shipped.read_text(encoding="utf-8").replace("crop_px", "crop_pixels"), encoding="utf-8")
    code, said = marrow(*TRAIN, "--config", mine)
    assert code == EXIT_USAGE
    assert "mine.toml: classifier: 'crop_pixels' is not known here" in said


def test_data_that_the_recipe_needs_are_named(marrow):
    code, said = marrow(*TRAIN, "--config", "all4")
    assert code == EXIT_USAGE
    assert "The recipe needs --data taleqani=PATH as well" in said


def test_only_the_data_of_the_network_that_is_trained_are_asked_for(marrow):
    code, said = marrow("train", "detector", "--out", "out", "--work", "work", "--config", "blood")
    assert code == EXIT_USAGE
    assert "--data bccd=PATH, --data raabin=PATH" in said
    assert "--data pbc" not in said


def test_data_that_the_recipe_does_not_have_are_named(marrow, fields):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqany={fields}")
    assert code == EXIT_USAGE
    assert "--data taleqany: the recipe has no [data.taleqany]; it has taleqani" in said


@pytest.mark.parametrize("text", ["taleqani", "=fields", "taleqani="])
def test_data_without_a_name_or_a_path_are_refused_with_an_example(marrow, text):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", text)
    assert code == EXIT_USAGE
    assert f"--data '{text}': give NAME=PATH" in said


def test_a_name_that_is_given_twice_is_refused(marrow, fields):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqani={fields}", "--data", f"taleqani={fields}")
    assert code == EXIT_USAGE
    assert "--data taleqani is given twice" in said


def test_a_path_with_nothing_at_it_is_named(marrow):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", "taleqani=nowhere")
    assert code == EXIT_USAGE
    assert "nowhere: there is nothing at this path" in said


def test_data_in_another_layout_are_refused_with_what_was_expected(marrow, tmp_path):
    (tmp_path / "cells").mkdir()
    mll23.write(tmp_path / "cells")
    code, said = marrow(*TRAIN, "--config", "all4", "--data", "taleqani=cells")
    assert code == EXIT_USAGE
    assert "not the layout 'taleqani'" in said
    assert "Benign" in said


@pytest.mark.parametrize("command", ["detector", "bundle"])
def test_a_network_that_the_recipe_does_not_have_is_named(marrow, command):
    code, said = marrow("train", command, "--out", "out", "--work", "work", "--config", "all4")
    assert code == EXIT_USAGE
    assert "The recipe all4 has no [detector]. Train what it has: marrow train classifier." in said


def test_a_precision_that_is_not_known_is_refused(marrow, fields):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqani={fields}", "--precision", "float16")
    assert code == EXIT_USAGE
    assert "--precision 'float16' is none of float32, bfloat16" in said


@pytest.mark.parametrize("words", [TRAIN, EVALUATE])
def test_a_device_that_is_none_is_refused(marrow, fields, words):
    code, said = marrow(*words, "--config", "all4", "--data", f"taleqani={fields}", "--device", "gpu")
    assert code == EXIT_USAGE
    assert "--device 'gpu' is none of auto, cpu, cuda, cuda:N" in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(marrow, fields):
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqani={fields}", "--device", "cuda:1")
    assert code == EXIT_USAGE
    assert "--device cuda:1: PyTorch sees no GPU here" in said


def test_a_folder_with_something_else_is_not_replaced_by_a_bundle(marrow, fields, tmp_path):
    (tmp_path / "out" / "docs").mkdir(parents=True)
    letter = tmp_path / "out" / "docs" / "letter.txt"
    letter.write_text("mine")
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqani={fields}")
    assert code == EXIT_USAGE
    assert "holds something else than a bundle" in said
    assert letter.read_text() == "mine"


def test_a_file_is_no_folder_for_a_bundle(marrow, fields, tmp_path):
    (tmp_path / "out").write_text("")
    code, said = marrow(*TRAIN, "--config", "all4", "--data", f"taleqani={fields}")
    assert code == EXIT_USAGE
    assert "is a file; give a folder" in said


def test_a_bundle_that_is_not_there_is_named_with_those_that_are(marrow, fields):
    code, said = marrow(*EVALUATE, "--models", "phantoms", "--data", f"taleqani={fields}")
    assert code == EXIT_USAGE
    assert "There is no model bundle 'phantoms'. Shipped:" in said
    assert "phantom" in said


def test_a_layout_that_is_not_known_is_named_where_no_recipe_is_given(marrow, fields):
    code, said = marrow(*EVALUATE, "--data", f"taleqany={fields}")
    assert code == EXIT_USAGE
    assert "--data taleqany: no such layout; known are" in said


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--only", "both", "detector, classifier, together"), ("--part", "tests", "train, val, test")],
)
def test_a_choice_that_is_none_is_refused_with_those_that_are(marrow, fields, option, value, known):
    code, said = marrow(*EVALUATE, "--data", f"taleqani={fields}", option, value)
    assert code == EXIT_USAGE
    assert f"{option} '{value}' is none of {known}" in said


def test_classes_that_the_bundle_does_not_tell_are_nothing_to_measure(marrow, fields):
    code, said = marrow(*EVALUATE, "--config", "all4", "--data", f"taleqani={fields}")
    assert code == EXIT_USAGE
    assert "No cell of the data has a label" in said


def test_nothing_is_left_behind_by_wrong_usage(marrow, tmp_path):
    marrow(*TRAIN, "--config", "all4")
    marrow(*EVALUATE, "--data", "taleqani=nowhere")
    assert list(tmp_path.iterdir()) == []


def test_paths_are_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert parse_data(["a=x/y", "b=/z"]) == {"a": tmp_path / "x" / "y", "b": Path("/z")}
    with pytest.raises(UserError, match="give NAME=PATH"):
        parse_data(["a"])


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "pbc=/home/jane/pbc", "--out", "/home/jane/out"),
        ("--data=pbc=/home/jane/pbc", "--out=/home/jane/a=b"),
    ],
)
def test_the_command_in_a_card_has_no_path_of_the_machine(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/marrow", "train", "bundle", "--config", "blood", *words])
    said = _command()
    assert "jane" not in said
    assert said.startswith("marrow train bundle --config blood --data")
    assert "pbc=PATH" in said


@pytest.mark.parametrize("command", ["bundle", "detector", "classifier"])
def test_the_help_of_a_training_names_every_option(marrow, monkeypatch, capsys, command):
    monkeypatch.setattr(sys, "argv", ["marrow", "train", command, "--help"])
    assert cli._run() == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--data", "--config", "--out", "--work", "--device", "--precision"))
