"""The recipe `marrow33` as a laboratory uses it: train on its data, measure, and run a night with what came out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from marrow_models.bundle import load_bundle
from marrow_models.training.recipe_file import RECIPE, RECIPES
from tests.end_to_end.nights import marrow, published, run_night, small_phantom
from tests.layouts import marrow_pediatric

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

FORMS = {"dicom": {"form": "dicom"}, "csv": {"form": "csv", "slides": "mrxs"}}
EFFORT = {
    "detector.training": {"window_px": "128", "planes": "[16, 16, 32]", "blocks": "[1, 1]"},
    "detector.training.effort": {"steps": "120", "batch": "4", "evaluate_every": "60", "precision": '"float32"'},
    "classifier": {"least_cells": "3"},
    "classifier.training": {"planes": "[16, 16, 32, 32]", "blocks": "[1, 1, 1]"},
    "classifier.training.effort": {"steps": "40", "batch": "16", "evaluate_every": "40", "precision": '"float32"'},
}
"""What is changed in the recipe: effort and width; scales, losses, views and all else stay."""

ALONE = {"timeout_s": 1500, "OMP_NUM_THREADS": "1"}
"""Two threads that wait for each other on a busy machine take several times as long as one."""


def with_less_effort(text: str) -> str:
    """The recipe, with the lines of ``EFFORT`` in the place of its own."""
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    for name, lines in EFFORT.items():
        (place,) = (n for n, table in enumerate(tables) if table.startswith(f"[{name}]"))
        for key, value in lines.items():
            tables[place], changed = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", tables[place])
            assert changed == 1, (name, key)
    return "".join(tables)


@pytest.fixture(scope="module", params=FORMS)
def trained(request, tmp_path_factory) -> tuple[Path, Path, dict]:
    """(folder of all, recipe, figures) of a training on the command line, on one form of the data."""
    root = tmp_path_factory.mktemp(f"marrow33-{request.param}")
    (root / "data").mkdir()
    marrow_pediatric.write(root / "data", patients=8, cells=40, **FORMS[request.param])
    recipe = root / RECIPE
    shipped = (RECIPES / "marrow33" / RECIPE).read_text(encoding="utf-8")
    recipe.write_text(with_less_effort(shipped), encoding="utf-8")
    done = marrow(
        "train", "bundle", "--config", recipe, "--data", f"marrow_pediatric={root / 'data'}",
        "--work", root / "work", "--out", root / "bundle", **ALONE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return root, recipe, json.loads(done.stdout)


def test_the_recipe_becomes_a_bundle_that_finds_cells(trained):
    root, _, figures = trained
    bundle = load_bundle(root / "bundle")
    assert (bundle.name, bundle.taxonomy, bundle.licence) == ("marrow33", "marrow49", "CC-BY-4.0")
    assert 5 <= len(bundle.labels) < 49
    assert figures["ap50"] > 0.3
    assert figures["labels"] == list(bundle.labels)


def test_an_evaluation_of_the_bundle_gives_the_same_figures(trained):
    root, recipe, figures = trained
    done = marrow(
        "evaluate", "--models", root / "bundle", "--config", recipe, "--only", "detector", "--work", root / "again",
        "--data", f"marrow_pediatric={root / 'data'}", "--out", root / "figures", **ALONE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout)["ap50"] == figures["ap50"]
    page = (root / "figures" / "README.md").read_text(encoding="utf-8")
    assert "10.5281/zenodo.14933087" in page
    assert str(root) not in page


def test_the_bundle_runs_a_night(trained):
    root, _, _ = trained
    night = small_phantom(root / "inbox", seed=9, patients=1)
    result = run_night(root / "inbox", root / "home", "--models", root / "bundle", timeout_s=900)

    assert (result["state"], result["discovered"], result["done"]) == ("done", 1, 1)
    digest = load_bundle(root / "bundle").digest
    with published(root / "home") as database:
        models = database.execute("SELECT name, digest FROM models").fetchall()
        counted = dict(database.execute("SELECT cell_class, count(*) FROM cells GROUP BY ALL").fetchall())
    assert models == [("marrow33", digest)]
    assert set(counted) <= set(load_bundle(root / "bundle").labels)
    readable = sum(cell.readable for cell in night.slides[0].cells)
    assert 0.5 * readable <= sum(counted.values()) <= 2 * readable
