"""What is remembered of streams changes no answer: tile for tile it is that of the plain functions."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from marrow_models.slides import jpeg
from marrow_models.slides.jpeg_streams import ProvenStreams, StandingStreams
from marrow_models.slides.reader import TileSizeMismatch, TileUnreadable
from tests.unit.slide_files.sources import jpeg_of, picture
from tests.unit.slide_files.test_jpeg import segment, split_tables

WIDTH, HEIGHT = 64, 48


def progressive(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=90, progressive=True)
    return file.getvalue()


STREAMS = [jpeg_of(picture(WIDTH, HEIGHT, seed)) for seed in range(3)]
OTHER_SIZE = jpeg_of(picture(48, HEIGHT))
PROGRESSIVE = progressive(picture(WIDTH, HEIGHT))
RGB = jpeg_of(picture(WIDTH, HEIGHT), rgb=True)
KINDS = [*STREAMS, OTHER_SIZE, PROGRESSIVE, RGB, STREAMS[0] + b"\0" * 9, STREAMS[1] + b"\0" * 90, b"", b"\xff\xd8"]

Damage = list[tuple[int, bytes]]
DAMAGES = st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=3)), max_size=4)


def verdict(work: Callable[[], object]) -> object:
    """What it returns, or that the tile is lost and of which kind."""
    try:
        return work()
    except TileUnreadable as why:
        return type(why)


def damaged(stream: bytes, damage: Damage) -> bytes:
    changed = bytearray(stream)
    for place, data in damage:
        if changed:
            place %= len(changed)
            changed[place : place + len(data)] = data
    return bytes(changed)


@given(st.lists(st.tuples(st.integers(0, len(KINDS) - 1), DAMAGES, st.integers(0, 200)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=300)
@example([(0, [], 0), (1, [(2000, b"\xff\xd9")], 0), (2, [], 50)])
def test_streams_stand_alone_as_each_would_by_itself(drawn: list[tuple[int, Damage, int]]) -> None:
    streams = StandingStreams(b"", WIDTH, HEIGHT)
    for kind, damage, cut in drawn:
        stream = damaged(KINDS[kind], damage)
        stream = stream[: len(stream) - cut]
        plain = verdict(lambda stream=stream: jpeg.self_standing(stream, b"", WIDTH, HEIGHT))
        assert verdict(lambda stream=stream: streams.alone(stream)) == plain


def test_tables_and_what_is_left_out_are_the_same_in_the_second_stream() -> None:
    tables, _ = split_tables(STREAMS[0])
    needed = jpeg.parse_header(tables).needed
    streams = StandingStreams(needed, WIDTH, HEIGHT)
    for stream in STREAMS:
        _, abbreviated = split_tables(stream)
        marked = abbreviated[:2] + segment(0xFE, b"CANARY") + abbreviated[2:] + b"\0\0"
        alone = streams.alone(marked)
        assert alone == jpeg.self_standing(marked, needed, WIDTH, HEIGHT)
        assert b"CANARY" not in alone


@given(st.lists(st.tuples(st.integers(0, 5), DAMAGES), min_size=1, max_size=8))
@settings(deadline=None, max_examples=500)
@example([(0, []), (1, [(1500, b"\xff\x9b")])])
@example([(0, []), (1, [(1500, b"\xff\xc4")])])
def test_a_stream_is_proven_where_it_decodes_and_nowhere_else(drawn: list[tuple[int, Damage]]) -> None:
    streams = ProvenStreams("ycbcr", WIDTH, HEIGHT)
    for kind, damage in drawn:
        try:  # as in an ingest: what is no stream of its own never gets so far
            stream = jpeg.self_standing(damaged(KINDS[kind], damage), b"", WIDTH, HEIGHT)
        except TileUnreadable:
            continue
        plain = verdict(lambda stream=stream: jpeg.decode(stream, "ycbcr", WIDTH, HEIGHT) is None)
        assert verdict(lambda stream=stream: streams.check(stream) is not None) == plain


def test_a_second_stream_that_begins_alike_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = ProvenStreams("ycbcr", WIDTH, HEIGHT)
    pixels = streams.decode(STREAMS[0])
    np.testing.assert_array_equal(pixels, jpeg.decode(STREAMS[0], "ycbcr", WIDTH, HEIGHT))
    decoded: list[int] = []
    monkeypatch.setattr(streams, "decode", lambda stream: decoded.append(len(stream)))
    streams.check(STREAMS[1])
    assert decoded == []
    streams.check(PROGRESSIVE)
    streams.check(STREAMS[2][:-9] + b"\xff\xc4" + STREAMS[2][-7:])
    assert len(decoded) == 2


def test_progressive_streams_are_decoded_every_one() -> None:
    streams = ProvenStreams("ycbcr", WIDTH, HEIGHT)
    for _ in range(2):
        streams.check(PROGRESSIVE)
    assert streams._proven is None


def test_another_size_is_told_apart_from_damage() -> None:
    streams = StandingStreams(b"", WIDTH, HEIGHT)
    streams.alone(STREAMS[0])
    with pytest.raises(TileSizeMismatch):
        streams.alone(OTHER_SIZE)
