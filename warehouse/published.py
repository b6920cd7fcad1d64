"""Reading what was published: read-only, closed to other files and the network, with limits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb

from marrow_models.errors import UserError, WarehouseError
from warehouse.connection import CLOSED_TO_THE_WORLD, Database
from warehouse.migrate import check_published
from warehouse.sql import statement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Published(Database):
    """The analysts' file, opened for reading."""


@contextmanager
def open_published(path: Path, *, memory_limit_mb: int = 2048, threads: int = 2) -> Iterator[Published]:
    """The published file at ``path`` for reading; settings are locked, and no other file can be reached.

    UserError when nothing was published yet; WarehouseError when the file is damaged or of another Marrow.
    A process that holds it open keeps the state of that time: open it again to see a later night.
    """
    if not path.is_file():
        raise UserError(f"nothing is published yet at {path}: run a night or `marrow publish` first.")
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_limit_mb}MiB",
        "threads": threads,
    }
    unreadable = f"{path.name} is damaged: publish again with `marrow publish`."
    try:
        connection = duckdb.connect(str(path), read_only=True, config=CLOSED_TO_THE_WORLD | limits)
    except duckdb.Error as error:
        raise WarehouseError(unreadable) from error
    try:
        try:
            check_published(connection)
            connection.execute(statement("configure"))
        except duckdb.Error as error:
            raise WarehouseError(unreadable) from error
        yield Published(connection)
    finally:
        connection.close()
