"""Records that travel between the stages: small, frozen, free of pixels. Standard library and numpy only.

Coordinates: ``_px`` is level-0 pixels of the slide with the origin at its top left; ``_um`` is
micrometres from the same origin, x to the right, y down. Boxes are half-open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType({})
"""Of a classifier that tells the class alone."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of manifest.csv: whose slide a file is. Optional values are None where the cell is empty."""

    file: str
    patient_id: str
    specimen: str = "bone_marrow"
    stain: str | None = None
    age_years: float | None = None
    sex: str | None = None
    um_per_px: float | None = None
    laboratory: tuple[tuple[str, float], ...] = ()
    """Laboratory values, (column name, value), in the order of the columns."""


@dataclass(frozen=True, slots=True)
class SlideFile:
    """A slide in the inbox: one main file and the files that belong to it (MIRAX folder, DICOM instances)."""

    slide_id: str
    """``s`` and the first 24 hex digits of the SHA-256 of the content."""
    path: Path
    members: tuple[Path, ...]
    """All files of the slide, the main one included, in a fixed order."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """One level of a pyramid."""

    width_px: int
    height_px: int
    downsample: float
    """Level-0 pixels a pixel of this level spans (>= 1)."""


@dataclass(frozen=True, slots=True)
class SlideInfo:
    """What is known of a slide without decoding it. Holds allow-listed metadata only."""

    format: str
    """Container: aperio, ndpi, ome-tiff, tiff, dicom, mirax, ..."""
    width_px: int
    height_px: int
    um_per_px: float | None
    levels: tuple[LevelInfo, ...]
    objective_power: float | None = None


@dataclass(frozen=True, slots=True)
class Rect:
    """A half-open rectangle of integer pixels: x <= column < x + width."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column outside."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row outside."""
        return self.y + self.height

    def expanded(self, margin: int) -> Rect:
        """The rectangle with ``margin`` pixels more on each side; may become negative at the origin."""
        return Rect(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)


@dataclass(frozen=True, slots=True)
class Field:
    """A region of the slide that is analysed: level-0 pixels, disjoint from every other field of the slide."""

    field_id: int
    rect_px: Rect
    expected_cells: float = 0.0
    """Nucleated cells that the survey expects here."""
    readability: float = 1.0
    """0 (not to be read) to 1 (an even, sharp monolayer)."""


@dataclass(frozen=True, slots=True)
class MissingArea:
    """A part of level 0 whose pixels are not known: a tile that was never scanned or does not decode."""

    rect_px: Rect
    cause: str
    """``undecodable`` or ``unscanned``."""


def edges_of(areas: Sequence[MissingArea]) -> NDArray[np.int64]:
    """The areas as (N, 4) level-0 px: left, top, right, bottom; for comparisons with many of them at once."""
    rects = [area.rect_px for area in areas]
    return np.array([(r.x, r.y, r.right, r.bottom) for r in rects], np.int64).reshape(-1, 4)


@dataclass(frozen=True, slots=True)
class CellAttribute:
    """One morphology attribute of the N cells of a table: each cell's most probable value."""

    values: tuple[str, ...]
    """What the attribute may be, in the order of the classifier's outputs."""
    index: NDArray[np.int8]
    """Place of the most probable value in ``values``, shape (N,)."""
    confidence: NDArray[np.float32]
    """Probability of that value, shape (N,)."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def value(self) -> tuple[str | None, ...]:
        """The most probable value of each cell; None where ``index`` is that of no value."""
        return tuple(self.values[i] if 0 <= i < len(self.values) else None for i in self.index.tolist())

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> CellAttribute:
        """The rows at ``index``, in that order."""
        return CellAttribute(self.values, self.index[index], self.confidence[index])

    @staticmethod
    def of(values: tuple[str, ...], probabilities: NDArray[np.float32]) -> CellAttribute:
        """The most probable of ``values`` by ``probabilities`` (N, values); the first of equal ones."""
        index = probabilities.argmax(axis=1)
        return CellAttribute(values, index.astype(np.int8), probabilities[np.arange(len(index)), index])

    @staticmethod
    def concatenate(parts: list[CellAttribute]) -> CellAttribute:
        """All rows of ``parts``, at least one; ValueError when they do not know the same values."""
        if len({part.values for part in parts}) != 1:
            raise ValueError("the tables do not know the same values of an attribute")
        return CellAttribute(
            parts[0].values,
            np.concatenate([part.index for part in parts]),
            np.concatenate([part.confidence for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class CellTable:
    """Cells of a field or a slide as columns of equal length N, sorted by (y_um, x_um).

    ``probabilities`` has the shape (N, K) over the K labels of the bundle's classifier, in its order.
    """

    x_um: NDArray[np.float64]
    """Centre, micrometres from the slide's left edge."""
    y_um: NDArray[np.float64]
    width_um: NDArray[np.float32]
    height_um: NDArray[np.float32]
    detection_score: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    field_id: NDArray[np.int32]
    near_missing: NDArray[np.bool_]
    """The cell's box touches a missing area, or is cut by the slide's edge."""
    labels: tuple[str, ...] = field(default=())
    """The K class labels."""
    attributes: Mapping[str, CellAttribute] = field(default_factory=dict)
    """Morphology attributes by name, N rows each; empty where the bundle's classifier tells none."""

    def __len__(self) -> int:
        return len(self.x_um)

    @property
    def class_index(self) -> NDArray[np.int64]:
        """Index of the most probable label, shape (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Probability of the most probable label, shape (N,)."""
        if not len(self):
            return np.zeros(0, np.float32)
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float32)

    @property
    def cell_class(self) -> tuple[str, ...]:
        """The most probable label of each cell."""
        return tuple(self.labels[i] for i in self.class_index)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> CellTable:
        """The rows at ``index``, in that order."""
        return CellTable(
            self.x_um[index],
            self.y_um[index],
            self.width_um[index],
            self.height_um[index],
            self.detection_score[index],
            self.probabilities[index],
            self.field_id[index],
            self.near_missing[index],
            self.labels,
            {name: attribute.take(index) for name, attribute in self.attributes.items()},
        )

    @staticmethod
    def empty(labels: tuple[str, ...], attributes: Mapping[str, tuple[str, ...]] = NO_ATTRIBUTES) -> CellTable:
        """A table without cells; ``attributes`` are names with their values."""
        f64, f32 = np.zeros(0, np.float64), np.zeros(0, np.float32)
        return CellTable(
            f64,
            f64,
            f32,
            f32,
            f32,
            np.zeros((0, len(labels)), np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, bool),
            labels,
            {name: CellAttribute(values, np.zeros(0, np.int8), f32) for name, values in attributes.items()},
        )

    @staticmethod
    def concatenate(
        tables: list[CellTable], labels: tuple[str, ...], attributes: Mapping[str, tuple[str, ...]] = NO_ATTRIBUTES
    ) -> CellTable:
        """All rows of ``tables``, sorted by (y_um, x_um) so that the order of the fields does not matter.

        ``attributes`` are those of the result where there is no table. ValueError when the tables' attributes differ.
        """
        if not tables:
            return CellTable.empty(labels, attributes)
        if any(table.attributes.keys() != tables[0].attributes.keys() for table in tables):
            raise ValueError("the tables do not have the same attributes")
        both = CellTable(
            np.concatenate([t.x_um for t in tables]),
            np.concatenate([t.y_um for t in tables]),
            np.concatenate([t.width_um for t in tables]),
            np.concatenate([t.height_um for t in tables]),
            np.concatenate([t.detection_score for t in tables]),
            np.concatenate([t.probabilities for t in tables]),
            np.concatenate([t.field_id for t in tables]),
            np.concatenate([t.near_missing for t in tables]),
            labels,
            {name: CellAttribute.concatenate([t.attributes[name] for t in tables]) for name in tables[0].attributes},
        )
        return both.take(np.lexsort((both.x_um, both.y_um)))
