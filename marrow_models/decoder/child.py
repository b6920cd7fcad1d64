"""The decoder process: ``python -m marrow_models.decoder.child``, one job at a time from stdin to stdout.

Messages are lines of JSON. It holds no secret, keeps to its limits, and ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import threading
from contextlib import suppress
from typing import Any, BinaryIO

from marrow_models.decoder.jobs import JOBS
from marrow_models.errors import SlideRefused, place_of

_GRACE_S = 10.0
"""The parent keeps the clock; this much later an orphan ends itself."""


def main() -> None:
    """Answer jobs until stdin ends."""
    requests, replies = _private_pipes()
    _no_core_file()
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, jobs), daemon=True).start()
    _say(replies, {"ready": True})
    while True:
        job = jobs.get()
        _limit_memory(job["memory_bytes"])
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + _GRACE_S)
        _say(replies, _answer(job, replies, jobs))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(job: dict[str, Any], replies: BinaryIO, jobs: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
    def say(part: object) -> None:
        _say(replies, {"part": part})

    def ask(part: object) -> None:
        say(part)
        jobs.get()  # the parent's word to go on

    try:
        return {"done": JOBS[job["job"]](job["request"], say, ask)}
    except SlideRefused as refusal:
        return {"refused": str(refusal.reason), "detail": refusal.detail}
    except MemoryError:
        return {"memory": True}
    except OSError as error:
        return {"os_error": error.errno or 0}
    except Exception as error:  # noqa: BLE001 - the edge of a process: an error costs one slide
        return {"failed": place_of(error)}


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Both ends of the protocol; what a library prints or reads meets /dev/null."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    return requests, replies


def _listen(requests: BinaryIO, jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Take jobs; end the process when the parent is gone, whatever it is doing."""
    for line in requests:
        jobs.put(json.loads(line))
    os._exit(0)


def _say(replies: BinaryIO, message: dict[str, Any]) -> None:
    try:
        replies.write(json.dumps(message).encode("ascii") + b"\n")
        replies.flush()
    except BrokenPipeError:
        os._exit(0)


def _no_core_file() -> None:
    """A core file would hold a patient's pixels and the name on the label."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(limit_bytes: int) -> None:
    """Bound the address space; a system without such a limit has the wall clock alone."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    main()
