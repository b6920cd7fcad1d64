"""The shape of the system: what may import what, and what stays cheap to import."""

import importlib
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from marrow_models.errors import REASONS, Reason

PROJECT = Path(__file__).parents[2]
PACKAGES = ("flows", "tasks", "warehouse", "marrow_models")
HEAVY = ("torch", "monai", "zarr", "sklearn", "great_expectations", "prefect", "distributed", "tifffile", "openslide")


def imported_by(statement):
    code = f"import sys\n{statement}\nprint(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "warehouse.records",
        "warehouse.ledger",
        "warehouse.read",
        "marrow_models.errors",
        "marrow_models.records",
        "marrow_models.taxonomy",
        "marrow_models.bundle",
        "marrow_models.tiling",
        "flows.cli",
        "tasks.remote",
    ],
)
def test_a_light_module_loads_no_engine(module):
    assert not imported_by(f"import {module}") & set(HEAVY)


def test_a_worker_that_analyses_needs_no_orchestrator():
    loaded = imported_by("import tasks.remote, marrow_models.analysis")

    assert "torch" in loaded
    assert not loaded & {"prefect", "duckdb", "great_expectations"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_ours_and_nobody_elses(package):
    assert Path(importlib.import_module(package).__file__).is_relative_to(PROJECT)
    assert set(packages_distributions().get(package, ["marrow"])) == {"marrow"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_and_does_nothing_on_import(package):
    for path in (PROJECT / package).rglob("__init__.py"):
        lines = path.read_text().strip().splitlines()
        assert lines[0].startswith('"""'), path
        assert "import" not in [word for line in lines for word in line.split()[:1]], path


def test_every_reason_code_says_its_cause_and_the_next_step():
    assert set(REASONS) == set(Reason)
    assert all(text.cause.endswith(".") and text.next_step.endswith(".") for text in REASONS.values())


def test_no_module_of_ours_is_found_on_another_path_first():
    names = {path.stem for path in (PROJECT / "flows").glob("*.py")}

    assert not names & (sys.stdlib_module_names - {"__init__"})
