"""Damaged and hostile files: each is refused with its reason or read in part, and nothing else ever happens."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from marrow_models.errors import Reason, SlideRefused
from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import Rect
from marrow_models.slides.inbox import InboxEntry, find_slides
from tests.unit.slide_files.sources import CANARY, Dicom, Svs, jpeg_of, picture, write_ome_tiff, write_tiff

PIXELS = picture(800, 600, seed=9)


def refusal_of(entry: InboxEntry, store: Path) -> SlideRefused | None:
    try:
        ingest_slide(entry.path, entry.members, store, um_per_px=None)
    except SlideRefused as refusal:
        return refusal
    return None


def outcome(inbox: Path, store: Path) -> Reason | None:
    """What becomes of the one slide in ``inbox``: a reason, or None where it is taken."""
    entries, refused = find_slides(inbox)
    if refused:
        assert not entries
        return refused[0].reason
    (entry,) = entries
    refusal = refusal_of(entry, store)
    if refusal is not None:
        assert CANARY not in str(refusal)
        assert entry.path.name not in str(refusal)
        assert not list(store.parent.glob("s*"))
        return refusal.reason
    pyramid = Pyramid.open(store)
    pyramid.region(0, Rect(0, 0, min(900, pyramid.info.width_px), min(900, pyramid.info.height_px)))
    return None


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.9, 0.99])
@pytest.mark.parametrize(
    "write",
    [
        lambda d: Svs(PIXELS).write(d / "a.svs"),
        lambda d: write_tiff(d / "a.tif", PIXELS, tile=(128, 128)),
        lambda d: write_tiff(d / "a.tif", PIXELS, rowsperstrip=8),
        lambda d: write_ome_tiff(d / "a.ome.tif", PIXELS),
        lambda d: Dicom(PIXELS).write(d / "a.dcm"),
        lambda d: Dicom(PIXELS, offset_table=False).write(d / "a.dcm"),
    ],
    ids=["svs", "tiles", "strips", "ome-tiff", "dicom", "dicom, no offset table"],
)
def test_a_slide_whose_end_is_missing_is_never_taken(
    inbox: Path, tmp_path: Path, write: Callable[[Path], Path], share: float
) -> None:
    cut(write(inbox), share)
    assert outcome(inbox, tmp_path / "s") in (Reason.TRUNCATED, Reason.CORRUPT_HEADER, Reason.TILE_ERRORS)


def test_half_an_svs_is_called_truncated(inbox: Path, tmp_path: Path) -> None:
    cut(Svs(PIXELS).write(inbox / "a.svs"), 0.5)
    assert outcome(inbox, tmp_path / "s") == Reason.TRUNCATED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"II*\0\xff\xff\xff\xff", Reason.CORRUPT_HEADER),
        (b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 4, 1, 10, 8) + bytes(300), Reason.CORRUPT_HEADER),
        (b"II*\0\x08\0\0\0" + bytes(300), Reason.CORRUPT_HEADER),
        (b"MM\0*\0\0\0\x08" + b"\xff" * 300, Reason.CORRUPT_HEADER),
        (bytes(128) + b"DICM" + b"\xff" * 500, Reason.WRONG_TYPE),
    ],
    ids=["points at 4 GB", "loop", "no directory", "65,535 tags", "dicom of nothing"],
)
def test_a_forged_header_is_refused_at_once(inbox: Path, tmp_path: Path, content: bytes, reason: Reason) -> None:
    (inbox / "a.svs").write_bytes(content)
    began = time.process_time()
    assert outcome(inbox, tmp_path / "s") == reason
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [(262_144, 262_144, Reason.BOMB), (2**31, 5, Reason.BOMB), (0, 600, Reason.CORRUPT_HEADER)],
)
def test_a_picture_that_claims_to_be_a_city_is_refused(
    inbox: Path, tmp_path: Path, width: int, height: int, reason: Reason
) -> None:
    path = write_tiff(inbox / "a.tif", PIXELS[:64, :64], tile=(64, 64), compression="zlib", bigtiff=True)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["ImageWidth"].overwrite(width, dtype="Q")
        tiff.pages.first.tags["ImageLength"].overwrite(height, dtype="Q")
    assert outcome(inbox, tmp_path / "s") == reason


def test_a_tile_that_claims_four_gigabytes_costs_a_tile_and_no_memory(inbox: Path, tmp_path: Path) -> None:
    stream = jpeg_of(PIXELS[:256, :256])
    at = stream.index(b"\xff\xc0") + 5
    forged = stream[:at] + (65_500).to_bytes(2, "big") * 2 + stream[at + 4 :]
    path = Svs(PIXELS, damaged={(1, 1): forged}).write(inbox / "a.svs")
    receipt = ingest_slide(path, (), tmp_path / "s", um_per_px=None, max_lost=0.1)
    assert receipt.missing_tiles == 1
    assert Pyramid.open(tmp_path / "s").missing[0].rect_px == Rect(256, 256, 256, 256)


def test_a_jpeg_2000_tile_that_claims_gigabytes_costs_no_memory(inbox: Path, tmp_path: Path) -> None:
    path = write_tiff(inbox / "a.tif", PIXELS[:256, :256], tile=(256, 256), compression="jpeg2000")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = struct.pack(">II", 60_000, 60_000)
    path.write_bytes(data)
    assert outcome(inbox, tmp_path / "s") == Reason.TILE_SIZE_MISMATCH


def test_garbage_in_tiles_is_counted_and_the_rest_is_kept(inbox: Path, tmp_path: Path) -> None:
    pixels = picture(2600, 2600)
    damaged = {(3, 3): b"\0" * 9000, (5, 7): np.random.default_rng(0).bytes(9000)}
    path = Svs(pixels, damaged=damaged).write(inbox / "a.svs")
    receipt = ingest_slide(path, (), tmp_path / "s", um_per_px=None, max_lost=0.02)
    assert receipt.missing_tiles == 2
    assert receipt.copied_tiles == 11 * 11 + 9 - 2


def _tiff_bytes(**options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, PIXELS[:96, :96], resolution=(40_000, 40_000), resolutionunit="CENTIMETER", metadata=None, **options
    )
    return buffer.getvalue()


def _svs_bytes(folder: Path) -> bytes:
    return Svs(PIXELS[:128, :128], tile=64).write(folder / "a.svs").read_bytes()


ORIGINALS = {
    "strips": lambda d: _tiff_bytes(rowsperstrip=8),
    "tiles": lambda d: _tiff_bytes(tile=(32, 32), compression="zlib"),
    "lzw": lambda d: _tiff_bytes(compression="lzw", predictor=True),
    "svs": _svs_bytes,
    "dicom": lambda d: Dicom(PIXELS[:128, :128], tile=64).write(d / "a.dcm").read_bytes(),
    "sparse dicom": lambda d: Dicom(PIXELS[:128, :128], tile=64, absent={(0, 1)}).write(d / "b.dcm").read_bytes(),
}
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=12)


@pytest.mark.parametrize("kind", ORIGINALS)
@given(changes=changes, end=st.one_of(st.none(), st.floats(0, 1)), header=st.booleans())
@example(changes=[(0.0, 0x49)], end=None, header=True)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_damage_whatever_ends_in_anything_but_a_slide_or_a_reason(
    kind: str,
    changes: list[tuple[float, int]],
    end: float | None,
    header: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    data = bytearray(ORIGINALS[kind](folder))
    reach = min(len(data), 700) if header else len(data)
    for place, value in changes:
        data[int(place * reach)] = value
    inbox = folder / "inbox"
    inbox.mkdir()
    (inbox / "a.svs").write_bytes(data if end is None else data[: int(end * len(data))])
    result = outcome(inbox, folder / "s")
    assert result is None or isinstance(result, Reason)


def test_a_decoder_is_never_given_a_stream_of_another_codec(inbox: Path, tmp_path: Path) -> None:
    png = imagecodecs.png_encode(PIXELS[:256, :256])
    Svs(PIXELS[:256, :256], factors=(), damaged={(0, 0): png}).write(inbox / "a.svs")
    assert outcome(inbox, tmp_path / "s") == Reason.TILE_ERRORS
