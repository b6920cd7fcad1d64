"""Opening and closing a night: lock, warehouse, models, cluster, and the run's row in the ledger."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from flows.alive import alive
from flows.artifacts import ProgressArtifact, write_night_table
from flows.background import Background
from flows.cluster import open_cluster, private_places
from flows.progress import current_listener
from flows.result import NightResult
from flows.stopping import ends_in_order
from marrow_models.bundle import Bundle
from marrow_models.bundle_lookup import find_bundle
from marrow_models.errors import CannotWrite, NightFailed
from marrow_models.model_settings import ANALYSIS_VERSION
from marrow_models.taxonomy import load_taxonomy
from tasks.home import Home
from tasks.keys import bring_forward, open_pseudonyms
from tasks.log_scrubber import Scrubber, names_in, scrubbing
from tasks.night import Night, config_digest
from tasks.plan import NightPlan
from tasks.progress import Broadcast
from tasks.pseudonym import Pseudonyms
from tasks.publish import end_state
from tasks.receipts import sweep
from tasks.room import check_room
from tasks.workers import Workers
from warehouse import dimensions, read, runs
from warehouse.backup import backup_if_changed
from warehouse.connection import Warehouse, open_warehouse
from warehouse.records import ModelRecord, RunRecord
from warehouse.runs import RunState
from warehouse.validate import Gates

BY_HAND = frozenset({"manual", "demo", "retry"})
"""Triggers with a person waiting, who is told soon when another run has the warehouse."""
BY_HAND_WAIT_S = 3.0
"""Longer than the reconciler looks into the warehouse."""
SECRET_OR_PATH = {
    "models",
    "home",
    "inbox",
    "manifest",
    "key_file",
    "backup_folder",
    "tls_ca_file",
    "tls_cert_file",
    "tls_key_file",
    "cluster",
}


@contextmanager
def open_night(plan: NightPlan, trigger: str) -> Iterator[tuple[Night, NightResult]]:
    """A night ready to run, and the result that fills while it does.

    Only one run has the warehouse at a time: the lock is the operating system's and dies with its holder. When the
    block raises :class:`NightFailed` the run is closed as failed, the result says why, and nothing is raised.
    SIGTERM and SIGINT end it in order in the same way. Raises UserError before anything is begun when HOME cannot be
    written or has no room.
    """
    home = Home(plan.home.absolute()).create()
    check_room(home, plan.least_free_bytes)
    with (
        scrubbing(Scrubber(private_places(plan), names_in(plan.inbox))),
        alive(home, flow_run.id),
        _opened(plan, home, trigger) as opened,
    ):
        yield opened


@contextmanager
def _opened(plan: NightPlan, home: Home, trigger: str) -> Iterator[tuple[Night, NightResult]]:
    started = time.monotonic()
    bundle = find_bundle(plan.models, home.models)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    wait_s = BY_HAND_WAIT_S if trigger in BY_HAND else plan.wait_for_writer_s
    with (
        open_warehouse(home.warehouse, wait_s=wait_s, backups=plan.backup_folder) as warehouse,
        Background(lambda: open_cluster(plan, home)) as workers,
        Background(lambda: nullcontext(Gates(home.validation))) as gates,
        Background(lambda: nullcontext(_load_ahead(gates))),
    ):
        pseudonyms = _ready(warehouse, plan, home)
        runs.start_run(warehouse, _run_record(plan, run_id, trigger, bundle, pseudonyms))
        dimensions.store_model(warehouse, _model_record(bundle))
        night = Night(
            run_id=run_id,
            trigger=trigger,
            plan=plan,
            home=home,
            warehouse=warehouse,
            pseudonyms=pseudonyms,
            bundle=bundle,
            connect=workers,
            gates=gates,
            progress=Broadcast(ProgressArtifact(), *filter(None, [current_listener()])),
            analysis_version=ANALYSIS_VERSION,
        )
        result = NightResult(run_id)
        try:
            with ends_in_order(night.stop, lambda: _drop_work(workers)):
                yield night, result
        except NightFailed as failure:
            result.failure, result.exit_code = str(failure), night.stop.exit_code
        except BaseException:
            with suppress(CannotWrite):
                _end(night, RunState.FAILED)
            raise
        _close(night, result)
        result.seconds = time.monotonic() - started


def _close(night: Night, result: NightResult) -> None:
    """End the run and fill its result. Where the warehouse cannot be written, the next run finds this one crashed."""
    try:
        _end(night, RunState.FAILED if result.failure else end_state(night))
        _report(night, result)
    except CannotWrite as error:
        result.failure = result.failure or str(error)
        result.state = RunState.FAILED.value


def _ready(warehouse: Warehouse, plan: NightPlan, home: Home) -> Pseudonyms:
    """Close the runs that died, tidy up after them, keep a copy and make sure of the key, before a run begins."""
    pseudonyms = open_pseudonyms(plan, home, warehouse)
    runs.close_crashed_runs(warehouse)
    sweep(home.work, stored=lambda key: read.is_stored(warehouse, key))
    backup_if_changed(warehouse, plan.backup_folder or home.backups, keep=plan.backups_kept)
    bring_forward(warehouse, pseudonyms)
    return pseudonyms


def _load_ahead(gates: Background[Gates]) -> bool:
    """Import what the last stage needs while workers count cells and this process waits for them."""
    gates()
    import marrow_models.diagnosis.model_files  # noqa: F401 - scikit-learn and skops

    return True


def _drop_work(workers: Background[Workers]) -> None:
    if workers.value is not None:
        workers.value.drop_all()


def _end(night: Night, state: RunState) -> None:
    """Close the run in the ledger, unless its publication has closed it already."""
    run = read.run_of(night.warehouse, night.run_id)
    if run is not None and run.state == RunState.RUNNING:
        runs.finish_run(night.warehouse, night.run_id, state)


def _report(night: Night, result: NightResult) -> None:
    """Fill the result from the ledger, and leave the night's table in the Prefect UI."""
    run = read.run_of(night.warehouse, night.run_id)
    assert run is not None
    result.state = run.state
    result.discovered, result.done = run.discovered or 0, run.done or 0
    result.quarantined, result.deferred = run.quarantined or 0, run.deferred or 0
    result.table = [asdict(row) for row in read.night_table(night.warehouse, night.run_id)]
    times = read.stage_times(night.warehouse, night.run_id)
    result.seconds_in_stages, result.seconds_by_stage = times.covered, times.by_stage
    write_night_table(result.table, run_id=night.run_id)


