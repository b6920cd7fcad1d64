"""The page of faults names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_is_there() -> None:
    names = re.findall(r"`([^`]*)::([^`]*)`", (PROJECT / "docs" / "faults_data.md").read_text("utf-8"))
    assert len(names) > 20
    file, missing = "", []
    for named, test in names:
        file = file if named == "..." else named
        begins = test.removesuffix("*")
        if not re.search(rf"^def {re.escape(begins)}{'' if test.endswith('*') else r'[(]'}", _text(file), re.MULTILINE):
            missing.append(f"{file}::{test}")
    assert missing == []


def _text(file: str) -> str:
    return (PROJECT / "tests" / file).read_text("utf-8")
