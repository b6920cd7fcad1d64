"""`marrow init`: the folders, the key and the settings file of a HOME; and the rotation of the key."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

from flows.settings import load_settings
from marrow_models.errors import UserError
from tasks.home import Home
from tasks.keys import rotate
from tasks.plan import NightPlan
from tasks.pseudonym import load_pseudonyms, make_key_once
from warehouse.backup import backup_if_changed
from warehouse.connection import open_warehouse
from warehouse.publish import publish

SETTINGS = "marrow.toml"
HEAD = """\
# Settings of this HOME. A line that begins with a name holds; one that begins with # shows the default.
# Options of a command and MARROW_* variables win over this file. `marrow check` says whether all of it can be.
"""


def init_home(home: Path, *, key_file: Path | None, inbox: Path | None) -> list[dict[str, Any]]:
    """Make what is missing of a HOME; one row a thing, made or there already. Nothing that is there is changed."""
    place = Home(home).create()
    settings = home / SETTINGS
    given = {"key_file": key_file, "inbox": inbox}
    if settings.exists():
        _agrees(home, given)
    key = key_file or load_settings(home=home).key_file or place.default_key_file
    _apart(key, place)
    rows = [{"what": "folders", "where": str(home), "made": True}]
    made = make_key_once(key)
    load_pseudonyms(key, make=False)
    rows.append(
        {"what": "pseudonym key (mode 0600; back it up, apart from the warehouse)", "where": str(key), "made": made}
    )
    rows.append({"what": "settings", "where": str(settings), "made": _write_once(settings, settings_text(given))})
    return rows


def rotate_key(home: Path) -> dict[str, Any]:
    """Give every patient of the warehouse a new pseudonym under a new key, and publish them.

    A backup is made first. WarehouseHeld while a run has the warehouse.
    """
    plan, place = load_settings(home=home), Home(home)
    if not place.warehouse.exists():
        raise UserError(f"There is no warehouse under {home}: nothing is known under the present key.")
    folder = plan.backup_folder or place.backups
    with open_warehouse(place.warehouse, backups=folder) as warehouse:
        backup_if_changed(warehouse, folder, keep=plan.backups_kept)
        replaced = rotate(warehouse, plan, place)
        for _ in range(2):  # the Parquet folder of the last publication is kept for readers: it must go as well
            publish(warehouse, place.published)
    return {"replaced": replaced, "key": str(plan.key_file or place.default_key_file), "backups": str(folder)}


def settings_text(given: dict[str, Path | None]) -> str:
    """A settings file with every setting, its meaning and its default; those ``given`` are set."""
    blocks = [HEAD]
    for name, field in NightPlan.model_fields.items():
        if name == "home":
            continue
        about = " ".join((field.description or "").replace("``", "`").split())
        lines = [f"# {line}" for line in textwrap.wrap(about, 110)]
        value = given.get(name)
        default = field.default
        lines.append(f"{name} = {_toml(str(value))}" if value is not None else f"#{name} = {_toml(default)}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _toml(value: Any) -> str:
    if value is None:
        return '"/path/of/it"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _agrees(home: Path, given: dict[str, Path | None]) -> None:
    """UserError when the settings file says something else than the options: it is not overwritten."""
    plan = load_settings(home=home)
    for name, value in given.items():
        if value is not None and getattr(plan, name) != value:
            raise UserError(f"{home / SETTINGS} is there already and has another {name}: set {name} there.")


def _apart(key: Path, home: Home) -> None:
    """UserError for a key beside what it protects."""
    for folder in (home.warehouse.parent, home.published, home.slides, home.backups):
        if key.is_relative_to(folder):
            raise UserError(f"The key must not lie in {folder}, beside what it protects. Choose another --key-file.")


def _write_once(path: Path, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return True
