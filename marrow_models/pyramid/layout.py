"""How a store is laid out: OME-NGFF 0.5 metadata of the slide and Zarr v3 metadata of its levels.

The documents are written here and read by any Zarr and OME-NGFF reader; the tests hold them against two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marrow_models.errors import UserError
from marrow_models.pyramid.codec import JPEG_CODEC, ZSTD_CODEC, ZSTD_LEVEL
from marrow_models.records import Rect
from marrow_models.slides.reader import ColourSpace

FILL = 255
"""White glass: what a missing chunk reads as."""
MAX_SHARD_PX = 8192
"""A shard is about this wide and high, so that a slide of 16,384 x 16,384 px is a dozen files."""
MARROW = "marrow"
"""Our namespace in the store's attributes."""
FORMAT_VERSION = 1
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclass(frozen=True, slots=True)
class LevelLayout:
    """One level as an array of (3, height, width) uint8 in shards of square numbers of tiles."""

    width_px: int
    height_px: int
    tile_width_px: int
    tile_height_px: int
    codec: str
    """``marrow.jpeg`` or ``zstd``."""
    colour: ColourSpace
    """Of JPEG streams; ``rgb`` for zstd."""
    downsample: float

    @property
    def columns(self) -> int:
        """Tiles across."""
        return -(-self.width_px // self.tile_width_px)

    @property
    def rows(self) -> int:
        """Tiles down."""
        return -(-self.height_px // self.tile_height_px)

    @property
    def shard_tiles(self) -> int:
        """Tiles across and down a shard: a power of two, so that shards of halved levels nest."""
        side, tiles = max(self.tile_width_px, self.tile_height_px), 1
        while tiles < max(self.columns, self.rows) and 2 * tiles * side <= MAX_SHARD_PX:
            tiles *= 2
        return tiles

    def tile_rect(self, row: int, column: int) -> Rect:
        """Return the level pixels of a tile, clipped to the level."""
        x, y = column * self.tile_width_px, row * self.tile_height_px
        return Rect(x, y, min(self.tile_width_px, self.width_px - x), min(self.tile_height_px, self.height_px - y))

    def array_document(self) -> dict[str, Any]:
        """Return the ``zarr.json`` of the level."""
        tile = [3, self.tile_height_px, self.tile_width_px]
        shard = [3, self.tile_height_px * self.shard_tiles, self.tile_width_px * self.shard_tiles]
        sharding = {
            "chunk_shape": tile,
            "codecs": self._codecs(),
            "index_codecs": _INDEX_CODECS,
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [3, self.height_px, self.width_px],
            "data_type": "uint8",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": FILL,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "dimension_names": ["c", "y", "x"],
            "attributes": {},
        }

    def _codecs(self) -> list[dict[str, Any]]:
        if self.codec == JPEG_CODEC:
            return [{"name": JPEG_CODEC, "configuration": {"colour_space": self.colour}}]
        return [{"name": "bytes"}, {"name": ZSTD_CODEC, "configuration": {"level": ZSTD_LEVEL, "checksum": False}}]


def layout_of(document: dict[str, Any], downsample: float) -> LevelLayout:
    """Read back what :meth:`LevelLayout.array_document` wrote.

    Raises
    ------
    UserError
        The document is not of this version.
    """
    try:
        sharding = document["codecs"][0]["configuration"]
        first = sharding["codecs"][0]
        codec = JPEG_CODEC if first["name"] == JPEG_CODEC else ZSTD_CODEC
        colour: ColourSpace = first["configuration"]["colour_space"] if codec == JPEG_CODEC else "rgb"
        _, height, width = document["shape"]
        _, tile_height, tile_width = sharding["chunk_shape"]
        found = LevelLayout(width, height, tile_width, tile_height, codec, colour, downsample)
    except (KeyError, IndexError, TypeError, ValueError):
        raise UserError("a level of the store has metadata of another program; ingest the slide again") from None
    if found.array_document() != document:
        raise UserError("a level of the store has metadata of another version; ingest the slide again")
    return found


def group_document(levels: list[LevelLayout], um_per_px: float, marrow: dict[str, Any]) -> dict[str, Any]:
    """Return the ``zarr.json`` of the slide: OME-NGFF 0.5 multiscales in micrometres, and our own attributes."""
    space = {"type": "space", "unit": "micrometer"}
    multiscale = {
        "name": "slide",
        "axes": [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}],
        "datasets": [_dataset(str(number), level, um_per_px) for number, level in enumerate(levels)],
    }
    ome = {"version": "0.5", "multiscales": [multiscale], "omero": {"channels": _channels()}}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, MARROW: marrow}}


def _dataset(path: str, level: LevelLayout, um_per_px: float) -> dict[str, Any]:
    """Place the centre of a level's first pixel: of a coarser level it lies further from the slide's corner."""
    scale = um_per_px * level.downsample
    shift = um_per_px * (level.downsample - 1) / 2
    return {
        "path": path,
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0, scale, scale]},
            {"type": "translation", "translation": [0.0, shift, shift]},
        ],
    }


def _channels() -> list[dict[str, Any]]:
    window = {"start": 0, "end": 255, "min": 0, "max": 255}
    colours = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    return [{"label": label, "color": colour, "window": window, "active": True} for label, colour in colours]
