"""``marrow.jpeg`` as a codec of plain zarr-python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.registry import get_codec_class

from marrow_models.pyramid.codec import JPEG_CODEC, JpegCodec
from tests.unit.slide_files.sources import picture


def test_the_codec_is_registered_under_its_name() -> None:
    assert get_codec_class(JPEG_CODEC) is JpegCodec


@pytest.mark.parametrize("colour", ["rgb", "ycbcr"])
def test_its_configuration_survives_the_metadata(colour: str) -> None:
    codec = JpegCodec.from_dict({"name": JPEG_CODEC, "configuration": {"colour_space": colour}})
    assert codec.colour_space == colour
    assert JpegCodec.from_dict(codec.to_dict()) == codec


def test_an_unknown_colour_space_is_refused() -> None:
    with pytest.raises(ValueError, match="colour_space"):
        JpegCodec.from_dict({"name": JPEG_CODEC, "configuration": {"colour_space": "cmyk"}})


def test_zarr_writes_and_reads_through_it(tmp_path: Path) -> None:
    pixels = np.moveaxis(picture(200, 150), -1, 0)
    array = zarr.create_array(
        tmp_path / "a", shape=(3, 150, 200), chunks=(3, 64, 64), dtype="uint8", serializer=JpegCodec(), compressors=None
    )
    array[:] = pixels
    read = np.asarray(zarr.open_array(tmp_path / "a", mode="r")[:])
    assert read.shape == pixels.shape
    assert np.abs(read.astype(int) - pixels).mean() < 4


def test_streams_in_rgb_are_never_made(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a",
        shape=(3, 64, 64),
        chunks=(3, 64, 64),
        dtype="uint8",
        serializer=JpegCodec("rgb"),
        compressors=None,
    )
    with pytest.raises(ValueError, match="copied"):
        array[:] = 7
