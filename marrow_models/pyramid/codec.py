"""``marrow.jpeg``: JPEG chunks in Zarr v3, and the two ways in which our chunks are decoded without Zarr.

The Zarr registry has no JPEG codec yet. Importing this module registers ours, so that plain zarr-python
reads the stores; the array is (3, height, width) and the stream holds the same pixels interleaved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.common import JSON
from zarr.registry import register_codec

from marrow_models.slides import jpeg
from marrow_models.slides.reader import ColourSpace, TileUnreadable

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

JPEG_CODEC = "marrow.jpeg"
ZSTD_CODEC = "zstd"
ZSTD_LEVEL = 3


@dataclass(frozen=True)
class JpegCodec(ArrayBytesCodec):
    """Array-to-bytes codec of uint8 chunks of shape (3, height, width), axes c, y, x.

    ``colour_space`` is what the stream's components are; the array is RGB always. Decoding gives the pixels
    of the stream exactly as libjpeg does; encoding loses, as JPEG does.
    """

    colour_space: ColourSpace = "ycbcr"
    is_fixed_size = False

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """Read the codec from array metadata."""
        configuration = cast("Mapping[str, JSON]", data.get("configuration") or {})
        colour = configuration.get("colour_space", "ycbcr")
        if colour != "ycbcr" and colour != "rgb":
            raise ValueError(f"{JPEG_CODEC}: colour_space must be ycbcr or rgb, not {colour!r}")
        return cls(colour)

    def to_dict(self) -> dict[str, JSON]:
        """Write the codec into array metadata."""
        return {"name": JPEG_CODEC, "configuration": {"colour_space": self.colour_space}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise: the size of a JPEG stream is not known before it is made."""
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        _, height, width = chunk_spec.shape
        pixels = await asyncio.to_thread(jpeg.decode, chunk_data.to_bytes(), self.colour_space, width, height)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(np.moveaxis(pixels, -1, 0))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        if self.colour_space != "ycbcr":
            raise ValueError(f"{JPEG_CODEC}: streams in RGB are copied from slides, never made")
        pixels = np.moveaxis(np.asarray(chunk_data.as_numpy_array(), np.uint8), 0, -1)
        return chunk_spec.prototype.buffer.from_bytes(await asyncio.to_thread(jpeg.encode, pixels))


register_codec(JPEG_CODEC, JpegCodec)


def zstd_encode(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (height, width, 3) pixels as Zarr's ``bytes`` and ``zstd`` codecs do for a (3, height, width) chunk."""
    return bytes(imagecodecs.zstd_encode(np.moveaxis(pixels, -1, 0).tobytes(), level=ZSTD_LEVEL))


def zstd_decode(data: bytes, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Decode what :func:`zstd_encode` made, shape (height, width, 3).

    Raises
    ------
    TileUnreadable
        It is damaged.
    """
    try:
        raw = imagecodecs.zstd_decode(data, out=3 * height_px * width_px)
        planes = np.frombuffer(raw, np.uint8).reshape(3, height_px, width_px)
    except (RuntimeError, ValueError) as error:
        raise TileUnreadable(f"zstd: {error}") from None
    pixels = np.empty((height_px, width_px, 3), np.uint8)
    for channel in range(3):  # plane by plane: four times as fast as one copy of all, whose inner step is three values
        pixels[..., channel] = planes[channel]
    return pixels


def chunk_decoder(codec: str, colour: ColourSpace) -> Callable[[bytes, int, int], NDArray[np.uint8]]:
    """Return the function (data, width, height) -> RGB pixels of shape (height, width, 3) for chunks of ``codec``."""
    if codec == JPEG_CODEC:
        return lambda data, width, height: jpeg.decode(data, colour, width, height)
    return zstd_decode
