"""The SQL of the warehouse: every statement is a file of the package, Python only binds parameters."""

from __future__ import annotations

from functools import cache
from importlib import resources

CLOSED_TO_THE_WORLD: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "enable_external_access": False,
}
"""No extension, no file and no address but the database's own; defence in depth, not a sandbox."""


@cache
def statement(name: str) -> str:
    """The text of ``warehouse/sql/<name>.sql``."""
    return resources.files("warehouse").joinpath("sql", f"{name}.sql").read_text("utf-8")
