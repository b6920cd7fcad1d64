"""The parent's side of one decoder process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from marrow_models.errors import MarrowError, Reason, SlideRefused, UserError

_START_S = 120.0
"""A busy machine may take long to start an interpreter; a second is usual."""
_MAX_LINE_BYTES = 64 << 20
_READ_BYTES = 1 << 16


class DecoderDied(MarrowError):
    """The process is gone. The text says of what, and nothing else."""


class DecoderLate(MarrowError):
    """The process did not answer within its time."""


class DecoderFull(MarrowError):
    """The process needed more memory than it may have."""


class NoDecoder(UserError):
    """No decoder process can be started."""

    exit_code = 1


class DecoderProcess:
    """A running decoder process. Its users take turns; :meth:`kill` or :meth:`close` it in the end.

    Raises
    ------
    NoDecoder
        It does not start.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "marrow_models.decoder.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            cwd="/",
            bufsize=0,
        )
        self._unread = bytearray()
        self.jobs = 0
        """Jobs that it was given so far."""
        try:
            self._message(_START_S)
        except (DecoderDied, DecoderLate) as error:
            self.kill()
            raise NoDecoder(f"The decoder process does not start: {error}. Install Marrow again.") from None
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def send(self, job: str, request: dict[str, Any], *, memory_bytes: int, seconds: float) -> None:
        """Give it a job of ``JOBS``; ``seconds`` is when it ends itself should nobody be left to end it."""
        self.jobs += 1
        self._tell({"job": job, "request": request, "memory_bytes": memory_bytes, "seconds": seconds})

    def go_on(self) -> None:
        """Agree to what the job asked."""
        self._tell({"go": True})

    def _tell(self, message: dict[str, Any]) -> None:
        data = memoryview(json.dumps(message).encode("ascii") + b"\n")
        assert self._process.stdin is not None
        try:
            while data:
                data = data[self._process.stdin.write(data) :]
        except BrokenPipeError:
            raise DecoderDied(self._cause()) from None

    def receive(self, timeout_s: float) -> tuple[bool, Any]:
        """Wait for the next part of the answer; return whether it was the last, and its value.

        Raises
        ------
        SlideRefused
            As the job did.
        OSError
            As the job did, without any text.
        DecoderDied, DecoderLate, DecoderFull
            The process is of no use any more.
        """
        message = self._message(timeout_s)
        if "part" in message:
            return False, message["part"]
        if "done" in message:
            return True, message["done"]
        if "refused" in message:
            raise refusal_of(message)
        if "memory" in message:
            raise DecoderFull("more memory than allowed")
        if "os_error" in message:
            raise OSError(message["os_error"], os.strerror(message["os_error"]))
        raise SlideRefused(Reason.INTERNAL, str(message.get("failed", "an unknown answer of the decoder")))

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._release()

    def close(self) -> None:
        """Let it end by itself, as it does when nobody listens."""
        self._release()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _release(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _message(self, timeout_s: float) -> dict[str, Any]:
        line = self._line(time.monotonic() + timeout_s)
        try:
            message = json.loads(line)
        except ValueError:
            raise DecoderDied("it wrote what is no message") from None
        if not isinstance(message, dict):
            raise DecoderDied("it wrote what is no message")
        return message

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        ready = select.poll()
        ready.register(descriptor, select.POLLIN | select.POLLHUP)
        while (end := self._unread.find(b"\n")) < 0:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not ready.poll(left_s * 1000):
                raise DecoderLate("no answer in time")
            data = os.read(descriptor, _READ_BYTES)
            if not data:
                raise DecoderDied(self._cause())
            self._unread += data
            if len(self._unread) > _MAX_LINE_BYTES:
                raise DecoderDied("it wrote what is no message")
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line

    def _cause(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


def refusal_of(message: dict[str, Any]) -> SlideRefused:
    """The refusal that a message of the child stands for."""
    return SlideRefused(Reason(message["refused"]), str(message["detail"]))


def _environment() -> dict[str, str]:
    """What the child inherits: where the modules are, and nothing of the parent's own environment."""
    modules = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", **one_thread}
