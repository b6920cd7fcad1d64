"""`marrow check`: everything a night needs, tried before any slide is touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.cluster import open_cluster
from flows.settings import load_settings
from marrow_models.bundle_lookup import find_bundle
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import load_rules
from marrow_models.errors import MarrowError
from marrow_models.taxonomy import load_taxonomy
from tasks.home import Home
from tasks.plan import NightPlan, manifest_path
from tasks.pseudonym import load_pseudonyms
from warehouse.connection import open_warehouse
from warehouse.manifest import read_manifest

ENOUGH_FREE_BYTES = 5 * 2**30


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
        _Check("home", lambda: _home(place)),
        _Check("inbox", lambda: _inbox(plan)),
        _Check("pseudonym key", lambda: _key(plan, place)),
        _Check("models", lambda: _models(plan, place)),
        _Check("rules", lambda: ", ".join(load_rules(name).label for name in plan.rule_sets)),
        _Check("warehouse", lambda: _warehouse(place)),
        _Check("cluster", lambda: _cluster(plan, place)),
    ]
    return [check.row() for check in checks]


def _home(place: Home) -> str:
    place.create()
    free = shutil.disk_usage(place.root).free
    if free < ENOUGH_FREE_BYTES:
        raise OSError(f"only {free / 2**30:.1f} GiB free under HOME; a night may need {ENOUGH_FREE_BYTES / 2**30:.0f}.")
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
    load_pseudonyms(plan.key_file or place.default_key_file)
    return "readable by its owner only"


def _models(plan: NightPlan, place: Home) -> str:
    bundle = find_bundle(plan.models, place.models)
    load_taxonomy(bundle.taxonomy)
    load_model(bundle.diagnosis_path)
    return f"{bundle.name} {bundle.version}, {len(bundle.labels)} classes, digest {bundle.digest[:12]}"


def _warehouse(place: Home) -> str:
    with open_warehouse(place.warehouse):
        return "opens, schema is current"


def _cluster(plan: NightPlan, place: Home) -> str:
    with open_cluster(plan, place) as workers:
        kind = "GPU" if workers.resources else "CPU"
        return f"{workers.threads} {kind} worker threads"
