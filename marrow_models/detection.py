"""Detection: from a region of a slide to boxes around its objects, the same whatever the tiles.

Three rules make that exact. The network's sums are exact (:mod:`marrow_models.networks.lattice`) and each output
depends on the pixels within a known reach, which every tile reads. A peak of the centre map is a maximum of its own
neighbourhood. And a second box on an object is dropped by a rule that looks at its neighbours only and at all of
them: a box goes when any box of higher rank lies on the same object, also when that one goes itself. A greedy
suppression would pass decisions on from cell to cell without end, and so from tile to tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from marrow_models.ahead import made_ahead
from marrow_models.errors import Reason, SlideRefused
from marrow_models.model_settings import DetectorSettings
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX, TOTAL_STRIDE_PX, HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.records import Rect
from marrow_models.tiling import Cut, Tile, tiles_of

SUBPIXELS = 16
"""Positions and sizes are whole multiples of 1/16 pixel: fine enough, and the same number in every tile."""
BOX_UNIT_PX = 16.0
"""Pixels that an output of 1.0 of the box branch stands for."""
SAME_OBJECT_IOU = 0.4
SAME_OBJECT_INSIDE = 0.8
"""Two boxes are on one object from this overlap, or when this much of the smaller lies in the larger."""
LARGEST_OFFSET_PX = 8
"""How far from its peak a centre can be put."""
SMALLEST_UM = 1.0
"""No box is smaller: nothing that has a nucleus is."""
SCORE_DECIMALS = 4
LARGEST_LAYER_BYTES = 16 << 20
"""Of the first layer's outputs for a tile, in float32. All that is made of a tile is several times as much."""


class PixelSource(Protocol):
    """Where pixels come from: a stored slide, or an array in a test."""

    def scaled_region(self, um_per_px: float, rect: Rect) -> NDArray[np.uint8]:
        """RGB pixels (height, width, 3) of ``rect`` on the lattice of a scale; 255 outside of the slide."""
        ...


@dataclass(frozen=True, slots=True)
class Detections:
    """N boxes on the lattice of the detector's scale, in units of 1/16 pixel, sorted by (y, x)."""

    x: NDArray[np.int64]
    """Centre."""
    y: NDArray[np.int64]
    width: NDArray[np.int64]
    height: NDArray[np.int64]
    score: NDArray[np.float64]
    kind: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Detections:
        """The rows at ``index``, in that order."""
        return Detections(
            self.x[index], self.y[index], self.width[index], self.height[index], self.score[index], self.kind[index]
        )

    @staticmethod
    def concatenate(parts: list[Detections]) -> Detections:
        """All rows, sorted by (y, x)."""
        both = Detections.joined(parts)
        return both.take(np.lexsort((both.kind, both.x, both.y)))

    @staticmethod
    def joined(parts: list[Detections]) -> Detections:
        """All rows, part after part."""
        if not parts:
            none = np.zeros(0, np.int64)
            return Detections(none, none, none, none, np.zeros(0), none)
        return Detections(
            np.concatenate([part.x for part in parts]),
            np.concatenate([part.y for part in parts]),
            np.concatenate([part.width for part in parts]),
            np.concatenate([part.height for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.kind for part in parts]),
        )


