"""Morphology attributes as data: which there are, and their values in order (``attribute_schemas/*.json``)."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from marrow_models.datasets.records import AttributeSchema
from marrow_models.errors import UserError
from marrow_models.strict_json import Members, parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


def built_in_schemas() -> tuple[str, ...]:
    """Names that :func:`load_schema` knows, sorted."""
    folder = resources.files("marrow_models.datasets").joinpath("attribute_schemas")
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


@cache
def load_schema(name: str) -> AttributeSchema:
    """The attributes ``name`` (``wbcatt11``, ``lld7``) of the package; UserError for another name."""
    if name not in built_in_schemas():
        raise UserError(f"no attribute schema {name!r}; known are {', '.join(built_in_schemas())}.")
    file = resources.files("marrow_models.datasets").joinpath("attribute_schemas", f"{name}.json")
    return parse_schema(parse_object(file.read_bytes(), file.name), file.name)


def parse_schema(content: dict[str, object], where: str) -> AttributeSchema:
    """The schema in a parsed file; UserError, opening with ``where``, for what is missing, doubled or alone."""
    top = Members(content, where, required=("name", "title", "source", "attributes"))
    values: dict[str, tuple[str, ...]] = {}
    for number, item in enumerate(top.items("attributes"), 1):
        members = Members(item, f"{where}: attribute {number}", required=("name", "values"))
        name, known = members.text("name"), members.texts("values")
        if not _NAME.fullmatch(name) or name in values:
            raise UserError(f"{members.where}: name {name!r} must be lower-case letters, digits and _, and given once.")
        if len(known) < 2 or len(set(known)) != len(known):
            raise UserError(f"{members.where} ({name}): needs two or more values, each once.")
        values[name] = known
    if not values:
        raise UserError(f"{where}: attributes is empty; a schema needs at least one.")
    return AttributeSchema(top.text("name"), MappingProxyType(values), top.text("source"))


def checked_attributes(schema: AttributeSchema, found: Mapping[str, str], where: str) -> Mapping[str, str]:
    """The attributes that a file gives for one cell, in the order of the schema; an empty text means not given.

    UserError, opening with ``where``, for an attribute or a value that the schema does not know.
    """
    if unknown := sorted(found.keys() - schema.values.keys()):
        raise UserError(f"{where}: {schema.name} has no attribute {', '.join(unknown)}.")
    given = {name: found[name].strip() for name in schema.values if found.get(name, "").strip()}
    for name, value in given.items():
        if value not in schema.values[name]:
            raise UserError(f"{where}: {name} is {value!r}; known are {', '.join(schema.values[name])}.")
    return MappingProxyType(given)
