"""What the commands that only look read: the warehouse while no run has it, the published file otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from marrow_models.errors import UserError, WarehouseHeld
from tasks.home import Home
from warehouse.connection import Database, read_warehouse
from warehouse.published import open_published


@dataclass(frozen=True, slots=True)
class Reading:
    """An open database, and which one it is."""

    database: Database
    warehouse: Database | None
    """The warehouse itself, None where the published file is read: that holds no details and no releases."""

    @property
    def source(self) -> str:
        """For people and for ``--json``."""
        if self.warehouse is not None:
            return "the warehouse"
        return "the published file, as the last run left it: a run has the warehouse"


@contextmanager
def open_reading(home: Home) -> Iterator[Reading]:
    """The warehouse for reading or, while a run has it, the published file.

    UserError when there is neither; WarehouseError when what there is cannot be read, with the way back.
    """
    if not home.warehouse.is_file():
        raise UserError(f"There is no warehouse under {home.root}. Run: marrow run --inbox FOLDER --home {home.root}")
    with ExitStack() as stack:
        try:
            warehouse = stack.enter_context(read_warehouse(home.warehouse))
            reading = Reading(warehouse, warehouse)
        except WarehouseHeld:
            reading = Reading(stack.enter_context(open_published(home.published / "marrow.duckdb")), None)
        yield reading
