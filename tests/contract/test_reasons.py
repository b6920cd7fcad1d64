"""Each row of the table of reason codes has a test in which that reason really arises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from marrow_models.errors import Reason

TESTS = Path(__file__).parents[1]
ONLY_USED = (
    "contract/test_reasons.py",
    "unit/operating/",
    "unit/store_house/test_ledger.py",
    "unit/store_house/test_views.py",
    "unit/store_house/test_attributes.py",
    "end_to_end/test_operate.py",
)
"""Tests that put reasons into a ledger, to look at something else."""


def _tests_of_reasons() -> dict[str, list[str]]:
    """Reason code to the tests (decorators included) that name it."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS).as_posix()
        if name.startswith(ONLY_USED):
            continue
        source = path.read_text("utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                text = "\n".join(source.splitlines()[first - 1 : node.end_lineno])
                for code in set(re.findall(r"(?:Reason\.|[\"'])([A-Z][A-Z_]+)\b", text)):
                    found.setdefault(code, []).append(f"{name}::{node.name}")
    return found


FOUND = _tests_of_reasons()


@pytest.mark.parametrize("reason", list(Reason))
def test_the_reason_arises_in_a_test(reason: Reason) -> None:
    assert FOUND.get(reason.value), f"no test in which a slide ends as {reason}"
