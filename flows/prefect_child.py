"""Prefect's embedded server as a process that ends with the one that began it, in whatever way that one ends.

``python -m flows.prefect_child PORT``; standard input is a pipe from the process that began it.
"""

from __future__ import annotations

import os
import sys
import threading

LOOPBACK = "127.0.0.1"


def main(port: int) -> None:
    """Serve until terminated, or until the other end of standard input is gone."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host=LOOPBACK,
        port=port,
        log_level="error",
        lifespan="on",
    )


def _end_with_parent() -> None:
    """A process that is killed closes its end of the pipe, and nobody else has it."""
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
