"""Errors that Marrow raises on purpose, and the reason codes a slide can end with.

Everything that a user is shown without a traceback is a :class:`UserError`. What is wrong with one
slide is a :class:`SlideRefused`: it costs that slide and nothing else.
"""

from __future__ import annotations

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


class WarehouseHeld(WarehouseError):
    """Another process holds the lock."""


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
    MISSING_SIDECAR = "MISSING_SIDECAR"
    NO_MPP = "NO_MPP"
    BAD_MPP = "BAD_MPP"
    MPP_OUT_OF_RANGE = "MPP_OUT_OF_RANGE"
    PIXEL_FORMAT = "PIXEL_FORMAT"
    BOMB = "BOMB"
    TILE_ERRORS = "TILE_ERRORS"
    DUPLICATE_CONTENT = "DUPLICATE_CONTENT"
    MANIFEST_CONFLICT = "MANIFEST_CONFLICT"
    MODEL_OUTPUT = "MODEL_OUTPUT"
    EXPECTATION_FAILED = "EXPECTATION_FAILED"
    INCONSISTENT = "INCONSISTENT"
    WORKER_DIED = "WORKER_DIED"
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


REASONS: dict[Reason, ReasonText] = {
    Reason.EMPTY_FILE: ReasonText("The file has no bytes.", "Copy the slide from the scanner again."),
    Reason.TRUNCATED: ReasonText(
        "The file ends before the data that its header promises.", "Copy the slide from the scanner again."
    ),
    Reason.WRONG_TYPE: ReasonText(
        "The content is not a whole-slide image format that Marrow reads.",
        "Export the slide as SVS, NDPI, MIRAX, DICOM, OME-TIFF or pyramidal TIFF.",
    ),
    Reason.CORRUPT_HEADER: ReasonText(
        "The header of the file cannot be parsed.", "Copy or export the slide again; check the scanner's disk."
    ),
    Reason.NOT_REGULAR_FILE: ReasonText(
        "The inbox entry is a link, a pipe, a socket or a device, not a file.", "Put the slide itself in the inbox."
    ),
    Reason.NO_PERMISSION: ReasonText(
        "The file may not be read by the account that runs Marrow.", "Give that account read permission."
    ),
    Reason.SOURCE_GONE: ReasonText(
        "The file disappeared or changed while it was being read.", "Put it back; it is taken in the next night."
    ),
    Reason.MISSING_SIDECAR: ReasonText(
        "A file that belongs to the slide is not there (MIRAX folder, DICOM instance).",
        "Copy the slide together with all of its files.",
    ),
    Reason.NO_MPP: ReasonText(
        "The slide does not say how many micrometres a pixel is.", "Give um_per_px for this file in manifest.csv."
    ),
    Reason.BAD_MPP: ReasonText(
        "The micrometres per pixel are impossible, or differ between x and y by more than 5 %.",
        "Correct the scanner's calibration or give um_per_px in manifest.csv.",
    ),
    Reason.MPP_OUT_OF_RANGE: ReasonText(
        "The slide is too coarse for the models: enlarging it would invent detail.",
        "Scan at a higher magnification or choose a model bundle made for this scale.",
    ),
    Reason.PIXEL_FORMAT: ReasonText(
        "The pixels are not 8-bit RGB brightfield.", "Export the slide as 8-bit RGB, without alpha or palette."
    ),
    Reason.BOMB: ReasonText(
        "The file claims far more pixels than its size can hold.", "Do not open it; report where it came from."
    ),
    Reason.TILE_ERRORS: ReasonText("Too many tiles of the slide cannot be decoded.", "Copy or scan the slide again."),
    Reason.DUPLICATE_CONTENT: ReasonText(
        "The same content is in the inbox under another name.", "Nothing to do; remove the copy if you like."
    ),
    Reason.MANIFEST_CONFLICT: ReasonText(
        "manifest.csv gives no patient, or two patients, for this file, or a value that cannot be.",
        "Correct the rows of this file in manifest.csv.",
    ),
    Reason.MODEL_OUTPUT: ReasonText(
        "The networks returned values that are not finite or not probabilities.", "Check the model bundle."
    ),
    Reason.EXPECTATION_FAILED: ReasonText(
        "The slide's cells did not pass the validation suite.", "Read the failing expectation in the Data Docs."
    ),
    Reason.INCONSISTENT: ReasonText(
        "The counts of the slide do not add up.", "Run the slide again; report it if it happens twice."
    ),
    Reason.WORKER_DIED: ReasonText(
        "The workers that analysed the slide died.", "Look at the workers' memory; try again with fewer at a time."
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
