"""The key of a HOME: where it is, whether it is the one the warehouse was made with, and its rotation."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from importlib.metadata import version

from marrow_models.errors import UserError
from tasks.home import Home
from tasks.plan import NightPlan
from tasks.pseudonym import Pseudonyms, add_key, load_pseudonyms
from warehouse import runs
from warehouse.connection import Warehouse
from warehouse.records import RunRecord
from warehouse.rekey import key_ids, replace_pseudonyms
from warehouse.runs import RunState

TRIGGER = "rotate-key"


def open_pseudonyms(plan: NightPlan, home: Home, warehouse: Warehouse | None) -> Pseudonyms:
    """The key of the settings, or the one under HOME, which is made before the first run of a new HOME.

    UserError when it is missing where it must not be: a new one would give every known patient another pseudonym.
    """
    if plan.key_file is not None:
        return load_pseudonyms(plan.key_file, make=False)
    return load_pseudonyms(home.default_key_file, make=warehouse is None or not warehouse.count("dim_run"))


def bring_forward(warehouse: Warehouse, pseudonyms: Pseudonyms) -> dict[str, int]:
    """Bring the pseudonyms of a warehouse to the present generation of its key; kind to number replaced.

    Nothing to do in most nights. There is after a rotation that was interrupted, and after the restore of a backup
    from before it. UserError, and nothing changed, for a key that this warehouse was not made with.
    """
    since = _generation(warehouse, pseudonyms)
    if since == pseudonyms.generation:
        return {}
    with warehouse.transaction():
        replaced = replace_pseudonyms(warehouse, lambda kind, value: pseudonyms.renewed(kind, value, since))
        _note(warehouse, pseudonyms)
    return replaced


def rotate(warehouse: Warehouse, plan: NightPlan, home: Home) -> dict[str, int]:
    """Make a new key and bring the warehouse forward to it; kind to number of pseudonyms replaced.

    May be killed at any moment: the file holds old and new keys, the warehouse says which it was made with, and the
    next night (or the next call) ends what was begun.
    """
    before = open_pseudonyms(plan, home, warehouse)
    replaced = bring_forward(warehouse, before)
    if not key_ids(warehouse):
        _note(warehouse, before)
    return replaced or bring_forward(warehouse, add_key(plan.key_file or home.default_key_file))


def _generation(warehouse: Warehouse, pseudonyms: Pseudonyms) -> int:
    """The generation of the key that the warehouse is at. It only ever goes up, whatever clocks say."""
    marks = key_ids(warehouse)
    found = [generation for mark in marks if (generation := pseudonyms.generation_of(mark)) is not None]
    if marks and not found:
        raise UserError(
            "The pseudonym key is not the one that this warehouse was made with: with it, every known patient would "
            "get another pseudonym. Restore the right key file, or set key_file to it."
        )
    return max(found, default=pseudonyms.generation)


def _note(warehouse: Warehouse, pseudonyms: Pseudonyms) -> None:
    """A run of its own in the ledger, which says at which generation the warehouse is."""
    now = datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    with warehouse.transaction():
        record = RunRecord(run_id, now, TRIGGER, version("marrow"), {"key_id": pseudonyms.key_id})
        runs.start_run(warehouse, record)
        runs.finish_run(warehouse, run_id, RunState.DONE)
