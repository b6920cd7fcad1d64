"""F74: what an analyst's question can reach, and what it may cost."""

import csv
import io
import resource
import time

import duckdb
import pyarrow as pa
import pytest

from flows.command_query import write_csv
from marrow_models.errors import UserError
from tests.unit.store_house.factories import begin_night, finish_slide
from warehouse.connection import open_warehouse
from warehouse.publish import publish
from warehouse.sandbox import Answer, QueryLimits, ask
from warehouse.sandbox_child import reason, select
from warehouse.sandbox_syntax import QueryRefused


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home-of-the-path-canary")
    with open_warehouse(folder / "marrow.duckdb") as warehouse:
        begin_night(warehouse)
        finish_slide(warehouse)
        return publish(warehouse, folder / "published").path


def test_an_analyst_gets_rows_with_their_names(published):
    answer = ask(published, "SELECT cell_class, count(*) AS cells FROM cells GROUP BY ALL ORDER BY ALL")

    assert answer.table.column_names == ["cell_class", "cells"]
    assert sum(answer.table.column("cells").to_pylist()) == 12
    assert not answer.truncated


@pytest.mark.parametrize("sql", ["DESCRIBE cells", "SHOW TABLES", "SELECT table_name FROM information_schema.tables"])
def test_what_there_is_can_be_listed(published, sql):
    assert len(ask(published, sql).table) > 5


REFUSED = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "FROM '/etc/passwd'",
    "SELECT * FROM 'published.parquet'",
    "COPY cells TO '/tmp/stolen.csv'",
    "EXPORT DATABASE '/tmp/stolen'",
    "ATTACH '/tmp/other.duckdb'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 64",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_database_list()",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM system.main.duckdb_databases",
    "SELECT path FROM (WITH duckdb_databases AS (SELECT 1) FROM duckdb_databases), duckdb_databases",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT current_setting('temp_directory')",
    "SELECT \"Current_Setting\"('temp_directory')",
    "SELECT getenv('HOME')",
    "SELECT * FROM query('SELECT * FROM duckdb_databases()')",
    "SELECT * FROM query_table('duckdb_databases')",
    "SELECT (SELECT list(path) FROM duckdb_databases()) FROM cells LIMIT 1",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE MACRO f() AS 1",
    "INSERT INTO dim_patient SELECT * FROM dim_patient",
    "DELETE FROM fact_cell",
    "UPDATE dim_run SET state = 'done'",
    "DROP VIEW cells",
    "SELECT * FROM published",
    "SELECT * FROM answer",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW cells",
    "BEGIN",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT",
    "",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_nothing_but_the_published_data_can_be_reached_and_no_answer_tells_a_path(published, sql):
    answer = pa.table({"a": [1]})  # a host variable that a replacement scan would find
    with pytest.raises((QueryRefused, duckdb.Error)) as refused:
        select(published, sql, QueryLimits())

    said = reason(refused.value, QueryLimits())
    assert answer.num_rows == 1
    assert "path-canary" not in said
    assert "root:" not in said


@pytest.mark.parametrize("sql", ["SELECT * FROM read_csv('/etc/passwd')", "PRAGMA database_list", "SELECT 1; SELECT 2"])
def test_a_refusal_is_said_in_one_sentence(published, sql):
    with pytest.raises(QueryRefused, match=r"^[^\n]+(here|queries)\.$"):
        ask(published, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b",
        "WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r) SELECT count(*) FROM r",
    ],
)
def test_a_query_without_end_is_cut_at_its_time(published, sql):
    started = time.monotonic()
    with pytest.raises(QueryRefused, match=r"longer than 0\.5 s"):
        ask(published, sql, QueryLimits(seconds=0.5))

    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    "sql", ["SELECT repeat('x', 3000000000)", "SELECT list(a.range) FROM range(30000) a, range(30000) b"]
)
def test_a_query_that_fills_the_memory_costs_itself_only(published, sql):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(QueryRefused):
        ask(published, sql, QueryLimits(memory_mb=256, seconds=20))

    used_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert used_kb == before or used_kb < 1_100_000


def test_more_rows_than_the_limit_are_cut_and_said(published):
    answer = ask(published, "SELECT * FROM range(100000)", QueryLimits(rows=5000))

    assert (len(answer.table), answer.truncated) == (5000, True)


def test_a_wrong_query_says_what_is_wrong(published):
    with pytest.raises(QueryRefused, match="no_such_column"):
        ask(published, "SELECT no_such_column FROM cells")


def test_without_a_publication_the_next_step_is_named(tmp_path):
    with pytest.raises(UserError, match="marrow publish"):
        ask(tmp_path / "marrow.duckdb", "SELECT 1")


def test_csv_runs_nothing_in_a_spreadsheet():
    texts = ["=1+1", "+x", "-x", "@x", "\tx", "plain", None]
    table = pa.table({"=head": texts, "number": [-1.5, 2, 3, 4, 5, 6, 7], "list": [["=x"]] * 7})
    out = io.StringIO()
    write_csv(Answer(table, truncated=False), out)

    rows = list(csv.reader(io.StringIO(out.getvalue())))
    assert rows[0] == ["'=head", "number", "list"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+x", "'-x", "'@x", "'\tx", "plain", ""]
    assert rows[1][1:] == ["-1.5", '["=x"]']
