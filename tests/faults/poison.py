"""A batch of slides of which one is poisoned, taken through listing and ingest as a night does."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from marrow_models.decoder.pool import POOL
from marrow_models.decoder.slides import DecoderLimits, ingest_apart, look_apart
from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.identity import slide_id_of
from marrow_models.slides.inbox import content_digest, find_slides
from tests.unit.slide_files.sources import CANARY, Svs, picture

GOOD = ("good-1.svs", "good-2.svs")
TAKEN = (None, "ingest")


@dataclass(frozen=True)
class Batch:
    """An inbox with two good slides, and a folder for stores."""

    inbox: Path
    stores: Path

    @staticmethod
    def at(folder: Path) -> Batch:
        batch = Batch(folder / "inbox", folder / "stores")
        batch.inbox.mkdir()
        for number, name in enumerate(GOOD):
            Svs(picture(300, 260, seed=number), factors=()).write(batch.inbox / name)
        return batch

    def run(self, limits: DecoderLimits | None = None, **options) -> dict[str, tuple[Reason | None, str]]:
        """Name of each file: the reason why it was refused (None: it was not), and the stage that said so."""
        entries, refused = find_slides(self.inbox, lambda paths: look_apart(paths, limits=limits))
        ends: dict[str, tuple[Reason | None, str]] = {bad.relative_name: (bad.reason, "listing") for bad in refused}
        options = {"um_per_px": None, "waits_s": ()} | options
        for entry in entries:
            store = self.store(slide_id_of(content_digest(entry)))
            refusal = _refusal(partial(ingest_apart, entry.path, entry.members, store, limits=limits, **options))
            ends[entry.relative_name] = (None if refusal is None else refusal.reason, "ingest")
            if refusal is not None:
                assert CANARY not in str(refusal)
                assert entry.path.name not in str(refusal)
                assert not list(self.stores.glob(f"{store.name}*")), "a refused slide left a store behind"
        return ends

    def poison(self, limits: DecoderLimits | None = None, **options) -> tuple[Reason | None, str]:
        """How the one other file ended; the good slides must be taken whatever it is."""
        ends = self.run(limits, **options)
        assert [ends.pop(name) for name in GOOD] == [TAKEN, TAKEN]
        (end,) = ends.values()
        return end

    def store(self, slide_id: str) -> Path:
        return self.stores / f"{slide_id}.ome.zarr"


def _refusal(ingest: Callable[[], object]) -> SlideRefused | None:
    try:
        ingest()
    except SlideRefused as refusal:
        return refusal
    return None


@contextmanager
def fresh_decoder() -> Iterator[int]:
    """A decoder process that has done nothing yet and is the next to be used; its process id."""
    POOL.close()
    with POOL.lend() as process:
        pid = process.pid
    yield pid


def peak_memory_mb(pid: int) -> float:
    """The most memory a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def tiff(*directories: dict[int, tuple[int, list[int] | bytes]], tail: bytes = b"") -> bytes:
    """A classic TIFF by hand: each directory maps a tag to its type and values. ``tail`` begins at offset 8."""
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}
    codes = {1: "B", 3: "H", 4: "I"}
    out = bytearray(b"II*\0" + struct.pack("<I", 8 + len(tail)) + tail)
    for number, tags in enumerate(directories):
        start = len(out)
        extra = bytearray()
        after = start + 2 + 12 * len(tags) + 4
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{codes[kind]}", *values)
            entries += struct.pack("<HHI", tag, kind, len(raw) // sizes[kind])
            if len(raw) <= 4:
                entries += raw.ljust(4, b"\0")
            else:
                entries += struct.pack("<I", after + len(extra))
                extra += raw
        following = after + len(extra) if number + 1 < len(directories) else 0
        out += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following) + extra
    return bytes(out)
