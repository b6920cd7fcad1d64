"""Cells as bytes: bit for bit, or refused."""

import io
import pickle
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.cell_file import MAGIC, CellFileError, pack_cells, unpack_cells
from marrow_models.records import CellAttribute, CellTable


def table(count: int, seed: int = 0, *, attributes: bool = True) -> CellTable:
    rng = np.random.default_rng(seed)
    values = ("none", "some", "many")
    return CellTable(
        rng.random(count),
        rng.random(count),
        rng.random(count, np.float32),
        rng.random(count, np.float32),
        rng.random(count, np.float32),
        rng.random((count, 3), np.float32),
        rng.integers(0, 9, count, np.int32),
        rng.random(count) < 0.5,
        ("blast", "µ-lymphocyte", "other"),
        {"granules": CellAttribute.of(values, rng.random((count, 3), np.float32))} if attributes else {},
    )


def same(a: CellTable, b: CellTable) -> bool:
    plain = [field.name for field in fields(a) if field.name not in ("labels", "attributes")]
    return (
        a.labels == b.labels
        and all(getattr(a, n).dtype == getattr(b, n).dtype for n in plain)
        and all(getattr(a, n).tobytes() == getattr(b, n).tobytes() for n in plain)
        and a.attributes.keys() == b.attributes.keys()
        and all(
            a.attributes[n].values == b.attributes[n].values
            and a.attributes[n].index.tobytes() == b.attributes[n].index.tobytes()
            and a.attributes[n].confidence.tobytes() == b.attributes[n].confidence.tobytes()
            for n in a.attributes
        )
    )


@pytest.mark.parametrize("count", [0, 1, 500])
@pytest.mark.parametrize("attributes", [False, True])
def test_cells_come_back_bit_for_bit(count, attributes):
    cells = table(count, attributes=attributes)

    assert same(unpack_cells(pack_cells(cells, "r1 fields"), "r1 fields"), cells)


def test_the_cells_of_something_else_are_refused():
    with pytest.raises(CellFileError, match="something else"):
        unpack_cells(pack_cells(table(5), "r1"), "r2")


@given(data=st.data())
def test_a_torn_or_altered_file_is_refused(data):
    packed = bytearray(pack_cells(table(3), "r1"))
    if data.draw(st.booleans()):
        packed = packed[: data.draw(st.integers(0, len(packed) - 1))]
    else:
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(CellFileError):
        unpack_cells(bytes(packed), "r1")


def test_a_pickle_is_never_run_even_under_a_right_digest(tmp_path):
    import hashlib

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "canary"), "w"))

    buffer = io.BytesIO()
    np.savez(buffer, about=np.array([Evil()], object), x_um=np.zeros(1))
    for body in (buffer.getvalue(), pickle.dumps(Evil())):
        with pytest.raises(CellFileError, match="another form"):
            unpack_cells(MAGIC + hashlib.sha256(body).digest() + body, "r1")
    assert not (tmp_path / "canary").exists()