class Detector:
    """A folded :class:`HeatmapNet` with its settings.

    Exact on CPU in float32; on CUDA as far as its library adds products as they are (`tests/gpu`).
    """

    def __init__(self, network: HeatmapNet, settings: DetectorSettings, device: str = "cpu") -> None:
        self.settings = settings
        self.device = device
        self.network = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._duplicate_px = int(np.ceil(settings.duplicate_um / settings.um_per_px))
        # Beyond the duplicates: a centre may lie off its peak, and a peak looks at its neighbours.
        slack_px = LARGEST_OFFSET_PX + OUTPUT_STRIDE_PX
        self.halo_px = network.reach_px + self._duplicate_px + slack_px
        """Pixels around a tile that decide about the cells in it."""

    def detect(self, source: PixelSource, region: Rect, *, tile_px: int, shift_px: int = 0) -> Detections:
        """The objects whose centre lies in ``region`` (detector's lattice)."""
        return self.detect_each(source, (region,), tile_px=tile_px, shift_px=shift_px)[0]

    def detect_each(
        self, source: PixelSource, regions: Sequence[Rect], *, tile_px: int, shift_px: int = 0
    ) -> list[Detections]:
        """:meth:`detect` of each region; the next tile is read ahead also where the next region begins."""
        cut = self.cut(tile_px)
        tiles = (
            (number, tile)
            for number, region in enumerate(regions)
            for tile in tiles_of(region, cut, stride_px=TOTAL_STRIDE_PX, shift_px=shift_px)
        )
        found: list[list[Detections]] = [[] for _ in regions]
        for (number, tile), pixels in made_ahead(lambda item: self._read(source, item[1]), tiles):
            found[number].append(self._tile(tile, pixels))
        return [Detections.concatenate(parts) for parts in found]

    def cut(self, tile_px: int) -> Cut:
        """How a region is cut: into cores of at most ``tile_px``, and none whose first layer takes too much memory."""
        return Cut(tile_px, self.halo_px, LARGEST_LAYER_BYTES / self.network.first_layer_bytes)

    def _read(self, source: PixelSource, tile: Tile) -> NDArray[np.uint8]:
        return source.scaled_region(self.settings.um_per_px, tile.read)

    def _tile(self, tile: Tile, pixels: NDArray[np.uint8]) -> Detections:
        centre, box = self._maps(pixels)
        found = self._peaks(centre, box, tile.read)
        found = found.take(_inside(found, tile.core.expanded(self._duplicate_px)))
        return found.take(_inside(found, tile.core) & ~duplicates(found, self._duplicate_px))

    def _maps(self, pixels: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre scores (kinds, h, w) and boxes (4, h, w) in the units of training."""
        image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].to(self.device)
        with torch.inference_mode():
            centre, box = self.network(image.contiguous(memory_format=torch.channels_last))
            # A sum of finite values is finite: outputs stay far below the largest float32.
            if not torch.isfinite(centre.sum() + box.sum()):
                raise SlideRefused(Reason.MODEL_OUTPUT, "the detector's output is not finite")
            return centre[0] / STEPS_PER_UNIT, box[0] / STEPS_PER_UNIT

    def _peaks(self, centre: torch.Tensor, box: torch.Tensor, read: Rect) -> Detections:
        threshold = float(np.log(self.settings.score_threshold / (1 - self.settings.score_threshold)))
        kind, row, column = _maxima(centre, threshold)
        logit = centre[kind, row, column].double().cpu().numpy()
        offset_x, offset_y, width, height = box[:, row, column].double().cpu().numpy()
        offset_x, offset_y = (
            np.clip(offset * OUTPUT_STRIDE_PX, -LARGEST_OFFSET_PX, LARGEST_OFFSET_PX) for offset in (offset_x, offset_y)
        )
        rows, columns = row.cpu().numpy(), column.cpu().numpy()
        x = (read.x + columns * OUTPUT_STRIDE_PX) * SUBPIXELS + _subpixels(offset_x)
        y = (read.y + rows * OUTPUT_STRIDE_PX) * SUBPIXELS + _subpixels(offset_y)
        smallest, largest = (
            round(size_um / self.settings.um_per_px * SUBPIXELS) for size_um in (SMALLEST_UM, self.settings.largest_um)
        )
        return Detections(
            x,
            y,
            np.clip(_subpixels(width * BOX_UNIT_PX), smallest, largest),
            np.clip(_subpixels(height * BOX_UNIT_PX), smallest, largest),
            np.round(1 / (1 + np.exp(-logit)), SCORE_DECIMALS),
            kind.cpu().numpy(),
        )


def _maxima(scores: torch.Tensor, threshold: float) -> tuple[torch.Tensor, ...]:
    """Where (kind, row, column) a score reaches the threshold and none of its eight neighbours is higher."""
    place = torch.nonzero(scores >= threshold)
    kind, row, column = place.unbind(1)
    mine, highest = scores[kind, row, column], torch.ones(len(place), dtype=torch.bool, device=scores.device)
    last_row, last_column = scores.shape[1] - 1, scores.shape[2] - 1
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            # Beyond an edge the cell at the edge stands in: it is a neighbour anyway, or the place itself.
            rows, columns = (row + down).clamp(0, last_row), (column + right).clamp(0, last_column)
            highest &= mine >= scores[kind, rows, columns]
    return tuple(place[highest].unbind(1))


def duplicates(found: Detections, reach_px: int) -> NDArray[np.bool_]:
    """(N,) whether a box of higher rank lies on the same object, its centre within ``reach_px`` in x and y.

    Rank is the score, then the place. A box that is a duplicate itself still makes others one, so what becomes of
    a box depends on its neighbours alone.
    """
    if not len(found):
        return np.zeros(0, bool)
    rank = np.empty(len(found), np.int64)
    rank[np.lexsort((found.x, found.y, found.kind, -found.score))] = np.arange(len(found))
    reach = reach_px * SUBPIXELS
    # Whole numbers, so that the half is never reached; kinds lie further apart than that.
    places = np.stack([found.x, found.y, found.kind * (reach + 1)], axis=1)
    a, b = KDTree(places).query_pairs(reach + 0.5, p=np.inf, output_type="ndarray").T
    common = _overlap(found.x, found.width, a, b) * _overlap(found.y, found.height, a, b)
    area = (found.width * found.height).astype(np.float64)
    same = common / (area[a] + area[b] - common) >= SAME_OBJECT_IOU
    same |= common / np.minimum(area[a], area[b]) >= SAME_OBJECT_INSIDE
    out = np.zeros(len(found), bool)
    out[np.where(rank[a] < rank[b], b, a)[same]] = True
    return out


def _overlap(
    centre: NDArray[np.int64], side: NDArray[np.int64], a: NDArray[np.intp], b: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Along one axis, what boxes ``a`` and ``b`` have in common."""
    apart = abs(centre[a] - centre[b])
    return np.clip(np.minimum(np.minimum(side[a], side[b]), (side[a] + side[b]) / 2 - apart), 0, None)


def _subpixels(value_px: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.rint(value_px * SUBPIXELS), np.int64)


def _inside(found: Detections, rect: Rect) -> NDArray[np.bool_]:
    left, top, right, bottom = (edge * SUBPIXELS for edge in (rect.x, rect.y, rect.right, rect.bottom))
    return np.asarray((found.x >= left) & (found.x < right) & (found.y >= top) & (found.y < bottom))
