"""What an analyst may ask: one SELECT over published tables and views, nothing that tells of the machine.

DuckDB's settings close files, network and configuration. They leave open what tells paths and settings (catalogue
views, ``current_setting``) and functions that run text as SQL; these are found in DuckDB's own syntax tree.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb

from marrow_models.errors import UserError
from warehouse.sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_QUESTION = 20_000
"""Characters."""
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
"""Functions that may stand after FROM; all others read files, settings or text as SQL."""
TELLING = frozenset({"current_setting", "getenv", "getvariable", "current_query", "write_log"})
"""Scalar functions that tell of the machine or leave a trace on it."""
CATALOGUE = frozenset({"tables", "columns"})
"""Of ``information_schema``, so that a client can list what there is."""


class QueryRefused(UserError):
    """A question that the sandbox does not answer; the message says why."""


def check_question(connection: DuckDBPyConnection, sql: str) -> None:
    """Raise :class:`QueryRefused` unless ``sql`` is one SELECT (or DESCRIBE, SHOW TABLES) that tells of data only."""
    if len(sql) > LONGEST_QUESTION or "\0" in sql:
        raise QueryRefused(f"the query is longer than {LONGEST_QUESTION} characters or holds a null character.")
    internal = {name for (name,) in connection.execute(statement("internal_relations")).fetchall()}
    for node in _nodes(_tree(connection, sql)):
        _check_node(node, internal)


def _tree(connection: DuckDBPyConnection, sql: str) -> Any:
    try:
        ((text,),) = connection.execute(statement("parse_select"), {"query": sql}).fetchall()
        tree = json.loads(text)
    except (duckdb.Error, RecursionError) as error:
        raise QueryRefused(f"the query cannot be parsed ({type(error).__name__}).") from None
    if tree["error"] and tree.get("error_type") == "not implemented":
        raise QueryRefused("only SELECT, DESCRIBE and SHOW TABLES are answered here.")
    if tree["error"]:
        raise QueryRefused(f"the query cannot be parsed: {tree.get('error_message', '')}")
    if len(tree["statements"]) != 1:
        raise QueryRefused("one statement at a time is answered here.")
    return tree


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document; without recursion, because a query may be nested deeply."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_node(node: dict[str, Any], internal: set[str]) -> None:
    kind = node.get("type")
    if kind == "TABLE_FUNCTION":
        name = str(node.get("function", {}).get("function_name", "")).lower()
        if name not in TABLE_FUNCTIONS:
            raise QueryRefused(f"the function {name} is not answered after FROM here.")
    elif kind == "BASE_TABLE":
        name, schema = (str(node.get(key, "")).lower() for key in ("table_name", "schema_name"))
        allowed = schema == "information_schema" and name in CATALOGUE
        if not allowed and (name in internal or name.startswith(("duckdb_", "pragma_"))):
            raise QueryRefused(f"{name} tells of the machine and is not answered here.")
    elif "function_name" in node and str(node["function_name"]).lower() in TELLING:
        raise QueryRefused(f"the function {node['function_name']} is not answered here.")