def _run_record(plan: NightPlan, run_id: str, trigger: str, bundle: Bundle, pseudonyms: Pseudonyms) -> RunRecord:
    settings = plan.model_dump(mode="json", exclude=SECRET_OR_PATH) | {
        "cluster": plan.cluster.partition(":")[0],
        "flow_run": flow_run.id,
        "model_digest": bundle.digest,
        "key_id": pseudonyms.key_id,
        "config_digest": config_digest(ANALYSIS_VERSION, plan.target_cells),
    }
    return RunRecord(run_id, datetime.now(UTC), trigger, code_version(), settings)


def _model_record(bundle: Bundle) -> ModelRecord:
    taxonomy = load_taxonomy(bundle.taxonomy)
    return ModelRecord(
        digest=bundle.digest,
        name=bundle.name,
        version=bundle.version,
        detector_digest=bundle.detector_digest,
        classifier_digest=bundle.classifier_digest,
        labels=bundle.labels,
        taxonomy_name=taxonomy.name,
        taxonomy_version=taxonomy.version,
        taxonomy_digest=taxonomy.digest,
        classes=ModelRecord.classes_of(taxonomy),
        licence=bundle.licence,
    )


def code_version() -> str:
    """The version of Marrow, with the commit where it runs from a checkout."""
    root = Path(__file__).parents[1]
    git: dict[str, Any] = {"cwd": root, "capture_output": True, "text": True, "timeout": 10, "check": False}
    if not (root / ".git").exists():
        return version("marrow")
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **git).stdout.strip()  # noqa: S607
    except (OSError, subprocess.TimeoutExpired):
        commit = ""
    return f"{version('marrow')}+{commit}" if commit else version("marrow")
