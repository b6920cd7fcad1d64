"""Opening the warehouse: one writer, no network, no files but its own.

Analysts never open this file. They open the published one, see :mod:`warehouse.publish`.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import duckdb

from marrow_models.errors import CannotWrite, UserError, WarehouseError
from warehouse.clock import naive_utc, utc_now
from warehouse.fence import Fence, fence_file, latest_token, raise_fence
from warehouse.migrate import WAY_BACK, check_current, migrate
from warehouse.snapshot import snapshot_before_migration
from warehouse.sql import CLOSED_TO_THE_WORLD as CLOSED_TO_THE_WORLD
from warehouse.sql import statement
from warehouse.writer_lock import POLL_S, writer_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Row = dict[str, Any]

_CANNOT_BE_WRITTEN = (
    "the warehouse cannot be written: check free disk space and memory, then run again. "
    "What was acknowledged before is safe."
)
LOG_SIZE = "128MB"
"""How much the log of changes may hold before it is taken in: with DuckDB's 16 MB every third slide pays for that."""
_HOLDER = re.compile(r"PID (\d+)")


class Database:
    """Named statements against one DuckDB connection. Safe to share between threads: one speaks at a time."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    def rows(self, name: str, /, **parameters: object) -> list[Row]:
        """The rows of ``warehouse/sql/<name>.sql`` as dictionaries; times are UTC without a zone."""
        with self._speaking() as connection:
            cursor = connection.execute(statement(name), parameters)
            columns = [column[0] for column in cursor.description or ()]
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]

    def row(self, name: str, /, **parameters: object) -> Row | None:
        """The first row, None where there is none."""
        found = self.rows(name, **parameters)
        return found[0] if found else None

    def table(self, name: str, /, **parameters: object) -> pa.Table:
        """The rows of ``warehouse/sql/<name>.sql`` as an Arrow table, for many rows."""
        with self._speaking() as connection:
            return connection.sql(statement(name), params=parameters).to_arrow_table()

    def count(self, relation: str) -> int:
        """How many rows a table or view has."""
        with self._speaking() as connection:
            return len(connection.table(relation))

    @contextmanager
    def batches(self, relation: str, rows: int) -> Iterator[pa.RecordBatchReader]:
        """A table or view as Arrow batches of about ``rows`` rows; other threads wait while the block runs."""
        with self._speaking() as connection:
            yield connection.table(relation).to_arrow_reader(rows)

    @contextmanager
    def selected(
        self, name: str, staging: pa.Table, rows: int, /, **parameters: object
    ) -> Iterator[pa.RecordBatchReader]:
        """Batches of ``warehouse/sql/<name>.sql``, which reads ``staging``; other threads wait while the block runs."""
        with self._speaking() as connection:
            connection.register("staging", staging)
            try:
                yield connection.sql(statement(name), params=parameters).to_arrow_reader(rows)
            finally:
                connection.unregister("staging")

    @contextmanager
    def _speaking(self) -> Iterator[DuckDBPyConnection]:
        """The connection for one thread. After a full disk DuckDB answers nothing more, which is told as it is."""
        with self._lock:
            try:
                yield self._connection
            except duckdb.FatalException as error:
                raise CannotWrite(_CANNOT_BE_WRITTEN) from error


class Warehouse(Database):
    """The warehouse while this process holds it for writing."""

    def __init__(self, connection: DuckDBPyConnection, path: Path, fence: Fence) -> None:
        super().__init__(connection)
        self.path = path
        self.fence = fence
        """The number of this writer, to be checked before anything of it becomes visible."""
        self._depth = 0
        self._broken = False
        self._numbered = False
        """Whether the warehouse has this writer's number: it gets it with the first change, so that whoever opens it
        and changes nothing leaves it as it is."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything in the block, or nothing of it. A block within a block belongs to the outer one.

        Other threads wait meanwhile. CannotWrite when the disk is full, the file cannot be written, or another writer
        has taken over.
        """
        with self._lock:
            self._depth += 1
            try:
                with self._inner() if self._depth > 1 else self._outer():
                    yield
            finally:
                self._depth -= 1

    def run(self, name: str, /, **parameters: object) -> None:
        """Run ``warehouse/sql/<name>.sql``."""
        with self._speaking() as connection:
            connection.execute(statement(name), parameters)

    def insert(self, name: str, table: pa.Table, /, **parameters: object) -> None:
        """Run ``warehouse/sql/<name>.sql``, which reads ``table`` under the name ``staging``."""
        with self._speaking() as connection:
            connection.register("staging", table)
            try:
                connection.execute(statement(name), parameters)
            finally:
                with suppress(duckdb.Error):
                    connection.unregister("staging")

    @contextmanager
    def exclusive(self) -> Iterator[DuckDBPyConnection]:
        """The bare connection, for publishing and backup; no other thread speaks meanwhile."""
        with self._lock:
            yield self._connection

    @contextmanager
    def _outer(self) -> Iterator[None]:
        self._broken = False
        try:
            self._connection.begin()
            yield
            if self._broken:
                raise WarehouseError("a part of the transaction failed, so none of it is stored.")
            self._commit()
        except (duckdb.FatalException, duckdb.IOException, duckdb.OutOfMemoryException) as error:
            self._roll_back()
            raise CannotWrite(_CANNOT_BE_WRITTEN) from error
        except BaseException:
            self._roll_back()
            raise

    def _commit(self) -> None:
        self.fence.check()
        try:
            if not self._numbered:
                values = {"token": self.fence.token, "raised_at": naive_utc(utc_now())}
                self._connection.execute(statement("raise_fence"), values).fetchall()
            self._connection.commit()
            self._numbered = True
        except duckdb.Error as error:  # a full disk at the commit is a TransactionException
            raise CannotWrite(_CANNOT_BE_WRITTEN) from error

    @contextmanager
    def _inner(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._broken = True
            raise

    def _roll_back(self) -> None:
        with suppress(duckdb.Error):  # after a fatal error the connection is gone, and with it the transaction
            self._connection.rollback()


@contextmanager
def open_warehouse(path: Path, *, wait_s: float = 0.0, backups: Path | None = None) -> Iterator[Warehouse]:
    """The warehouse at ``path`` for writing, created or migrated where needed; closed with the block.

    Before rows are migrated a copy goes to ``backups`` (None: the folder ``backups`` beside the file) and is migrated
    first: when that fails, the warehouse stays as it was.
    Waits up to ``wait_s`` for another writer or a reader to let go. WarehouseError, naming the holder and the
    way back, when the file is held, foreign, damaged, altered or of a newer Marrow.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer_lock(path.with_name(path.name + ".lock"), wait_s=wait_s):
        connection = _connect(path, time.monotonic() + wait_s)
        warehouse = None
        try:
            _migrate(connection, path, backups or path.with_name("backups"))
            connection.execute(statement("no_checkpoint_at_close"))
            connection.execute(statement("configure"))
            warehouse = Warehouse(connection, path, _raise_fence(connection, path))
            yield warehouse
        finally:
            _close(connection, warehouse)


