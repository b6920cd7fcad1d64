"""JPEG streams of single tiles."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.slides import jpeg
from marrow_models.slides.reader import TileUnreadable
from tests.unit.slide_files.sources import CANARY, jpeg_of, picture

TILE = picture(64, 48)
STREAM = jpeg_of(TILE)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """Take the tables out of a stream, as TIFF writers do: (tables, abbreviated stream)."""
    tables, rest, position = b"", b"", 2
    while stream[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4])
        if stream[position + 1] in (0xDB, 0xC4):
            tables += stream[position:end]
        else:
            rest += stream[position:end]
        position = end
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + stream[position:]


def test_a_stream_without_its_tables_stands_alone_once_they_are_put_in() -> None:
    tables, abbreviated = split_tables(STREAM)
    alone = jpeg.self_standing(abbreviated, jpeg.parse_header(tables).needed, 64, 48)
    expected = imagecodecs.jpeg8_decode(STREAM)
    np.testing.assert_array_equal(jpeg.decode(alone, "ycbcr", 64, 48), expected)


def test_the_compressed_pixels_are_copied_as_they_are() -> None:
    scan = STREAM[STREAM.index(b"\xff\xda") :]
    assert jpeg.self_standing(STREAM, b"", 64, 48).endswith(scan)


def test_comments_and_application_data_do_not_come_along() -> None:
    marked = STREAM[:2] + segment(0xFE, CANARY.encode()) + segment(0xE1, b"Exif" + CANARY.encode()) + STREAM[2:]
    alone = jpeg.self_standing(marked + b"\0" * 8, b"", 64, 48)
    assert CANARY.encode() not in alone
    assert alone == jpeg.self_standing(STREAM, b"", 64, 48)


def test_what_follows_the_end_of_a_stream_does_not_come_along() -> None:
    alone = jpeg.self_standing(STREAM + CANARY.encode(), b"", 64, 48)
    assert alone.endswith(b"\xff\xd9")
    assert CANARY.encode() not in alone


def test_a_forged_size_is_refused_before_anything_is_decoded() -> None:
    start = STREAM.index(b"\xff\xc0") + 5
    forged = STREAM[:start] + (65_500).to_bytes(2, "big") * 2 + STREAM[start + 4 :]
    with pytest.raises(TileUnreadable, match="65500 x 65500"):
        jpeg.self_standing(forged, b"", 64, 48)


@pytest.mark.parametrize("keep", [0, 1, 2, 10, 100, len(STREAM) // 2, len(STREAM) - 2])
def test_a_stream_that_is_cut_is_refused_although_libjpeg_would_decode_it(keep: int) -> None:
    with pytest.raises(TileUnreadable):
        jpeg.self_standing(STREAM[:keep], b"", 64, 48)


def test_a_tile_overwritten_with_zeros_from_the_middle_on_is_refused() -> None:
    half = len(STREAM) // 2
    with pytest.raises(TileUnreadable):
        jpeg.self_standing(STREAM[:half] + b"\0" * half, b"", 64, 48)


def test_a_grey_tile_is_refused() -> None:
    grey = bytes(imagecodecs.jpeg8_encode(np.zeros((48, 64), np.uint8)))
    with pytest.raises(TileUnreadable, match="1 components"):
        jpeg.self_standing(grey, b"", 64, 48)


@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_it_fail_in_another_way(data: bytes) -> None:
    for stream in (data, b"\xff\xd8" + data, STREAM[:30] + data, STREAM[: len(STREAM) // 2] + data + b"\xff\xd9"):
        try:
            jpeg.decode(jpeg.self_standing(stream, b"", 64, 48), "ycbcr", 64, 48)
        except TileUnreadable:
            continue


@pytest.mark.parametrize(
    ("stream", "declared", "expected"),
    [
        (jpeg_of(TILE), "ycbcr", "ycbcr"),
        (jpeg_of(TILE), "rgb", "ycbcr"),  # it is JFIF
        (jpeg_of(TILE, rgb=True), "rgb", "rgb"),
        (jpeg_of(TILE, rgb=True), "ycbcr", "rgb"),  # its Adobe marker says so
    ],
)
def test_the_colour_space_is_what_container_and_stream_agree_on(stream: bytes, declared, expected) -> None:
    colour = jpeg.colour_space(jpeg.parse_header(stream), declared)
    assert colour == expected
    pixels = jpeg.decode(jpeg.self_standing(stream, b"", 64, 48), colour, 64, 48)
    assert np.abs(pixels.astype(int) - TILE).mean() < 4


def test_our_own_tiles_decode_to_nearly_what_they_were_made_of() -> None:
    decoded = jpeg.decode(jpeg.encode(TILE), "ycbcr", 64, 48)
    assert np.abs(decoded.astype(int) - TILE).mean() < 3


def test_a_tile_keeps_its_pixels_when_the_next_ones_are_decoded() -> None:
    first = jpeg.decode(STREAM, "ycbcr", 64, 48)
    before = first.copy()
    for _ in range(3):
        jpeg.decode(jpeg_of(255 - TILE), "ycbcr", 64, 48)
    np.testing.assert_array_equal(first, before)


def test_a_damaged_tile_shows_nothing_of_the_one_before() -> None:
    damaged = [STREAM[: int(len(STREAM) * share)] + jpeg.EOI for share in (0.6, 0.75, 0.9)]
    damaged += [STREAM[:-40] + bytes(38) + jpeg.EOI]
    for stream in damaged:
        seen = []
        for before in (np.zeros_like(TILE), np.full_like(TILE, 255)):
            jpeg.decode(jpeg_of(before), "ycbcr", 64, 48)
            try:
                seen.append(jpeg.decode(stream, "ycbcr", 64, 48).tobytes())
            except TileUnreadable:
                seen.append(b"refused")
        assert seen[0] == seen[1]


def test_threads_decode_apart() -> None:
    streams = {value: jpeg_of(np.full_like(TILE, value)) for value in (10, 120, 240)}
    with ThreadPoolExecutor(3) as threads:
        decoded = list(
            threads.map(lambda value: (value, jpeg.decode(streams[value], "ycbcr", 64, 48)), [*streams] * 60)
        )
    assert all((pixels == imagecodecs.jpeg8_decode(streams[value])).all() for value, pixels in decoded)


def test_a_tile_of_another_size_says_which_was_expected() -> None:
    with pytest.raises(TileUnreadable, match="damaged or not of 32 x 48 px"):
        jpeg.decode(STREAM, "ycbcr", 32, 48)
