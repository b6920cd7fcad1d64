"""Real slide files with bytes overwritten at random: a slide or a reason, and no error that nobody foresaw.

Ten minutes by default; the seed is printed by pytest with the test's name, so a failure can be repeated.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest

from marrow_models.decoder.slides import DecoderLimits, ingest_apart, look_apart
from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.inbox import find_slides
from tests.real_data.test_real_slides import WSI

FILES = ("small.svs", "cells.ome.tif", "camelyon-jpeg.dcm", "cmu-1-small-region.svs", "hamamatsu-dapi.ndpi")
LIMITS = DecoderLimits(open_s=30, slide_s=60)
SECONDS_A_SEED = 120
NEVER = {Reason.INTERNAL, Reason.DECODER_CRASH, Reason.SOURCE_GONE, Reason.SOURCE_CHANGED}
"""Not what a damaged file should ever come to. A crash is contained, but worth to be looked at."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Up to twenty bytes overwritten, mostly where headers lie: near the beginning and the end."""
    found, near = bytearray(data), min(len(data), 4000)
    where = rng.choice(["start", "end", "anywhere"])
    for _ in range(rng.randint(1, 20)):
        at = rng.randrange(near if where != "anywhere" else len(found))
        found[-1 - at if where == "end" else at] = rng.choice((0, 128, 255, rng.randrange(256)))
    return bytes(found)


def end_of(inbox: Path, stores: Path) -> Reason | None:
    entries, refused = find_slides(inbox, lambda paths: look_apart(paths, limits=LIMITS))
    if refused:
        return refused[0].reason
    (entry,) = entries
    try:
        ingest_apart(entry.path, entry.members, stores / "s", um_per_px=0.25, limits=LIMITS, waits_s=())
    except SlideRefused as refusal:
        return refusal.reason
    return None


@pytest.mark.chaos
@pytest.mark.real_data
@pytest.mark.skipif(not WSI.is_dir(), reason="the real slide files are not beside the project")
@pytest.mark.parametrize("seed", range(5))
def test_no_damage_to_a_real_file_ends_in_anything_but_a_slide_or_a_reason(tmp_path: Path, seed: int) -> None:
    rng, until, tried = random.Random(seed), time.monotonic() + SECONDS_A_SEED, 0
    while time.monotonic() < until:
        name = rng.choice(FILES)
        inbox, stores = tmp_path / "inbox", tmp_path / "stores"
        inbox.mkdir()
        (inbox / name).write_bytes(damaged((WSI / name).read_bytes(), rng))
        began = time.monotonic()
        end = end_of(inbox, stores)
        assert end is None or end in set(Reason) - NEVER, f"{name}, file {tried} of seed {seed}"
        assert time.monotonic() - began < LIMITS.open_s + LIMITS.slide_s + 10
        if end is not None:
            assert not stores.exists() or not list(stores.iterdir())
        for folder in (inbox, stores):
            shutil.rmtree(folder, ignore_errors=True)
        tried += 1
    assert tried > 20
