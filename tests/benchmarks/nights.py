"""Whole nights with real Prefect and Dask, and the same slides without either, for benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from flows.opening import _model_record
from marrow_models.bundle import load_bundle
from marrow_models.model_settings import ANALYSIS_VERSION
from marrow_models.phantom.night import SlideScale, make_phantom
from marrow_models.records import CellTable
from marrow_models.survey import choose_fields, pieces_of_work
from tasks.analyse import SlideCells, analyse_stored_fields
from tasks.home import Home
from tasks.ingest import ingest_slide
from tasks.load import load_cells
from tasks.night import Night, Slide
from tasks.plan import NightPlan
from tasks.progress import Broadcast
from tasks.pseudonym import load_pseudonyms
from tasks.survey import survey_slide
from tasks.validate import validate_cells
from tests.benchmarks.job import cpu_s
from tests.unit.store_house.factories import run_record
from warehouse.connection import open_warehouse
from warehouse.dimensions import store_model
from warehouse.ledger import State as SlideState
from warehouse.runs import start_run
from warehouse.validate import Gates

TINY = SlideScale(width_px=1024, height_px=1024, cells=(20, 24))


def phantoms(folder: Path, slides: int) -> None:
    """``slides`` tiny slides, one a patient."""
    make_phantom(folder, seed=5, patients=slides, slides_per_patient=1, scale=TINY, processes=os.cpu_count() or 1)


def night(inbox: str, home: str, workers: int = 1) -> dict[str, Any]:
    """A night as a user starts it, with the embedded Prefect server and a Dask cluster of its own; what it came to."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MARROW_", "PREFECT_"))}
    command = [sys.executable, "-m", "flows.cli", "run", "--inbox", inbox, "--home", home, "--json"]
    command += ["--cluster", f"local:{workers}"]
    process = subprocess.Popen(
        command, env=own | {"MARROW_SETTLE_S": "0"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = Roles(process.pid)
    out, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors[-3000:])
    found: dict[str, Any] = json.loads(out)
    found["cpu_by_role"] = watch.stop()
    return found


class Roles:
    """CPU seconds of the processes of a night by what they are, looked at four times a second."""

    def __init__(self, pid: int) -> None:
        self._flow = psutil.Process(pid)
        self._cpu: dict[int, tuple[str, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            with suppress(psutil.Error):
                for process in (self._flow, *self._flow.children(recursive=True)):
                    with suppress(psutil.Error):
                        times = process.cpu_times()
                        role = self._cpu.get(process.pid, (self._role(process),))[0]
                        self._cpu[process.pid] = role, times.user + times.system

    def _role(self, process: psutil.Process) -> str:
        if process.pid == self._flow.pid:
            return "flow"
        return "server" if "flows.prefect_child" in process.cmdline() else "workers"

    def stop(self) -> dict[str, float]:
        """The sums so far."""
        self._ended.set()
        self._thread.join()
        sums = dict.fromkeys(("flow", "server", "workers"), 0.0)
        for role, seconds in self._cpu.values():
            sums[role] += seconds
        return sums


class Inline:
    """Workers that are this process: the stages' own functions, called one after the other."""

    threads = 1

    def call(self, key: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


def plain(inbox: str, home: str) -> dict[str, float]:
    """The same stages of the same slides in one process without Prefect and Dask: CPU seconds by stage, and cells."""
    spent: dict[str, float] = {}
    with a_night(NightPlan(home=Path(home), inbox=Path(inbox), settle_s=0)) as night:
        bundle = night.bundle
        for number, file in enumerate(sorted(Path(inbox).glob("*.svs"))):
            slide_id = f"s{number:024x}"
            night.enter(slide_id, SlideState.DISCOVERED)
            with _clock(spent, "ingest"):
                store = ingest_slide.__wrapped__(night, slide_id, Slide(slide_id, file, (file,)))
                night.enter(slide_id, SlideState.INGESTED)
            with _clock(spent, "survey"):
                surveyed = survey_slide.__wrapped__(night, slide_id)
                night.enter(slide_id, SlideState.SURVEYED)
            with _clock(spent, "detect and classify"):
                fields = choose_fields(surveyed, night.plan.target_cells)
                tables = [
                    analyse_stored_fields(night.home.store(slide_id), group, bundle.path, bundle.digest, 64, 512).cells
                    for group in pieces_of_work(fields, store.um_per_px)
                ]
                cells = CellTable.concatenate(tables, bundle.labels, bundle.classifier.attributes)
                night.enter(slide_id, SlideState.ANALYSED)
            found = SlideCells(cells, fields, 1.0)
            with _clock(spent, "validate"):
                validate_cells.__wrapped__(night, slide_id, store, found)
                night.enter(slide_id, SlideState.VALIDATED)
            with _clock(spent, "load"):
                load_cells.__wrapped__(night, slide_id, store, found)
                night.enter(slide_id, SlideState.LOADED)
            night.enter(slide_id, SlideState.DONE)
            spent["cells"] = spent.get("cells", 0) + len(cells)
    return spent


@contextmanager
def _clock(spent: dict[str, float], stage: str) -> Iterator[None]:
    begins = cpu_s()
    yield
    spent[stage] = spent.get(stage, 0.0) + cpu_s() - begins


@contextmanager
def a_night(plan: NightPlan) -> Iterator[Night]:
    """A night as the stages see it, whose workers are this process."""
    home = Home(plan.home).create()
    bundle = load_bundle("phantom")
    with open_warehouse(home.warehouse) as warehouse:
        start_run(warehouse, run_record("plain"))
        store_model(warehouse, _model_record(bundle))
        gates = Gates(home.validation)
        yield Night(
            run_id="plain",
            trigger="manual",
            plan=plan,
            home=home,
            warehouse=warehouse,
            pseudonyms=load_pseudonyms(home.default_key_file),
            bundle=bundle,
            connect=Inline,  # type: ignore[arg-type]
            progress=Broadcast(),
            gates=lambda: gates,
            analysis_version=ANALYSIS_VERSION,
        )
