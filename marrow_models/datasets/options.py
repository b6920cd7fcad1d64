"""What a user may say about a data set that its files do not say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Settings of one data set, from the ``[data.NAME]`` table of a configuration; all may be left out."""

    taxonomy: str | None = None
    """Name or file of the taxonomy for a layout that does not imply one (COCO, YOLO, VOC, class folders, CSV)."""
    um_per_px: float | None = None
    """Pixel size where the files do not state it. Overrules nothing that they do state."""
    um_per_px_by_domain: tuple[tuple[str, float], ...] = ()
    """Pixel size of each domain (microscope, magnification) of a data set with several."""
