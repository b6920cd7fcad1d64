import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.errors import UserError
from marrow_models.strict_json import LARGEST_BYTES, Members, digest_of, parse_object, read_object

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_every_json_object_is_read_as_json_reads_it(value):
    assert parse_object(json.dumps(value).encode(), "f.json") == value


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_a_user_error(data):
    with contextlib.suppress(UserError):
        assert isinstance(parse_object(data, "f.json"), dict)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"a": {"b": 1, "b": 1}}', "given twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ("[1]", "not a list"),
        ('"text"', "not a text"),
        ("null", "not null"),
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ('{"a":' + "9" * 5000 + "}", "not valid JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": 1} {"b": 2}', "Extra data"),
    ],
)
def test_what_is_wrong_is_said(text, words):
    with pytest.raises(UserError, match=words):
        parse_object(text.encode(), "f.json")


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(UserError, match="not valid JSON"):
        parse_object(b'{"a": "\xff"}', "f.json")


def test_a_huge_file_is_refused_without_reading_all_of_it(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse: a terabyte of zeros
    with pytest.raises(UserError, match=f"larger than {LARGEST_BYTES}"):
        read_object(path)


@pytest.mark.parametrize("name", ["absent.json", "", "with\0null"])
def test_a_file_that_cannot_be_read_is_a_user_error(tmp_path, name):
    with pytest.raises(UserError, match="cannot be read"):
        read_object(Path(tmp_path) / name)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_the_digest_is_of_the_content_and_not_of_its_layout(value):
    reordered = dict(reversed(value.items()))
    assert digest_of(value) == digest_of(json.loads(json.dumps(reordered, indent=7)))


def test_the_digest_tells_contents_apart():
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def members(**values):
    return Members(values, "f.json: place", required=(), optional=tuple(values))


@pytest.mark.parametrize(
    ("take", "value"),
    [
        (lambda m: m.text("k"), ""),
        (lambda m: m.text("k"), 3),
        (lambda m: m.optional_text("k"), "  "),
        (lambda m: m.one_of("k", ("a", "b")), "c"),
        (lambda m: m.one_of("k", ("a", "b")), ["a"]),
        (lambda m: m.optional_one_of("k", ("a", "b")), False),
        (lambda m: m.flag("k"), 1),
        (lambda m: m.flag("k"), None),
        (lambda m: m.number("k", 0, 1), True),
        (lambda m: m.number("k", 0, 1), "1"),
        (lambda m: m.number("k", 0, 1), 1.01),
        (lambda m: m.whole("k", 0, 5), 2.0),
        (lambda m: m.whole("k", 0, 5), 6),
        (lambda m: m.items("k"), {}),
        (lambda m: m.texts("k"), ["a", 1]),
        (lambda m: m.texts("k"), [""]),
    ],
)
def test_a_member_of_another_type_is_refused_with_its_place_and_name(take, value):
    with pytest.raises(UserError, match=r"^f\.json: place: k must"):
        take(members(k=value))


def test_members_are_given_as_they_are():
    m = members(text="t", none=None, choice="a", flag=True, number=1, whole=3, items=[1], texts=["x", "y"])
    assert (m.text("text"), m.optional_text("none"), m.one_of("choice", "ab")) == ("t", None, "a")
    assert (m.flag("flag"), m.number("number", 0, 1), m.whole("whole", 0, 3)) == (True, 1.0, 3)
    assert (m.items("items"), m.texts("texts"), m.texts("absent"), m.value("absent")) == ([1], ("x", "y"), (), None)


def test_missing_and_unknown_members_are_named():
    with pytest.raises(UserError, match="b missing"):
        Members({"a": 1}, "f", required=("a", "b"))
    with pytest.raises(UserError, match="unknown member typo; known are a, b"):
        Members({"a": 1, "typo": 2}, "f", required=("a",), optional=("b",))
    with pytest.raises(UserError, match="must be an object, not a list"):
        Members([], "f", required=())
