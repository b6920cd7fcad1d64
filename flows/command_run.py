"""`marrow run`, `marrow retry`, `marrow publish` and `--dry-run`: start a flow and wait for its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cluster import check_spec
from flows.prefect_server import embedded_server
from flows.progress import show_progress
from flows.settings import load_settings, prepare_prefect
from marrow_models.bundle_lookup import find_bundle
from marrow_models.errors import NightFailed, UserError
from tasks.home import Home
from tasks.plan import manifest_path
from tasks.room import check_room

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from rich.console import Console

    from flows.result import NightResult
    from tasks.plan import NightPlan


def run_night(home: Path, options: Mapping[str, Any], *, trigger: str, err: Console) -> NightResult:
    """Run the flow ``nightly`` and return what it came to.

    Raises :class:`UserError` for settings that cannot work, before Prefect is started.
    """
    plan = load_settings(home=home, **options)
    _inbox(plan)
    manifest_path(plan)
    find_bundle(plan.models, Home(home).models)
    check_spec(plan)
    with _orchestrator(plan) as ready:
        from flows.nightly import nightly

        ready()
        return _watch(lambda: nightly(home=home, trigger=trigger, **options, return_state=True), err)


def run_publish(home: Path, *, err: Console) -> NightResult:
    """Run the flow ``publish``."""
    with _orchestrator(load_settings(home=home)) as ready:
        from flows.nightly import publish

        ready()
        return _watch(lambda: publish(home=home, return_state=True), err)


def run_retry(home: Path, slides: list[str], options: Mapping[str, Any], *, err: Console) -> NightResult:
    """Run the flow ``retry`` for slides by their whole ids."""
    plan = load_settings(home=home, **options)
    if plan.inbox is not None:
        _inbox(plan)
        manifest_path(plan)
    find_bundle(plan.models, Home(home).models)
    check_spec(plan)
    with _orchestrator(plan) as ready:
        from flows.nightly import retry

        ready()
        return _watch(lambda: retry(home=home, slides=slides, **options, return_state=True), err)


def dry_run_report(home: Path, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a night would do with each entry of the inbox, without writing anything."""
    plan = load_settings(home=home, **options)
    inbox = _inbox(plan)
    from marrow_models.slides.inbox import find_slides
    from tasks.discover import Listing, looker
    from warehouse.manifest import read_manifest

    entries, refused = find_slides(inbox, looker(plan))
    listing = Listing(entries, read_manifest(manifest_path(plan)))
    for bad in refused:
        listing.was_seen(bad.relative_name)
    rows: list[dict[str, Any]] = [
        {"file": bad.relative_name, "would": "quarantine", "reason": str(bad.reason)} for bad in refused
    ]
    for entry in entries:
        patients = {row.patient_id for row in listing.rows_of(entry)}
        would, reason = ("take through", None) if len(patients) == 1 else ("defer", "UNLISTED")
        if len(patients) > 1 or listing.conflict(entry):
            would, reason = "quarantine", "MANIFEST_CONFLICT"
        rows.append({"file": entry.relative_name, "would": would, "reason": reason})
    rows += [{"file": row.file, "would": "defer", "reason": "FILE_MISSING"} for row in listing.missing_files()]
    return sorted(rows, key=lambda row: str(row["file"]))


def _inbox(plan: NightPlan) -> Path:
    if plan.inbox is None:
        raise UserError("No inbox is given. Use --inbox, MARROW_INBOX or `inbox` in marrow.toml.")
    if not plan.inbox.is_dir():
        raise UserError(f"The inbox {plan.inbox} is not a folder. Create it, or give another with --inbox.")
    return plan.inbox


def _orchestrator(plan: NightPlan) -> AbstractContextManager[Callable[[], None]]:
    """Start Prefect's server where it is ours; its database needs room on its disk, like everything under HOME."""
    wanted = prepare_prefect(plan.home)
    check_room(Home(plan.home.absolute()).create(), plan.least_free_bytes)
    return embedded_server(wanted=wanted)


def _watch(start: Callable[[], Any], err: Console) -> NightResult:
    """Run a flow with progress on ``err``; its own errors are raised as they are.

    Raises :class:`NightFailed` when the orchestrator's server fails: our ledger does not depend on it.
    """
    from httpx import HTTPError

    try:
        with show_progress(err):
            state = start()
        outcome = state.result(raise_on_failure=False)
    except HTTPError as error:
        raise NightFailed(
            f"the Prefect server does not answer as it should ({type(error).__name__}). Look after it, or after the "
            "disk of HOME/prefect; then run again. What was acknowledged is safe."
        ) from error
    if isinstance(outcome, BaseException):
        raise outcome
    result: NightResult = outcome
    return result
