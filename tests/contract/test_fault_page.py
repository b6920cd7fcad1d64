"""The pages of faults name tests that exist, and the table has all of the eighty."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = ("faults.md", "faults_data.md", "crash_safety.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_the_page_names_is_there(page: str) -> None:
    names = re.findall(r"`([^`]*)::([^`]*)`", _page(page))
    assert len(names) >= 10
    file, missing = "", []
    for named, test in names:
        file = file if named == "..." else named
        begins = test.removesuffix("*")
        end = "" if test.endswith("*") else r"( = \w|\()"
        if not re.search(rf"^(def )?{re.escape(begins)}{end}", _text(file), re.MULTILINE):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_the_table_has_a_row_and_a_mark_for_each_fault() -> None:
    rows = [line.split("|")[1:-1] for line in _page("faults.md").splitlines() if re.match(r"\| F\d\d ", line)]
    assert [row[0].strip() for row in rows] == [f"F{number:02}" for number in range(1, 81)]
    for number, *_, tests, mark in rows:
        state = mark.strip().split(":")[0]
        assert state in ("done", "partly", "later"), number
        assert (state == "later") == (not tests.strip()), number
        assert state != "partly" or len(mark.strip()) > len("partly: "), f"{number} does not say why"


def test_a_test_called_long_is_none_of_the_usual_ones_and_the_others_are() -> None:
    for line in _page("faults.md").splitlines():
        file, long = "", False
        for before, named, test in re.findall(r"(long: )?`([^`]*\.py|\.\.\.)::([^`]*)`", line):
            file, long = (named if named != "..." else file), long or bool(before)
            if file and not test.endswith("*"):
                assert _is_long(file, test) == long, f"{file}::{test}"


def _is_long(file: str, test: str) -> bool:
    """Whether the decorators of a test, or its module, say chaos."""
    text = _text(file)
    decorators = re.search(rf"((?:^@.*\n(?:^ .*\n|^\).*\n)*)*)^def {test}\(", text, re.MULTILINE)
    whole = re.search(r"^pytestmark = .*chaos", text, re.MULTILINE)
    return bool(whole or (decorators and "@pytest.mark.chaos" in decorators[1]))


def _page(name: str) -> str:
    return (PROJECT / "docs" / name).read_text("utf-8")


@cache
def _text(file: str) -> str:
    return (PROJECT / "tests" / file).read_text("utf-8")
