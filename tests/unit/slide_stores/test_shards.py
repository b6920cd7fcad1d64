"""Shards: what is written is what is read, and a store knows when it is not whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marrow_models.errors import MarrowError
from marrow_models.pyramid.chunks import LevelReader
from marrow_models.pyramid.codec import JPEG_CODEC, ZSTD_CODEC, zstd_encode
from marrow_models.pyramid.layout import LevelLayout, layout_of
from marrow_models.pyramid.manifest import write_document
from marrow_models.pyramid.shards import LevelWriter, ShardCorrupt
from tests.unit.slide_files.sources import picture, tiles

LAYOUT = LevelLayout(700, 500, 64, 64, ZSTD_CODEC, "rgb", 1.0)
PIXELS = picture(700, 500)


def write(
    store: Path, layout: LevelLayout, left_out: set[tuple[int, int]] = frozenset(), order: int = 0
) -> LevelWriter:
    parts = [(row, column, tile) for row, column, tile in tiles(PIXELS, layout.tile_width_px, layout.tile_height_px)]
    np.random.default_rng(order).shuffle(parts) if order else None
    with LevelWriter(store, 0, layout) as writer:
        for row, column, tile in parts:
            writer.put(row, column, None if (row, column) in left_out else zstd_encode(tile))
    write_document(store / "0" / "zarr.json", layout.array_document())
    return writer


@given(order=st.integers(0, 1000), left_out=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 10)), max_size=88))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_zarr_reads_what_was_written_in_any_order_with_gaps_as_white(
    tmp_path_factory: pytest.TempPathFactory, order: int, left_out: set[tuple[int, int]]
) -> None:
    store = tmp_path_factory.mktemp("store")
    write(store, LAYOUT, left_out, order)
    expected = PIXELS.copy()
    for row, column in left_out:
        expected[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64] = 255
    array = zarr.open_array(store / "0", mode="r")
    np.testing.assert_array_equal(np.moveaxis(np.asarray(array[:]), 0, -1), expected)
    reader = LevelReader(store, 0, LAYOUT)
    for row, column, tile in tiles(PIXELS, 64, 64):
        got = reader.tile(row, column)
        assert (got is None) == ((row, column) in left_out)
        if got is not None:
            np.testing.assert_array_equal(got, tile)


def test_records_describe_each_file(tmp_path: Path) -> None:
    import hashlib

    writer = write(tmp_path, LAYOUT, {(0, 0)})
    assert sum(record.chunks for record in writer.records.values()) == LAYOUT.rows * LAYOUT.columns - 1
    for name, record in writer.records.items():
        data = (tmp_path / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (record.bytes, record.sha256)


def test_a_shard_of_nothing_is_no_file(tmp_path: Path) -> None:
    everything = {(row, column) for row in range(LAYOUT.rows) for column in range(LAYOUT.columns)}
    assert write(tmp_path, LAYOUT, everything).records == {}
    assert LevelReader(tmp_path, 0, LAYOUT).tile(0, 0) is None
    assert (np.asarray(zarr.open_array(tmp_path / "0", mode="r")[:]) == 255).all()


def test_a_level_that_was_not_told_every_tile_cannot_be_closed(tmp_path: Path) -> None:
    with pytest.raises(MarrowError, match="87 tiles were not written"), LevelWriter(tmp_path, 0, LAYOUT) as writer:
        writer.put(0, 0, b"x")


@pytest.mark.parametrize("at", [-1, -10, -400])
def test_a_damaged_index_is_noticed_and_not_read(tmp_path: Path, at: int) -> None:
    write(tmp_path, LAYOUT)
    shard = tmp_path / "0" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[at] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(ShardCorrupt):
        LevelReader(tmp_path, 0, LAYOUT).tile(0, 0)


@given(
    st.builds(
        LevelLayout,
        st.integers(1, 300_000),
        st.integers(1, 300_000),
        st.integers(64, 2048),
        st.integers(64, 2048),
        st.sampled_from([JPEG_CODEC, ZSTD_CODEC]),
        st.just("rgb"),
        st.floats(1, 64),
    )
)
def test_a_layout_is_read_back_from_its_own_document_and_its_shards_stay_small(layout: LevelLayout) -> None:
    assert layout_of(layout.array_document(), layout.downsample) == layout
    tiles_ = layout.shard_tiles
    assert tiles_ & (tiles_ - 1) == 0
    assert tiles_ * max(layout.tile_width_px, layout.tile_height_px) <= 8192
    assert tiles_ < 2 * max(layout.rows, layout.columns)
