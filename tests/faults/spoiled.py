"""Bytes and JSON documents, spoiled at random by Hypothesis."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from marrow_models.errors import SlideRefused, UserError

T = TypeVar("T")
normal, seldom = (
    settings(max_examples=count, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    for count in (100, 30)
)


def ended(function: Callable[..., T], *arguments: Any, **more: Any) -> tuple[T | None, str]:
    """What a call gives; None and the text of the error that it ends in on purpose."""
    try:
        return function(*arguments, **more), ""
    except (UserError, SlideRefused) as error:
        return None, str(error)


@st.composite
def spoiled(draw: st.DrawFn, content: bytes, pieces: tuple[bytes, ...]) -> bytes:
    """``content`` with up to six pieces put in, put over or cut out."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data[start:end] = draw(st.one_of(st.sampled_from(pieces), st.binary(max_size=4), st.just(bytes(data[start:]))))
    return bytes(data)


RUBBISH = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, -1, 1, 2, 3, 7, 10**400, -(10**20), 0.0, -0.5, 1.5, 1e308, math.nan, math.inf,
            "", " ", "a", "\0", "\ud800", "../x", "/etc/hostname", "x" * 300, "$__import__('os').system('true')",
            "blast", "marrow49", [], [[]], {}, {"a": 1}, {"_target_": "os.system"},
        ]
    ),
    st.integers(-2, 70_000),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.sampled_from([0, 1, 1.5, "a", "b", None, "\ud800"]), max_size=4),
)  # fmt: skip


@st.composite
def changed(draw: st.DrawFn, document: dict, below: tuple[str, ...] = ()) -> bytes:
    """The JSON of ``document`` with up to three members below ``below`` replaced, removed, added or said twice."""
    made = copy.deepcopy(document)
    inside = made
    for key in below:
        inside = inside[key]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(_places(inside) or [(inside, "x")]))
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "move"])):
            case "replace":
                holder[key] = draw(RUBBISH)
            case "remove" if isinstance(holder, list) or key in holder:
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=5))] = draw(RUBBISH)
            case "add":
                holder.insert(key, copy.deepcopy(holder[key]))
            case "move":
                other, there = draw(st.sampled_from(_places(inside) or [(inside, "x")]))
                holder[key] = copy.deepcopy(other.get(there) if isinstance(other, dict) else other[there])
    text = json.dumps(made)
    if draw(st.integers(0, 9)) == 0:
        text = '{"name": 1, ' + text[1:]
    return text.encode()


def _places(value: object) -> list[tuple[dict | list, object]]:
    """Every (object or list, key or index) of a document, from the outside inwards."""
    found: list[tuple[dict | list, object]] = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        found = [(value, key) for key in keys]
        found += [place for key in keys for place in _places(value[key])]
    return found
