"""`marrow check`: everything a night needs, tried before any slide is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.cluster import open_cluster
from flows.settings import load_settings
from marrow_models.bundle_lookup import find_bundle
from marrow_models.decoder.pool import POOL
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import load_rules
from marrow_models.errors import MarrowError
from marrow_models.taxonomy import load_taxonomy
from tasks.home import Home
from tasks.keys import bring_forward, open_pseudonyms
from tasks.plan import NightPlan, manifest_path
from tasks.room import check_room
from warehouse.backup import backups
from warehouse.connection import open_warehouse
from warehouse.manifest import read_manifest


@dataclass(slots=True)
class _Check:
    """A named check; what it returns is shown beside it."""

    name: str
    run: Callable[[], str]

    def row(self) -> dict[str, Any]:
        try:
            return {"check": self.name, "ok": True, "detail": self.run()}
        except (MarrowError, OSError) as error:
            return {"check": self.name, "ok": False, "detail": str(error)}


def check_report(home: Path, inbox: Path | None) -> list[dict[str, Any]]:
    """One row a check: its name, whether it passed, and what was found or what to do.

    Raises :class:`marrow_models.errors.UserError` when the settings themselves are wrong.
    """
    plan = load_settings(home=home, inbox=inbox)
    place = Home(home)
    checks = [
        _Check("home", lambda: _home(plan, place)),
        _Check("inbox", lambda: _inbox(plan)),
        _Check("pseudonym key", lambda: _key(plan, place)),
        _Check("models", lambda: _models(plan, place)),
        _Check("rules", lambda: ", ".join(load_rules(name).label for name in plan.rule_sets)),
        _Check("warehouse", lambda: _warehouse(plan, place)),
        _Check("decoder", lambda: _decoder(plan)),
        _Check("cluster", lambda: _cluster(plan, place)),
    ]
    return [check.row() for check in checks]


def _home(plan: NightPlan, place: Home) -> str:
    free = check_room(place.create(), plan.least_free_bytes)
    return f"{free / 2**30:.0f} GiB free"


def _inbox(plan: NightPlan) -> str:
    if plan.inbox is None:
        return "not set: nothing would be discovered"
    if not os.access(plan.inbox, os.R_OK | os.X_OK):
        raise OSError("the inbox is not a folder that this account may read.")
    manifest = read_manifest(manifest_path(plan))
    refused = f", {len(manifest.refused)} refused" if manifest.refused else ""
    return f"manifest.csv has {len(manifest.rows)} rows{refused}"


def _key(plan: NightPlan, place: Home) -> str:
    if place.warehouse.exists():
        with open_warehouse(place.warehouse, backups=plan.backup_folder) as warehouse:
            pseudonyms = open_pseudonyms(plan, place, warehouse)
            bring_forward(warehouse, pseudonyms)
    else:
        pseudonyms = open_pseudonyms(plan, place, None)
    return f"readable by its owner only, the warehouse's own; generation {pseudonyms.generation}"


def _models(plan: NightPlan, place: Home) -> str:
    bundle = find_bundle(plan.models, place.models)
    load_taxonomy(bundle.taxonomy)
    load_model(bundle.diagnosis_path)
    return f"{bundle.name} {bundle.version}, {len(bundle.labels)} classes, digest {bundle.digest[:12]}"


def _warehouse(plan: NightPlan, place: Home) -> str:
    folder = plan.backup_folder or place.backups
    with open_warehouse(place.warehouse, backups=folder):
        last = backups(folder)[-1:]
        return f"opens, schema is current; last backup: {last[0].name if last else 'none yet'}"


def _decoder(plan: NightPlan) -> str:
    with POOL.lend() as process:
        process.send("look", {"paths": []}, memory_bytes=plan.decoder_memory_mb << 20, seconds=plan.open_timeout_s)
        process.receive(plan.open_timeout_s)
    return f"answers in a process of its own, {plan.decoder_memory_mb} MiB at most"


def _cluster(plan: NightPlan, place: Home) -> str:
    with open_cluster(plan, place) as workers:
        kind = "GPU" if workers.resources else "CPU"
        return f"{workers.threads} {kind} worker threads"
