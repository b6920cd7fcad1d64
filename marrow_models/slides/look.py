"""What a single file of the inbox is, from its first bytes: the part of a listing that parses untrusted content."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.dicom_header import read_membership
from marrow_models.slides.files import open_regular, size_of
from marrow_models.slides.mirax import is_mirax, mirax_members
from marrow_models.slides.sniff import format_of

SUFFIXES: dict[str, frozenset[str]] = {
    ".svs": frozenset({"aperio"}),
    ".svslide": frozenset({"aperio"}),
    ".ndpi": frozenset({"ndpi"}),
    ".mrxs": frozenset({"mirax"}),
    ".dcm": frozenset({"dicom"}),
    ".dicom": frozenset({"dicom"}),
    ".scn": frozenset({"leica"}),
    ".bif": frozenset({"ventana"}),
    **dict.fromkeys((".tif", ".tiff"), frozenset({"tiff", "ome-tiff", "philips", "trestle", "ventana"})),
    **dict.fromkeys((".btf", ".tf2", ".tf8"), frozenset({"tiff", "ome-tiff"})),
    **dict.fromkeys((".ndpis", ".vms", ".vmu", ".czi", ".isyntax", ".qptiff"), frozenset()),
}
"""Names that promise a slide, and the formats that each is used for; none where we read no such format."""


@dataclass(frozen=True, slots=True)
class Look:
    """A file that is a slide, or belongs to one."""

    format: str
    series: str | None
    """Of a DICOM instance: the series it belongs to."""
    is_volume: bool
    """Of a DICOM instance: whether it is a level of the slide."""
    members: tuple[Path, ...]
    """All files of the slide, the main one included, in a fixed order; of a DICOM instance, the instance."""


Looker = Callable[[Sequence[Path]], Iterable[Look | SlideRefused | None]]
"""Looks at files in order: a slide, why it is none, or None for a file that never claimed to be one."""


def promises_a_slide(path: Path) -> bool:
    """Whether a file's name does: it is then an entry or a refusal, never passed over."""
    return path.suffix.lower() in SUFFIXES


def is_odd_name(path: Path, slide_format: str) -> bool:
    """Whether a slide of this format is usually named otherwise. The content decides; the name is only noted."""
    return slide_format not in SUFFIXES.get(path.suffix.lower(), frozenset())


def look_at(path: Path) -> Look | None:
    """Recognise one file; a few kilobytes of it are read. None for a file that neither is nor claims to be a slide.

    Raises
    ------
    SlideRefused
        EMPTY_FILE, WRONG_TYPE, MISSING_SIDECAR, or what opening it gives.
    """
    with open_regular(path) as file:
        if size_of(file) == 0:
            if promises_a_slide(path):
                raise SlideRefused(Reason.EMPTY_FILE)
            return None
        name = "mirax" if is_mirax(path) else format_of(file)
        membership = read_membership(file) if name == "dicom" else None
    if membership is not None:
        return Look("dicom", membership.series, membership.is_volume, (path,))
    if name == "dicom" or (name is None and promises_a_slide(path)):
        raise SlideRefused(Reason.WRONG_TYPE, "DICOM, but no whole-slide image" if name else "")
    if name is None:
        return None
    return Look(name, None, False, mirax_members(path) if name == "mirax" else (path,))


def look_here(paths: Sequence[Path]) -> Iterator[Look | SlideRefused | None]:
    """Look at files in this process, whatever they hold: for files that are ours, and as the reference in tests."""
    for path in paths:
        try:
            yield look_at(path)
        except SlideRefused as refusal:
            yield refusal
