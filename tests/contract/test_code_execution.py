"""No pickle comes from a disk: none is read by our code, and Prefect stores no results."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prefect import Flow, Task

PROJECT = Path(__file__).parents[2]
PACKAGES = ("flows", "tasks", "warehouse", "marrow_models")
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "_pickle"}
FORBIDDEN_CALLS = {
    "torch.load",
    "torch.jit.load",
    "torch.hub.load",
    "np.load",
    "numpy.load",
    "pd.read_pickle",
    "pandas.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "eval",
    "exec",
    "os.system",
    "__import__",
}
WITH_A_GUARD = {"numpy.load", "np.load"}
"""Allowed with allow_pickle=False only, or not given at all (False is NumPy's default)."""


def modules():
    return [path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))]


def findings(source):
    """Everything in a module that could run what a file says."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in FORBIDDEN_MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name in FORBIDDEN_CALLS and not (name in WITH_A_GUARD and given.get("allow_pickle", "False") == "False"):
                yield name
            if given.get("shell") == "True":
                yield f"{name} with a shell"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_no_product_code_runs_what_a_file_says(path):
    assert list(findings(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "bad",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "np.load(p, allow_pickle=True)",
        "import yaml\nyaml.load(f)",
        "subprocess.run('x', shell=True)",
        "eval(x)",
    ],
)
def test_the_check_sees_what_it_looks_for(bad):
    assert list(findings(bad))


def orchestrated():
    """Every flow and task, by walking the modules of flows/ and tasks/ and what their functions close over."""
    found = {}
    for path in [*sorted((PROJECT / "flows").glob("*.py")), *sorted((PROJECT / "tasks").glob("*.py"))]:
        if path.stem == "__init__":
            continue
        module = importlib.import_module(f"{path.parent.name}.{path.stem}")
        for value in vars(module).values():
            inner = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
            for one in (value, *inner):
                if isinstance(one, Flow | Task):
                    found[one.name] = one
    return found


def test_no_flow_and_no_task_stores_its_result():
    found = orchestrated()
    assert {"nightly", "ingest", "analyse", "publish", "reconcile", "take through", "validate night"} <= set(found)
    assert {name for name, one in found.items() if one.persist_result is not False} == set()
    assert {name for name, one in found.items() if one.result_storage is not None} == set()


def test_prefect_would_use_json_and_no_storage_by_default(tmp_path):
    code = (
        "from pathlib import Path; from flows.settings import prepare_prefect\n"
        f"prepare_prefect(Path({str(tmp_path / 'home')!r}))\n"
        "from prefect.settings import get_current_settings\n"
        "results = get_current_settings().results\n"
        "print(results.persist_by_default, results.default_serializer)"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == ["False", "json"]
