"""Log records without identity: paths of the inbox and of HOME, and names of slide files, are taken out at their birth.

Our own messages hold slide ids only; this is for those of libraries, whose errors quote the file they choked on. It
works on every record of the process, whichever logger and handler (console, Prefect's server) it is for.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SHORTEST_NAME = 4
"""Characters. A shorter name without its suffix is a part of too many words."""


class Scrubber:
    """Takes places and names out of texts."""

    def __init__(self, places: Mapping[Path, str], names: Iterable[str] = ()) -> None:
        # What follows a place goes along up to the line's end: it is a name within that place, and a name may hold
        # blanks, quotes and colons.
        self._places = [
            (re.compile(re.escape(str(path)) + r"(?:/[^\n]*)?"), f"<{word}>")
            for path, word in sorted(places.items(), key=lambda item: -len(str(item[0])))
            if len(path.parts) > 1
        ]
        self._names: tuple[str, ...] = tuple(
            sorted({n for n in names if len(n) >= SHORTEST_NAME}, key=len, reverse=True)
        )

    def scrub(self, text: str) -> str:
        """``text`` without them."""
        for pattern, word in self._places:
            text = pattern.sub(word, text)
        for name in self._names:
            if name in text:
                text = text.replace(name, "<slide>")
        return text


def names_in(inbox: Path | None) -> set[str]:
    """Names of the files and folders in the inbox, with and without their suffix."""
    if inbox is None:
        return set()
    found = {name for _, folders, files in os.walk(inbox) for name in (*folders, *files)}
    return found | {Path(name).stem for name in found} - {"manifest"}


_lock = threading.Lock()
_at_work: list[Scrubber] = []


def install(scrubber: Scrubber) -> None:
    """Scrub every log record of this process from now on."""
    with _lock:
        if not isinstance(logging.getLogRecordFactory(), _Factory):
            logging.setLogRecordFactory(_Factory(logging.getLogRecordFactory()))
        _at_work.append(scrubber)


@contextmanager
def scrubbing(scrubber: Scrubber) -> Iterator[None]:
    """Scrub every log record of this process while the block runs."""
    install(scrubber)
    try:
        yield
    finally:
        with _lock:
            _at_work.remove(scrubber)


class _Factory:
    """Makes log records; one that had to be scrubbed has its text and traceback as plain message."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        if _at_work:
            _clean(record)
        return record


def _clean(record: logging.LogRecord) -> None:
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # a message that does not fit its arguments: logging itself will complain
        text = f"{record.msg} {record.args}"
    trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info and record.exc_info[0] else ""
    clean, clean_trace = text, trace
    for scrubber in tuple(_at_work):
        clean, clean_trace = scrubber.scrub(clean), scrubber.scrub(clean_trace)
    if (clean, clean_trace) != (text, trace):
        record.msg, record.args = f"{clean}\n{clean_trace}" if trace else clean, ()
        record.exc_info = record.exc_text = None
