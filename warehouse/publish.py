"""Publishing: the analysts' DuckDB file and Parquet files, replaced in one step while readers go on.

Only what is new is written. The file before the present one, which nobody has open any more, is brought forward and
takes the place of the present one; where that cannot be, a copy of the present one is brought forward; and where that
cannot be either (another schema, other pseudonyms, a restored warehouse), everything is written anew. Rows travel
through memory as Arrow batches, so the warehouse never needs to open another file.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from marrow_models.errors import CannotWrite, WarehouseError
from warehouse.connection import CLOSED_TO_THE_WORLD
from warehouse.files import copy as copy_file
from warehouse.files import linked, nobody_has_open, remove, replacing
from warehouse.migrate import check_published, mark_published
from warehouse.parquet import PARQUET_VIEWS, publish_parquet
from warehouse.published import open_published
from warehouse.published_rows import PRIVATE as PRIVATE
from warehouse.published_rows import PUBLIC as PUBLIC
from warehouse.published_rows import New, NotTheSame, basis_of, bring_forward, fill, shape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from warehouse.connection import Database, Warehouse


LEAST_LOG = "1MB"
"""A change that is larger is not written to the log of the file first: until it is swapped in, nobody needs that."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published."""

    path: Path
    """The DuckDB file."""
    parquet: dict[str, Path]
    """View to Parquet file; the paths stay the same from night to night."""
    rows: dict[str, int]
    """View to number of rows."""


def publish(warehouse: Warehouse, folder: Path) -> Publication:
    """Replace ``folder/marrow.duckdb`` and ``folder/parquet/<view>.parquet`` by the warehouse's present state.

    Both are checked before they are swapped in, the Parquet files together and just before the DuckDB file.
    When anything fails the earlier DuckDB file stays, whole. Readers that have it open keep what they see.
    CannotWrite when there is no room, and when another writer has taken over meanwhile.
    """
    try:
        return _publish(warehouse, folder)
    except (OSError, duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or "the disk is full or cannot be written"
        raise CannotWrite(
            f"the publication cannot be written ({cause}): the earlier one stays. Free space and publish again."
        ) from error


def _publish(warehouse: Warehouse, folder: Path) -> Publication:
    target = folder / "marrow.duckdb"
    standby = folder / ".standby.duckdb"
    with replacing(target) as staged:
        basis = basis_of(warehouse)
        new = _bring_forward(warehouse, basis, _bases(target, standby), staged)
        forward = new is not None
        if new is None:
            remove(staged)
            new = _anew(warehouse, basis, staged)
        with open_published(staged) as database:
            _check(database, new.expected)
            rows = {view: database.count(view) for view in PARQUET_VIEWS}
            parquet = publish_parquet(database, folder, new, may_appear=warehouse.fence.check)
        staged.chmod(0o444)
        warehouse.fence.check()
        remove(standby)
        if forward:  # a file that was left behind for another basis may hold what must not stay
            linked(target, standby)  # on a file system without hard links the next publication copies
    remove(target.with_name(target.name + ".wal"))  # left by someone who opened the file for writing
    return Publication(target, parquet, rows)


def _bases(target: Path, standby: Path) -> list[tuple[Path, bool]]:
    """The files that may be brought forward, best first, each with whether it must be copied."""
    bases = []
    # After a death between two steps the standby may be the present file by another name.
    if standby.is_file() and standby.stat().st_nlink == 1:
        bases.append((standby, False))
    if target.is_file():
        bases.append((target, True))
    return bases


def _bring_forward(warehouse: Warehouse, basis: str, bases: list[tuple[Path, bool]], staged: Path) -> New | None:
    """Make ``staged`` the warehouse's present state out of one of ``bases``; None where none of them will do."""
    for base, must_copy in bases:
        remove(staged)
        if must_copy:
            copy_file(base, staged)
        else:
            base.replace(staged)
            if not nobody_has_open(staged):
                continue
        staged.chmod(0o644)
        try:
            with _open(staged) as copy, warehouse.transaction(), warehouse.exclusive() as source:
                check_published(copy)
                with _at_once(copy):
                    return bring_forward(source, copy, basis)
        except CannotWrite:
            raise
        except (NotTheSame, WarehouseError, duckdb.Error):  # damaged, of another Marrow; a full disk is met again
            continue
    return None


def _anew(warehouse: Warehouse, basis: str, staged: Path) -> New:
    with _open(staged) as copy, warehouse.transaction(), warehouse.exclusive() as source:
        shape(copy, basis)
        with _at_once(copy):
            new = fill(source, copy)
        mark_published(copy)
    return new


def _open(path: Path) -> DuckDBPyConnection:
    return duckdb.connect(str(path), config=CLOSED_TO_THE_WORLD | {"checkpoint_threshold": LEAST_LOG})


@contextmanager
def _at_once(copy: DuckDBPyConnection) -> Iterator[None]:
    """All changes of the block as one: they go where they belong in the file, and not into its log before."""
    copy.begin()
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # after a fatal error there is nothing left to take back
            copy.rollback()
        raise
    copy.commit()


def _check(database: Database, expected: dict[str, int]) -> None:
    short = [table for table, rows in expected.items() if database.count(table) != rows]
    if short:
        raise WarehouseError(
            f"the copy to publish lacks rows of {', '.join(short)}; the earlier publication stays. Publish again."
        )
