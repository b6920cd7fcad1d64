"""The gates: Great Expectations on a frame before it is written, results kept, Data Docs built once a night.

The frame is validated, not the database: Great Expectations on DuckDB reports every expectation as failed.
The engine is imported when a gate is first opened, since that takes seconds.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from marrow_models.errors import WarehouseError
from warehouse.notice import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    import pandas as pd

    from warehouse.connection import Warehouse

SUITES = ("manifest", "cells", "attributes", "night")
KEPT_RUNS = 7
KEPT_PASSED_SLIDES = 50
_RUN_AND_SLIDE = " "
_NO_OUTSIDE = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'self' 'unsafe-inline' data:\">"
_ONE_AT_A_TIME = threading.Lock()
"""Great Expectations keeps the open project in a global."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one expectation."""

    expectation: str
    column: str | None
    success: bool
    raised: bool
    """The check itself failed: that says nothing about the data."""
    unexpected_count: int | None
    observed: str | None
    """A count or a figure; never a value of a row."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came of a suite."""

    run_id: str
    gate: str
    slide_id: str | None
    outcomes: tuple[Outcome, ...]

    @property
    def success(self) -> bool:
        """Every expectation was checked and met."""
        return all(outcome.success for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The expectations that the data does not meet."""
        return tuple(o for o in self.outcomes if not o.success and not o.raised)

    @property
    def errors(self) -> tuple[Outcome, ...]:
        """The expectations that could not be checked."""
        return tuple(o for o in self.outcomes if o.raised)

    @property
    def detail(self) -> str:
        """The failures in a line that may go to the ledger: names of columns and counts only."""
        return "; ".join(
            f"{o.expectation}({o.column or 'table'}): "
            + ("could not be checked" if o.raised else o.observed or f"{o.unexpected_count} rows")
            for o in self.errors + self.failures
        )


class Gates:
    """The suites with their project folder. Results go to files there, see :meth:`build_docs`."""

    def __init__(self, folder: Path) -> None:
        gx = _great_expectations()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with _ONE_AT_A_TIME:
            self._context = gx.get_context(mode="file", project_root_dir=str(folder))
            self._context.enable_analytics(enable=False)
            self._context.variables.progress_bars = {"globally": False, "metric_calculations": False}
            self._context.variables.save()
            self._gates = {name: self._define(gx, name) for name in SUITES}

    def validate(
        self,
        gate: str,
        frame: pd.DataFrame,
        *,
        run_id: str,
        slide_id: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> GateResult:
        """Run the suite ``manifest``, ``cells``, ``attributes`` or ``night`` on a frame, see :mod:`warehouse.frames`.

        WarehouseError when a column or a parameter of the suite is not given.
        """
        gx, suite = _great_expectations(), _suite(gate)
        given = dict(parameters or {})
        lacking = [c for c in suite.COLUMNS if c not in frame] + [
            p for p in getattr(suite, "PARAMETERS", ()) if p not in given
        ]
        if lacking:
            raise WarehouseError(f"gate {gate} needs {', '.join(lacking)}.")
        name = run_id if slide_id is None else f"{run_id}{_RUN_AND_SLIDE}{slide_id}"
        with _ONE_AT_A_TIME:
            gx.data_context.set_context(self._context)
            result = self._gates[gate].run(
                batch_parameters={"dataframe": frame},
                expectation_parameters=given,
                result_format="BASIC",
                run_id=gx.RunIdentifier(run_name=name),
            )
        return GateResult(run_id, gate, slide_id, tuple(_outcome(item) for item in result.results))

    def build_docs(self, *, keep_runs: int = KEPT_RUNS) -> Path:
        """Write the HTML pages over the results of the last runs, and return their first page."""
        gx = _great_expectations()
        with _ONE_AT_A_TIME:
            gx.data_context.set_context(self._context)
            self._prune(keep_runs)
            shutil.rmtree(self._site, ignore_errors=True)
            self._context.build_data_docs()
            self._label_pages()
        return self._site / "index.html"

    @property
    def _site(self) -> Path:
        return self._folder / "gx" / "uncommitted" / "data_docs" / "local_site"

    def _define(self, gx: ModuleType, name: str) -> Any:
        suite = self._context.suites.add_or_update(
            gx.ExpectationSuite(name=name, expectations=_suite(name).expectations())
        )
        source = self._context.data_sources.add_or_update_pandas(name)
        batch = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("all")
        return self._context.validation_definitions.add_or_update(
            gx.ValidationDefinition(name=name, data=batch, suite=suite)
        )

    def _prune(self, keep_runs: int) -> None:
        """Remove the results of all but the last runs, and of slides that passed all but the last few.

        A page takes a tenth of a second to build; the warehouse keeps every outcome anyhow.
        """
        results = self._folder / "gx" / "uncommitted" / "validations"
        youngest_first = sorted(results.glob("*/*"), key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        runs = list(dict.fromkeys(_run_of(folder) for folder in youngest_first))
        passed = 0
        for folder in youngest_first:
            if _run_of(folder) in runs[keep_runs:]:
                shutil.rmtree(folder)
            elif _RUN_AND_SLIDE in folder.name and _passed(folder):
                passed += 1
                if passed > KEPT_PASSED_SLIDES:
                    shutil.rmtree(folder)

    def _label_pages(self) -> None:
        """Say on every page that it is for research use only, and let no page load anything from elsewhere."""
        for page in self._site.rglob("*.html"):
            text = page.read_text("utf-8")
            text = text.replace("<head>", f"<head>{_NO_OUTSIDE}", 1)
            text = re.sub(
                r"<body[^>]*>", lambda body: f"{body[0]}<p><strong>{RESEARCH_USE_ONLY}</strong></p>", text, count=1
            )
            page.write_text(text, "utf-8")


def store_results(warehouse: Warehouse, results: Sequence[GateResult]) -> None:
    """Add every outcome to the warehouse."""
    rows = [(result, outcome) for result in results for outcome in result.outcomes]
    table = pa.table(
        {
            "run_id": pa.array([r.run_id for r, _ in rows], pa.string()),
            "gate": pa.array([r.gate for r, _ in rows], pa.string()),
            "slide_id": pa.array([r.slide_id for r, _ in rows], pa.string()),
            "suite": pa.array([r.gate for r, _ in rows], pa.string()),
            "expectation": pa.array([o.expectation for _, o in rows], pa.string()),
            "column_name": pa.array([o.column for _, o in rows], pa.string()),
            "success": pa.array([o.success for _, o in rows], pa.bool_()),
            "raised": pa.array([o.raised for _, o in rows], pa.bool_()),
            "unexpected_count": pa.array([o.unexpected_count for _, o in rows], pa.int64()),
            "observed": pa.array([o.observed for _, o in rows], pa.string()),
        }
    )
    with warehouse.transaction():
        warehouse.insert("insert_expectation_results", table)


def _outcome(item: Any) -> Outcome:
    config, result = item.expectation_config, item.result
    columns: Iterable[str] = config.kwargs.get("column_list") or filter(None, [config.kwargs.get("column")])
    raised = _raised(item.exception_info)
    count = result.get("unexpected_count")
    observed = result.get("observed_value")
    return Outcome(
        config.type.removeprefix("expect_"),
        ", ".join(columns) or None,
        bool(item.success),
        raised,
        None if raised or count is None else int(count),
        None if observed is None else f"observed {observed:g}",
    )


def _run_of(folder: Path) -> str:
    return folder.name.partition(_RUN_AND_SLIDE)[0]


def _passed(folder: Path) -> bool:
    return all(json.loads(file.read_bytes())["success"] for file in folder.glob("*/*.json"))


def _raised(info: Mapping[str, Any]) -> bool:
    """Whether the check raised: the engine gives one flag, or one for each figure that it tried to compute."""
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(entry["raised_exception"] for entry in info.values())


def _great_expectations() -> ModuleType:
    with warnings.catch_warnings():
        # It imports sre_constants and sre_parse, which Python 3.11 deprecates.
        warnings.filterwarnings("ignore", r"module 'sre_\w+' is deprecated", DeprecationWarning)
        import great_expectations
    return great_expectations


def _suite(name: str) -> ModuleType:
    from warehouse.suites import attributes_suite, cells_suite, manifest_suite, night_suite

    suites = {"manifest": manifest_suite, "cells": cells_suite, "attributes": attributes_suite, "night": night_suite}
    return suites[name]
