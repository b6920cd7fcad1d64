"""What every data set becomes: pictures, the objects marked in them, and where both come from.

Coordinates are pixels of the picture as it is stored, x to the right, y down; boxes are half-open and may have
fractions. Labels are those of the data set's taxonomy; what a data set wrote itself is kept beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from marrow_models.records import Rect

if TYPE_CHECKING:
    from marrow_models.taxonomy import Taxonomy

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the picture."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the pixels of a picture are. Holds no pixels."""

    path: Path
    """An image file, a tar archive, or a slide."""
    member: str | None = None
    """Name of the image inside of the tar archive."""
    rect_px: Rect | None = None
    """The part of a slide's level 0, when ``path`` is a slide."""

    @property
    def name(self) -> str:
        """The file name of the image, or of the slide."""
        return Path(self.member).name if self.member else self.path.name


@dataclass(frozen=True, slots=True)
class MarkedCell:
    """An object that somebody marked in a picture: a box, a point, or the whole picture."""

    label: str | None
    """Label of the taxonomy; None where no class is given, or where the raters did not agree."""
    raw_label: str
    """What the data set wrote."""
    box_px: Box | None = None
    point_px: tuple[float, float] | None = None
    """Only where there is no box. Neither box nor point: the cell is the picture's, at its centre."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Name of an attribute to its value; an attribute that is missing or to be ignored is not there."""
    votes: tuple[str, ...] = ()
    """Labels of the raters in the order of their sessions, where there were several."""
    ignored: bool = False
    """Neither to be found nor to be held against a detector (unreadable, cut, of a class that is not asked for)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture with what is marked in it."""

    image: ImageRef
    width_px: int
    height_px: int
    um_per_px: float | None
    """None where the data set does not say; a training names it then."""
    cells: tuple[MarkedCell, ...] = ()
    label: str | None = None
    """Class of the picture as a whole (a patient's disease, blasts yes or no), where cells carry none."""
    patient: str | None = None
    split: str | None = None
    """``train``, ``val`` or ``test`` as published; None where the authors give none."""
    fold: int | None = None
    """Fold of the authors' cross-validation."""
    domain: str = ""
    """Microscope, camera, magnification or laboratory, where a data set has several."""
    annotated_px: tuple[Rect, ...] | None = None
    """Where everything was marked; None: everywhere. Outside, what is not marked may still be there."""

    @property
    def is_single_cell(self) -> bool:
        """Whether the picture shows one cell and its class is the cell's."""
        return len(self.cells) == 1 and self.cells[0].box_px is None and self.cells[0].point_px is None


@dataclass(frozen=True, slots=True)
class AttributeSchema:
    """Morphology attributes that a data set knows: name to its values, in order."""

    name: str
    values: Mapping[str, tuple[str, ...]]
    source: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as read: pictures in a fixed order, and what was wrong with it."""

    name: str
    """The reader's name."""
    path: Path
    pictures: tuple[Picture, ...]
    taxonomy: Taxonomy
    licence: str
    """As the authors state it; ``not stated`` where they do not."""
    source: str
    """DOI or repository."""
    attributes: AttributeSchema | None = None
    notes: tuple[str, ...] = field(default=())
    """Defects that were met and what was done about each, for people; shown by the command and kept in cards."""
