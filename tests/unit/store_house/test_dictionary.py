"""Every table, view and column says what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.dictionary import comments, dictionary_markdown, notice
from warehouse.notice import RESEARCH_USE_ONLY

if TYPE_CHECKING:
    from warehouse.connection import Warehouse


def test_every_table_view_and_column_has_a_comment(warehouse: Warehouse) -> None:
    relations = comments(warehouse)
    silent = [r.name for r in relations.values() if not r.comment]
    silent += [f"{r.name}.{column}" for r in relations.values() for column, text in r.columns.items() if not text]
    assert silent == []
    assert {r.kind for r in relations.values()} == {"table", "view"}


def test_comments_are_sentences(warehouse: Warehouse) -> None:
    texts = [text for r in comments(warehouse).values() for text in (r.comment, *r.columns.values())]
    assert [text for text in texts if not text.endswith(".")] == []


def test_the_dictionary_names_everything(warehouse: Warehouse) -> None:
    text = dictionary_markdown()
    for relation in comments(warehouse).values():
        assert f"### {relation.name}\n" in text
        for column, meaning in relation.columns.items():
            assert f"| {column} | {relation.types[column]} | {meaning} |" in text


def test_the_notice_is_the_one_of_every_output(warehouse: Warehouse) -> None:
    assert notice(warehouse) == RESEARCH_USE_ONLY
    assert RESEARCH_USE_ONLY in dictionary_markdown()


def test_the_promised_columns_are_there_in_their_order(warehouse: Warehouse) -> None:
    promised = {
        "slides": ["slide_id", "patient_id", "state", "reason"],
        "cells": ["slide_id", "cell_id", "x_um", "y_um", "width_um", "height_um", "cell_class", "confidence"],
        "cell_counts": ["slide_id", "patient_id", "cell_class", "cells", "percent"],
        "cell_attributes": ["slide_id", "patient_id", "cell_id", "attribute", "value", "confidence"],
        "attribute_counts": ["slide_id", "patient_id", "cell_class", "attribute", "value", "cells", "percent"],
        "patient_diagnoses": ["patient_id", "diagnosis", "probability", "status", "reasons"],
        "differentials": ["patient_id", "category", "cells", "percent", "low", "high"],
    }
    relations = comments(warehouse)
    for view, columns in promised.items():
        assert list(relations[view].columns)[: len(columns)] == columns
    assert {"runs", "models", "fields", "night", "notice"} <= set(relations)
