"""Commands from their start to their end, as a shell starts them, for benchmarks."""

from __future__ import annotations

import subprocess
import sys


def start(arguments: list[str]) -> int:
    """Run the interpreter with ``arguments``; its exit code. Nothing of it is loaded in this process."""
    return subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
    ).returncode