@contextmanager
def read_warehouse(path: Path) -> Iterator[Database]:
    """The warehouse at ``path`` for reading while no run holds it; nothing of it is written.

    :class:`WarehouseHeld` when a run has it; WarehouseError when it is of another Marrow, foreign or damaged;
    UserError when there is none. A run that begins meanwhile waits, or says who has the warehouse.
    """
    if not path.is_file():
        raise UserError("there is no warehouse yet: run a night first, or give another --home.")
    with writer_lock(path.with_name(path.name + ".lock")):
        try:
            connection = duckdb.connect(str(path), read_only=True, config=CLOSED_TO_THE_WORLD)
        except duckdb.Error as error:
            raise WarehouseError(_cause(path, error)) from error
        try:
            check_current(connection)
            connection.execute(statement("configure"))
            yield Database(connection)
        finally:
            connection.close()


def _raise_fence(connection: DuckDBPyConnection, path: Path) -> Fence:
    """Shut out every earlier writer, in the file that it looks at."""
    ((stored,),) = connection.execute(statement("fence")).fetchall()
    try:
        return raise_fence(fence_file(path), stored)
    except OSError as error:
        raise CannotWrite(_CANNOT_BE_WRITTEN) from error


def _close(connection: DuckDBPyConnection, warehouse: Warehouse | None) -> None:
    """Close, and take the log of changes in unless another writer has taken over.

    Taking it in ends with its removal by name, and by then that name may be the log of the successor.
    """
    if warehouse is not None and latest_token(warehouse.fence.path) == warehouse.fence.token:
        with suppress(duckdb.Error):  # a full disk: the next opening reads the log
            connection.execute(statement("checkpoint"))
    connection.close()


def _connect(path: Path, deadline: float) -> DuckDBPyConnection:
    while True:
        try:
            return duckdb.connect(str(path), config=CLOSED_TO_THE_WORLD | {"checkpoint_threshold": LOG_SIZE})
        except duckdb.Error as error:
            holder = _HOLDER.search(str(error)) if "lock" in str(error) else None
            if holder is None:
                raise WarehouseError(_cause(path, error)) from error
            if time.monotonic() >= deadline:
                raise WarehouseError(
                    f"another program has {path.name} open (PID {holder[1]}): close it. "
                    "Analysts read the published file."
                ) from error
            time.sleep(POLL_S)


def _migrate(connection: DuckDBPyConnection, path: Path, backups: Path) -> None:
    try:
        snapshot_before_migration(connection, path, backups)
        migrate(connection)
    except duckdb.ProgrammingError:  # a fault of a migration, not of the file
        raise
    except duckdb.Error as error:
        raise WarehouseError(_cause(path, error)) from error


def _cause(path: Path, error: duckdb.Error) -> str:
    text = str(error).lower()
    if "permission denied" in text or "read-only" in text:
        return f"{path.name} cannot be written: check the owner of the home and the disk."
    if "newer version" in text or "version number" in text:
        return f"{path.name} was written by another version of DuckDB: use the Marrow that wrote it. {WAY_BACK}"
    return f"{path.name} is damaged or not a DuckDB file. {WAY_BACK}"
