"""Errors that Marrow raises on purpose, and the reason codes a slide can end with.

Everything that a user is shown without a traceback is a :class:`UserError`. What is wrong with one
slide is a :class:`SlideRefused`: it costs that slide and nothing else.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from enum import StrEnum


class MarrowError(Exception):
    """Base of every error that Marrow raises on purpose."""


class UserError(MarrowError):
    """Wrong usage, settings or input; shown without traceback. The message says what to do next."""

    exit_code = 2


class BundleError(UserError):
    """A model bundle is missing, incomplete, altered or unsafe to load."""


class WarehouseError(UserError):
    """The warehouse cannot be opened, is of another schema, or is held by another process."""

    exit_code = 1


class CannotWrite(WarehouseError):
    """The warehouse or the publication cannot be written any more (disk, successor): the night is over."""


class WarehouseHeld(WarehouseError):
    """Another process has the warehouse: a run, or a command that looks into it."""


class NightFailed(MarrowError):
    """The night as a whole did not pass; nothing was published."""


class NightStopped(NightFailed):
    """The night was asked to stop by a signal and ended in order; the next one goes on where it left off."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(
            f"it was stopped by signal {signal_number} and ended in order. Run again: what is done is not repeated."
        )
        self.exit_code = 128 + signal_number


class Reason(StrEnum):
    """Why a slide is in quarantine or deferred. Codes are stable: analysts filter on them."""

    EMPTY_FILE = "EMPTY_FILE"
    TRUNCATED = "TRUNCATED"
    WRONG_TYPE = "WRONG_TYPE"
    CORRUPT_HEADER = "CORRUPT_HEADER"
    NOT_REGULAR_FILE = "NOT_REGULAR_FILE"
    NO_PERMISSION = "NO_PERMISSION"
    SOURCE_GONE = "SOURCE_GONE"
    SOURCE_CHANGED = "SOURCE_CHANGED"
    MISSING_SIDECAR = "MISSING_SIDECAR"
    NO_MPP = "NO_MPP"
    BAD_MPP = "BAD_MPP"
    MPP_OUT_OF_RANGE = "MPP_OUT_OF_RANGE"
    PIXEL_FORMAT = "PIXEL_FORMAT"
    BOMB = "BOMB"
    TOO_MANY_PAGES = "TOO_MANY_PAGES"
    TILE_ERRORS = "TILE_ERRORS"
    TILE_SIZE_MISMATCH = "TILE_SIZE_MISMATCH"
    DECODER_CRASH = "DECODER_CRASH"
    MEMORY = "MEMORY"
    DUPLICATE_CONTENT = "DUPLICATE_CONTENT"
    MANIFEST_CONFLICT = "MANIFEST_CONFLICT"
    MODEL_OUTPUT = "MODEL_OUTPUT"
    EXPECTATION_FAILED = "EXPECTATION_FAILED"
    INCONSISTENT = "INCONSISTENT"
    WORKER_DIED = "WORKER_DIED"
    OOM = "OOM"
    GPU = "GPU"
    DISK_FULL = "DISK_FULL"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"
    STILL_COPYING = "STILL_COPYING"
    UNLISTED = "UNLISTED"
    FILE_MISSING = "FILE_MISSING"


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a reason code means and what a person should do about it."""

    cause: str
    next_step: str
    tried_again: bool = True
    """Whether the next night tries the slide again by itself. Where False the cause lies in the slide as it is: it is
    taken up again when a person releases it, or when the file, its ``um_per_px``, the models or Marrow change."""


REASONS: dict[Reason, ReasonText] = {
    Reason.EMPTY_FILE: ReasonText("The file has no bytes.", "Copy the slide from the scanner again."),
    Reason.TRUNCATED: ReasonText(
        "The file ends before the data that its header promises.",
        "Copy the slide from the scanner again.",
        tried_again=False,
    ),
    Reason.WRONG_TYPE: ReasonText(
        "The content is not a whole-slide image format that Marrow reads.",
        "Export the slide as SVS, NDPI, MIRAX, DICOM, OME-TIFF or pyramidal TIFF.",
        tried_again=False,
    ),
    Reason.CORRUPT_HEADER: ReasonText(
        "The header of the file cannot be parsed.",
        "Copy or export the slide again; check the scanner's disk.",
        tried_again=False,
    ),
    Reason.NOT_REGULAR_FILE: ReasonText(
        "The inbox entry is a link, a pipe, a socket or a device, not a file.", "Put the slide itself in the inbox."
    ),
    Reason.NO_PERMISSION: ReasonText(
        "The file may not be read by the account that runs Marrow.", "Give that account read permission."
    ),
    Reason.SOURCE_GONE: ReasonText(
        "The file disappeared while it was being read, or its disk does not answer.",
        "Put it back; it is taken in the next night.",
    ),
    Reason.SOURCE_CHANGED: ReasonText(
        "The file changed after it was listed: what was read is not what the slide's id stands for.",
        "Nothing to do: it is taken in the next night, under the id of its new content.",
    ),
    Reason.MISSING_SIDECAR: ReasonText(
        "A file that belongs to the slide is not there (MIRAX folder, DICOM instance).",
        "Copy the slide together with all of its files.",
    ),
    Reason.NO_MPP: ReasonText(
        "The slide does not say how many micrometres a pixel is.",
        "Give um_per_px for this file in manifest.csv.",
        tried_again=False,
    ),
    Reason.BAD_MPP: ReasonText(
        "The micrometres per pixel are impossible, or differ between x and y by more than 5 %.",
        "Correct the scanner's calibration or give um_per_px in manifest.csv.",
        tried_again=False,
    ),
    Reason.MPP_OUT_OF_RANGE: ReasonText(
        "The slide is too coarse for the models: enlarging it would invent detail.",
        "Scan at a higher magnification or choose a model bundle made for this scale.",
        tried_again=False,
    ),
    Reason.PIXEL_FORMAT: ReasonText(
        "The pixels are not 8-bit RGB brightfield.",
        "Export the slide as 8-bit RGB, without alpha or palette.",
        tried_again=False,
    ),
    Reason.BOMB: ReasonText(
        "The file claims far more pixels than its size can hold.",
        "Do not open it; report where it came from.",
        tried_again=False,
    ),
    Reason.TILE_ERRORS: ReasonText(
        "Too many tiles of the slide cannot be decoded.",
        "Copy or scan the slide again.",
        tried_again=False,
    ),
    Reason.TOO_MANY_PAGES: ReasonText(
        "The file has more directories or tags than any slide has.",
        "Do not open it; report where it came from.",
        tried_again=False,
    ),
    Reason.TILE_SIZE_MISMATCH: ReasonText(
        "The tiles claim another size than the header of the slide gives them.",
        "Export the slide again; report where it came from if that does not help.",
        tried_again=False,
    ),
    Reason.DECODER_CRASH: ReasonText(
        "The decoder died of this file, twice; nothing else was harmed.",
        "Export the slide again or in another format; report the file.",
        tried_again=False,
    ),
    Reason.MEMORY: ReasonText(
        "Decoding the file needs more memory than decoder_memory_mb allows.",
        "Export the slide with smaller tiles, or raise decoder_memory_mb.",
        tried_again=False,
    ),
    Reason.DUPLICATE_CONTENT: ReasonText(
        "The same content is in the inbox under another name.", "Nothing to do; remove the copy if you like."
    ),
    Reason.MANIFEST_CONFLICT: ReasonText(
        "manifest.csv gives no patient, or two patients, for this file, or a value that cannot be.",
        "Correct the rows of this file in manifest.csv.",
    ),
    Reason.MODEL_OUTPUT: ReasonText(
        "The networks returned values that are not finite, not probabilities, or the same for every cell.",
        "Check the model bundle.",
        tried_again=False,
    ),
    Reason.EXPECTATION_FAILED: ReasonText(
        "The slide's cells did not pass the validation suite.",
        "Read the failing expectation in the Data Docs.",
        tried_again=False,
    ),
    Reason.INCONSISTENT: ReasonText(
        "The counts of the slide do not add up.", "Run the slide again; report it if it happens twice."
    ),
    Reason.WORKER_DIED: ReasonText(
        "The workers that analysed the slide died.", "Look at the workers' memory; try again with fewer at a time."
    ),
    Reason.OOM: ReasonText(
        "The memory of a worker is too small for this slide, even with one cell at a time.",
        "Give the workers more memory or fewer threads; then run the slide again.",
    ),
    Reason.GPU: ReasonText(
        "The GPU of a worker failed, and so did the attempt without it.",
        "Look at the driver's log and the worker's memory; then run the slide again.",
    ),
    Reason.DISK_FULL: ReasonText(
        "The disk that holds the slide stores is full or cannot be written.",
        "Free space under HOME/slides; the slide is taken in the next night.",
    ),
    Reason.TIMEOUT: ReasonText("The slide took longer than its limit.", "Try again with a higher time limit."),
    Reason.INTERNAL: ReasonText(
        "An error that Marrow did not foresee.", "Report it with the text in the ledger; then run the slide again."
    ),
    Reason.STILL_COPYING: ReasonText(
        "The file is still being copied.", "Nothing to do: it is taken when it is stable."
    ),
    Reason.UNLISTED: ReasonText("manifest.csv does not list this file.", "Add a row with its patient_id."),
    Reason.FILE_MISSING: ReasonText(
        "manifest.csv lists a file that is not in the inbox.", "Copy it or remove the row."
    ),
}
"""The published table of reason codes: every :class:`Reason` has a row."""


class SlideRefused(MarrowError):
    """One slide cannot be taken. ``detail`` never holds a file name, a path or a patient's data."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        text = f"{self.reason}: {REASONS[self.reason].cause}"
        return f"{text} ({self.detail})" if self.detail else text


def place_of(error: BaseException) -> str:
    """Type of an error, and the module and line that raised it: its text may hold a name."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return type(error).__name__
    last = frames[-1]
    module = last.filename.replace("\\", "/").rsplit("/", 2)
    return f"{type(error).__name__} at {'/'.join(module[-2:])}:{last.lineno}"
