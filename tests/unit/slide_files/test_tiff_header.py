"""The chain of directories of a TIFF file, honest and forged."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
import tifffile

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides import tiff_header
from marrow_models.slides.files import open_regular
from marrow_models.slides.gate import MAX_PAGES
from tests.unit.slide_files.sources import picture

FILLER = b"\0" * 512


def walk(path: Path) -> int:
    with open_regular(path) as file:
        return tiff_header.check_chain(file, tiff_header.read_layout(file))


def reason_of(path: Path) -> Reason:
    with pytest.raises(SlideRefused) as caught:
        walk(path)
    return caught.value.reason


def directory(following: int) -> bytes:
    entry = struct.pack("<HHII", 256, 4, 1, 10)
    return struct.pack("<H", 1) + entry + struct.pack("<I", following)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("pages", [1, 5])
def test_the_directories_of_every_kind_of_tiff_are_counted(
    tmp_path: Path, byteorder: str, bigtiff: bool, pages: int
) -> None:
    with tifffile.TiffWriter(tmp_path / "t.tif", byteorder=byteorder, bigtiff=bigtiff) as tiff:
        for _ in range(pages):
            tiff.write(picture(40, 30), metadata=None)
    assert walk(tmp_path / "t.tif") == pages


def test_eight_bytes_that_point_four_gigabytes_ahead_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"II*\0\xff\xff\xff\xff")
    assert reason_of(path) == Reason.CORRUPT_HEADER


@pytest.mark.parametrize("offset", [0, 8])
def test_a_file_without_a_directory_is_refused(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", offset) + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER


def test_a_directory_that_points_at_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory(8) + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER


def test_two_directories_that_point_at_each_other_are_refused(tmp_path: Path) -> None:
    path, length = tmp_path / "t.tif", len(directory(0))
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory(8 + length) + directory(8) + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER


def test_a_million_directories_are_refused_without_being_followed(tmp_path: Path) -> None:
    path, length = tmp_path / "t.tif", len(directory(0))
    chain = b"".join(directory(8 + (number + 1) * length) for number in range(3 * MAX_PAGES))
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + chain)
    began = time.process_time()
    assert reason_of(path) == Reason.TOO_MANY_PAGES
    assert time.process_time() - began < 5


def test_half_a_million_tags_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    tags = struct.pack("<HHQQ", 65_000, 1, 1, 0) * 500_000
    path.write_bytes(b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", 500_000) + tags + bytes(8))
    assert reason_of(path) == Reason.TOO_MANY_PAGES


def test_half_a_million_tags_that_no_file_of_this_length_holds_are_a_wrong_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + struct.pack("<Q", 500_000) + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER


def test_a_file_whose_end_is_missing_is_called_truncated(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(2):
            tiff.write(picture(60, 60), metadata=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert reason_of(path) == Reason.TRUNCATED


def test_what_is_no_tiff_has_a_corrupt_header(tmp_path: Path) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"BM" + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER
    path.write_bytes(b"II+\0\x04\0\0\0" + FILLER)
    assert reason_of(path) == Reason.CORRUPT_HEADER
