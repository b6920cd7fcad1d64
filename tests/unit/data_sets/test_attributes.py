"""The schemas of morphology attributes that ship."""

from __future__ import annotations

import pytest

from marrow_models.datasets.attributes import built_in_schemas, checked_attributes, load_schema, parse_schema
from marrow_models.errors import UserError

GOOD = {"name": "s", "title": "S", "source": "here", "attributes": [{"name": "size", "values": ["small", "big"]}]}


@pytest.mark.parametrize(("name", "attributes", "values"), [("wbcatt11", 11, 31), ("lld7", 7, 15)])
def test_each_schema_has_its_published_number_of_attributes_and_values(name, attributes, values):
    schema = load_schema(name)
    assert schema.name == name
    assert len(schema.values) == attributes
    assert sum(len(known) for known in schema.values.values()) == values
    assert schema.source


def test_all_schemas_that_ship_are_known_by_name():
    assert built_in_schemas() == ("lld7", "wbcatt11")
    with pytest.raises(UserError, match="no attribute schema 'lld8'; known are lld7, wbcatt11"):
        load_schema("lld8")


def test_the_value_that_means_ignore_is_no_value():
    assert all("ignore" not in known for known in load_schema("lld7").values.values())


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ([], "attributes is empty"),
        ([{"name": "size", "values": ["small"]}], r"\(size\): needs two or more values"),
        ([{"name": "size", "values": ["small", "small"]}], "each once"),
        ([{"name": "Cell Size", "values": ["a", "b"]}], "lower-case"),
        (
            [{"name": "size", "values": ["a", "b"]}, {"name": "size", "values": ["a", "b"]}],
            "attribute 2: .* given once",
        ),
        ([{"name": "size"}], "values missing"),
        ([{"name": "size", "values": ["a", "b"], "order": 1}], "unknown member order"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(attributes, message):
    with pytest.raises(UserError, match=message):
        parse_schema(GOOD | {"attributes": attributes}, "s.json")


def test_attributes_come_in_the_order_of_the_schema_and_without_empty_ones():
    schema = load_schema("lld7")
    found = checked_attributes(schema, {"nucleus": " prominent ", "cytoplasm": "", "cell_size": "large"}, "a")
    assert list(found.items()) == [("cell_size", "large"), ("nucleus", "prominent")]


def test_attributes_and_values_of_another_schema_are_refused_with_their_place():
    schema = load_schema("lld7")
    with pytest.raises(UserError, match=r"a\.csv, line 3: lld7 has no attribute granularity"):
        checked_attributes(schema, {"granularity": "yes"}, "a.csv, line 3")
    with pytest.raises(UserError, match=r"a\.csv, line 3: cell_size is 'huge'; known are small, medium, large"):
        checked_attributes(schema, {"cell_size": "huge"}, "a.csv, line 3")
