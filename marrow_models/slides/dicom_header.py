"""Reading the header of one DICOM instance, and the few elements of it that we look at."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from marrow_models.errors import Reason, SlideRefused

# Its messages quote elements, which hold the patient's name.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

WHOLE_SLIDE_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class "VL Whole Slide Microscopy Image Storage"."""
_SERIES_INSTANCE_UID = 0x0020000E
_PARSER_ERRORS = (
    BytesLengthException, InvalidDicomError, ValueError, KeyError, IndexError, TypeError, AttributeError,
    NotImplementedError, OverflowError, MemoryError, EOFError, RecursionError,
)  # fmt: skip
"""What pydicom raises on bytes that are not what they claim to be."""


@dataclass(frozen=True, slots=True)
class Membership:
    """To which series an instance belongs, and whether it is a level of the slide."""

    series: str
    is_volume: bool


@contextmanager
def parsing() -> Iterator[None]:
    """Turn pydicom's errors into CORRUPT_HEADER, and keep its warnings, which quote elements, from anybody.

    Elements are parsed when they are first asked for: whatever asks belongs in this context.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except _PARSER_ERRORS as error:
        raise SlideRefused(Reason.CORRUPT_HEADER, type(error).__name__) from None
    except OSError as error:
        if error.errno is not None:  # of the system; pydicom's own has no number
            raise
        raise SlideRefused(Reason.CORRUPT_HEADER, "OSError") from None


def read_membership(file: BinaryIO) -> Membership | None:
    """Read as little as tells the series of an instance; None for a file that is no whole-slide image."""
    file.seek(0)
    with suppress(SlideRefused), parsing():
        header = read_partial(file, stop_when=_after_series)
        if str(header.get("SOPClassUID", "")) == WHOLE_SLIDE_STORAGE:
            return Membership(str(header.SeriesInstanceUID), is_volume(header))
    return None


def read_header(file: BinaryIO) -> tuple[pydicom.Dataset, int]:
    """Read everything before the pixels; return it and the offset of the pixel data element.

    Raises
    ------
    SlideRefused
        CORRUPT_HEADER.
    """
    file.seek(0)
    with parsing():
        header = pydicom.dcmread(file, stop_before_pixels=True)
    return header, file.tell()


def is_volume(header: pydicom.Dataset) -> bool:
    """Whether an instance is a level of the slide, not its label, overview or thumbnail."""
    kind = header.get("ImageType") or []
    return len(kind) > 2 and str(kind[2]).upper() == "VOLUME"


def _after_series(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > _SERIES_INSTANCE_UID
