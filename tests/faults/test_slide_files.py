"""One poisoned file among good slides: it is refused with its reason at its stage, and the good ones are taken.

Damaged tiles: test_damaged_tiles. Crashes, hangs and memory: test_decoder_process. Sources that go away or change:
test_moving_sources. Large numbers: test_large_numbers. Whole nights: tests/end_to_end/test_poisoned_night.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from marrow_models.decoder.slides import look_apart
from marrow_models.errors import Reason
from marrow_models.slides.inbox import find_slides
from tests.faults.poison import GOOD, TAKEN, Batch, fresh_decoder, peak_memory_mb, tiff
from tests.unit.slide_files.sources import CANARY, Dicom, Svs, picture, write_mirax, write_ome_tiff, write_tiff

PIXELS = picture(800, 600, seed=9)
LISTING, INGEST = "listing", "ingest"


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch.at(tmp_path)


def raw(content: bytes) -> Callable[[Path], None]:
    return lambda inbox: (inbox / "a.svs").write_bytes(content) and None


def cut(write: Callable[[Path], Path], share: float) -> Callable[[Path], None]:
    def cut_file(inbox: Path) -> None:
        path = write(inbox)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return cut_file


def two_directories_in_a_loop() -> bytes:
    tags = struct.pack("<HHHII", 1, 256, 4, 1, 10)
    return b"II*\0" + struct.pack("<I", 8) + tags + struct.pack("<I", 26) + tags + struct.pack("<I", 8) + bytes(300)


def many_directories(count: int) -> bytes:
    one = np.frombuffer(struct.pack("<HHHIII", 1, 256, 4, 1, 10, 0), np.uint8)
    chain = np.tile(one, (count, 1))
    following = (8 + 18 * np.arange(1, count + 1)).astype("<u4")
    following[-1] = 0
    chain[:, 14:18] = following.view(np.uint8).reshape(count, 4)
    return b"II*\0" + struct.pack("<I", 8) + chain.tobytes()


def many_tags(count: int) -> bytes:
    tags = np.tile(np.frombuffer(struct.pack("<HHQQ", 65_000, 1, 1, 0), np.uint8), count).tobytes()
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, count) + tags + bytes(8)


def bomb() -> bytes:
    """82 KB that claim 206 GB: one tile of zeros, deflated, named 4,096 times."""
    tile = zlib.compress(bytes(4096 * 4096 * 3), 9)
    side, count = 262_144, 64 * 64
    return tiff(
        {
            256: (4, [side]), 257: (4, [side]), 258: (3, [8, 8, 8]), 259: (3, [8]), 262: (3, [2]), 277: (3, [3]),
            322: (4, [4096]), 323: (4, [4096]), 324: (4, [8] * count), 325: (4, [len(tile)] * count),
        },
        tail=tile,
    )  # fmt: skip


REFUSED = {
    "F01 zero bytes": (raw(b"") , Reason.EMPTY_FILE, LISTING),
    "F02 half an svs": (cut(lambda d: Svs(PIXELS).write(d / "a.svs"), 0.5), Reason.TRUNCATED, INGEST),
    "F02 half an ome-tiff": (cut(lambda d: write_ome_tiff(d / "a.ome.tif", PIXELS), 0.5), Reason.TRUNCATED, INGEST),
    "F02 half a dicom": (cut(lambda d: Dicom(PIXELS).write(d / "a.dcm"), 0.5), Reason.TRUNCATED, INGEST),
    "F04 png": (raw(b"\x89PNG\r\n\x1a\n" + bytes(200)), Reason.WRONG_TYPE, LISTING),
    "F04 zip": (raw(b"PK\x03\x04" + bytes(200)), Reason.WRONG_TYPE, LISTING),
    "F04 pdf": (raw(b"%PDF-1.7" + bytes(200)), Reason.WRONG_TYPE, LISTING),
    "F04 elf": (raw(b"\x7fELF" + bytes(200)), Reason.WRONG_TYPE, LISTING),
    "F05 directory at 4 GB": (raw(b"II*\0\xff\xff\xff\xff"), Reason.CORRUPT_HEADER, INGEST),
    "F06 self-loop": (
        raw(b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 4, 1, 10, 8) + bytes(300)),
        Reason.CORRUPT_HEADER,
        INGEST,
    ),
    "F06 two in a loop": (raw(two_directories_in_a_loop()), Reason.CORRUPT_HEADER, INGEST),
    "F07 bomb": (raw(bomb()), Reason.BOMB, INGEST),
    "F09 500,000 tags": (raw(many_tags(500_000)), Reason.TOO_MANY_PAGES, INGEST),
    "F12 mpp 0": (lambda d: Svs(PIXELS, mpp="0").write(d / "a.svs"), Reason.NO_MPP, INGEST),
    "F12 mpp absent": (lambda d: Svs(PIXELS, mpp="").write(d / "a.svs"), Reason.NO_MPP, INGEST),
    "F12 mpp negative": (lambda d: Svs(PIXELS, mpp="-0.25").write(d / "a.svs"), Reason.BAD_MPP, INGEST),
    "F12 mpp 1e9": (lambda d: Svs(PIXELS, mpp="1e9").write(d / "a.svs"), Reason.BAD_MPP, INGEST),
    "F12 x and y differ by 10 %": (
        lambda d: write_tiff(d / "a.tif", PIXELS, resolution=(40_000, 44_000)),
        Reason.BAD_MPP,
        INGEST,
    ),
    "F15 grayscale": (lambda d: write_tiff(d / "a.tif", PIXELS[..., 0]), Reason.PIXEL_FORMAT, INGEST),
    "F15 16 bits": (
        lambda d: write_tiff(d / "a.tif", PIXELS.astype(np.uint16), photometric="rgb"),
        Reason.PIXEL_FORMAT,
        INGEST,
    ),
    "F15 cmyk": (
        lambda d: write_tiff(d / "a.tif", np.dstack([PIXELS, PIXELS[..., 0]]), photometric="separated"),
        Reason.PIXEL_FORMAT,
        INGEST,
    ),
    "F15 alpha": (
        lambda d: write_tiff(d / "a.tif", np.dstack([PIXELS, PIXELS[..., 0]]), photometric="rgb", extrasamples=[2]),
        Reason.PIXEL_FORMAT,
        INGEST,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_poisoned_file_costs_itself_and_is_given_its_reason(batch: Batch, case: str) -> None:
    """F01, F02, F04-F07, F09, F12, F15."""
    write, reason, stage = REFUSED[case]
    write(batch.inbox)
    began = time.monotonic()
    assert batch.poison() == (reason, stage)
    assert time.monotonic() - began < 30


def test_a_million_directories_are_refused_in_bounded_time(batch: Batch) -> None:
    """F09."""
    raw(many_directories(1_000_000))(batch.inbox)
    began = time.monotonic()
    assert batch.poison() == (Reason.TOO_MANY_PAGES, INGEST)
    assert time.monotonic() - began < 30


def test_a_forged_header_and_a_bomb_take_neither_memory_nor_time(batch: Batch) -> None:
    """F05, F07."""
    (batch.inbox / "forged.svs").write_bytes(b"II*\0\xff\xff\xff\xff")
    (batch.inbox / "bomb.svs").write_bytes(bomb())
    with fresh_decoder() as pid:
        began = time.monotonic()
        ends = batch.run()
        assert time.monotonic() - began < 5
        assert peak_memory_mb(pid) < 300
    assert (ends["forged.svs"], ends["bomb.svs"]) == ((Reason.CORRUPT_HEADER, INGEST), (Reason.BOMB, INGEST))


def test_the_content_decides_and_an_odd_name_is_noted(batch: Batch) -> None:
    """F04."""
    Svs(PIXELS).write(batch.inbox / "really-an-svs.tif")
    Dicom(PIXELS).write(batch.inbox / "really-a-dicom.svs")
    assert set(batch.run().values()) == {TAKEN}
    odd = {entry.relative_name: entry.odd_name for entry in find_slides(batch.inbox, look_apart)[0]}
    assert odd == {"really-an-svs.tif": True, "really-a-dicom.svs": True, **dict.fromkeys(GOOD, False)}


def test_a_decimal_comma_is_read_and_the_manifest_overrules_what_a_file_lacks(batch: Batch) -> None:
    """F12."""
    path = Svs(PIXELS, mpp="0,2500").write(batch.inbox / "comma.svs")
    assert batch.poison() == TAKEN
    Svs(PIXELS, mpp="0").write(path)
    assert batch.poison() == (Reason.NO_MPP, INGEST)
    assert batch.poison(um_per_px=0.25) == TAKEN


@pytest.mark.parametrize(("width", "height"), [(1, 1), (255, 1), (1, 255), (257, 255), (1025, 1023)])
def test_slides_of_any_size_are_taken_to_their_last_pixel(batch: Batch, width: int, height: int) -> None:
    """F16."""
    write_tiff(batch.inbox / "a.tif", np.full((height, width, 3), 90, np.uint8), photometric="rgb", tile=(256, 256))
    assert batch.poison() == TAKEN


@pytest.mark.parametrize("lost", ["Slidedat.ini", "Index.dat", "Data0000.dat"])
def test_a_mirax_slide_without_one_of_its_files_is_refused(batch: Batch, lost: str) -> None:
    """F19."""
    write_mirax(batch.inbox / "m.mrxs", picture(512, 256))
    (batch.inbox / "m" / lost).unlink()
    assert batch.poison() == (Reason.MISSING_SIDECAR, LISTING)


def test_what_is_no_regular_file_is_refused_and_never_waited_for(batch: Batch, tmp_path: Path) -> None:
    """F28."""
    outside = Svs(PIXELS).write(tmp_path / "outside.svs")
    (batch.inbox / "link.svs").symlink_to(outside)
    (batch.inbox / "passwd.svs").symlink_to("/etc/passwd")
    os.mkfifo(batch.inbox / "pipe.svs")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(batch.inbox / "socket.svs"))
    names = ["link.svs", "passwd.svs", "pipe.svs", "socket.svs"]
    if os.geteuid() == 0:
        os.mknod(batch.inbox / "device.svs", 0o020666, os.makedev(1, 5))
        names.append("device.svs")
    began = time.monotonic()
    ends = batch.run()
    assert time.monotonic() - began < 10
    assert {ends[name] for name in names} == {(Reason.NOT_REGULAR_FILE, LISTING)}


def test_a_hard_link_is_a_regular_file_and_its_content_decides(batch: Batch, tmp_path: Path) -> None:
    """F28: honest tools of backup and deduplication make them, and the kernel guards what one may link."""
    os.link(Svs(PIXELS).write(tmp_path / "elsewhere.svs"), batch.inbox / "linked.svs")
    (tmp_path / "secret").write_text("root:x:0:0")
    os.link(tmp_path / "secret", batch.inbox / "secret.svs")
    ends = batch.run()
    assert (ends["linked.svs"], ends["secret.svs"]) == (TAKEN, (Reason.WRONG_TYPE, LISTING))


NAMES = [
    b"%2e%2e%2fetc%2fpasswd.svs", b"x" * 251 + b".svs", b"line\nbreak.svs", "\u202egnp.svs".encode(), "🩸.svs".encode(),
    b"-rf.svs", b"CON.svs", b"dot..svs", "Knochenma\u0308rk.svs".encode(), b"no-\xff\xfe-text.svs", b'{"quo"te}.svs',
]  # fmt: skip


def test_any_name_that_a_file_can_have_goes_to_the_decoder_and_back(batch: Batch) -> None:
    """F30."""
    for number, name in enumerate(NAMES):
        Svs(picture(64, 64, seed=number), factors=(), tile=64).write(batch.inbox / "new.svs").rename(
            os.fsdecode(os.fsencode(batch.inbox) + b"/" + name)
        )
    ends = batch.run()
    assert set(ends.values()) == {TAKEN}
    assert len(ends) == len(NAMES) + len(GOOD)
    assert {path.name[0] for path in batch.stores.iterdir()} == {"s"}, "stores are named by content alone"


@pytest.mark.parametrize(
    "text",
    [
        f"Aperio Image Library v12\r\n|MPP = 0.25|Patient = {CANARY}".encode() + b"\x00\x01\x1b[31m\x7f",
        f"Aperio Image Library v12\r\n|Patient = {CANARY}|MPP = 0.25|".encode() + b"\xff\xfe\xc3\x28",
        f"Aperio Image Library v12\r\n|MPP = 0.25|Patient = {CANARY}|".encode() + b"x" * (5 << 20),
    ],
    ids=["control characters", "no utf-8", "5 MB"],
)
def test_a_description_is_read_for_its_scale_and_kept_nowhere(batch: Batch, text: bytes) -> None:
    """F20, F21: neither text nor label picture of the source is in a store."""
    path = Svs(PIXELS, factors=()).write(batch.inbox / "a.svs")
    _describe(path, text)
    assert batch.poison() == TAKEN
    for file in batch.stores.rglob("*"):
        assert not file.is_file() or CANARY.encode() not in file.read_bytes()


def _describe(path: Path, text: bytes) -> None:
    """Point the description of a file's first directory at other text, behind its end."""
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry) == (270,):
            struct.pack_into("<II", data, entry + 4, len(text), len(data))
    path.write_bytes(bytes(data) + text)


PERMISSIONS = """
import os, pathlib, sys
from marrow_models.slides.inbox import find_slides
inbox = pathlib.Path(sys.argv[1])
find_slides(inbox)  # everything is imported now
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
entries, refused = find_slides(inbox)
print([entry.relative_name for entry in entries], [(bad.relative_name, str(bad.reason)) for bad in refused])
"""


def test_a_file_that_may_not_be_read_is_refused_by_whoever_may_not_read_it() -> None:
    """F29."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        batch = Batch.at(folder)
        Svs(PIXELS).write(batch.inbox / "closed.svs").chmod(0)
        done = subprocess.run([sys.executable, "-c", PERMISSIONS, batch.inbox], capture_output=True, text=True)
    assert done.stdout.strip() == f"{list(GOOD)} [('closed.svs', 'NO_PERMISSION')]", done.stderr
