"""What every reader of a source container offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import MarrowError
from marrow_models.records import Rect, SlideInfo

ColourSpace = Literal["ycbcr", "rgb"]
"""How the three components of a JPEG stream are to be understood."""


class TileUnreadable(MarrowError):
    """One tile or region cannot be read; the rest of the slide may be fine. Holds no identifying text."""


class TileSizeMismatch(TileUnreadable):
    """The tile's own header claims another size than the container gives it."""


class SlideReader(Protocol):
    """One open slide: its pyramid of 8-bit RGB levels, and nothing else that the file may hold.

    Label, macro and thumbnail pictures and free-text metadata never leave a reader.
    """

    @property
    def info(self) -> SlideInfo:
        """Allow-listed metadata. ``um_per_px`` is None where the file gives none that can be believed."""

    @property
    def stated_um_per_px(self) -> tuple[float, float] | None:
        """Micrometres per pixel along x and y as the file states them, believable or not; None where it is silent."""

    @property
    def jpeg_levels(self) -> Mapping[int, ColourSpace]:
        """Levels whose tiles are JPEG streams that can be copied, with their colour space."""

    def tile_size(self, level: int) -> tuple[int, int] | None:
        """Width and height of the unit in which a level is best read, px; None where it has no tiles."""

    def encoded_tile(self, level: int, column: int, row: int) -> bytes | None:
        """Return a complete JPEG stream of one tile of a level in :attr:`jpeg_levels`; None if never scanned.

        Raises
        ------
        TileUnreadable
            The stream is cut, lies outside the file, or is not of the tile's size.
        """

    def is_scanned(self, level: int, rect: Rect) -> bool:
        """Whether the source holds any pixel of ``rect`` (level pixels)."""

    def region(self, level: int, rect: Rect) -> NDArray[np.uint8]:
        """Pixels of ``rect`` (level pixels), shape (height, width, 3); white outside the slide or never scanned.

        Raises
        ------
        TileUnreadable
            A part of the region does not decode.
        """

    def close(self) -> None:
        """Release the file; the reader is of no use afterwards."""
