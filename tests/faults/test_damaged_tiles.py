"""Damage inside a slide: what is lost is recorded, masked and told, and refused only beyond what is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marrow_models.errors import Reason
from marrow_models.pyramid.manifest import read_manifest
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import MissingArea, Rect
from tests.faults.poison import TAKEN, Batch
from tests.unit.slide_files.sources import Svs, jpeg_of, picture, write_mirax, write_tiff

PIXELS = picture(1280, 1280, seed=4)
TILE = 64
SIDE = 20
"""Tiles along each side."""


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch.at(tmp_path)


def forged(stream: bytes, side: int = 65_500) -> bytes:
    """A JPEG stream whose header claims ``side`` x ``side`` pixels."""
    at = stream.index(b"\xff\xc0") + 5
    return stream[:at] + side.to_bytes(2, "big") * 2 + stream[at + 4 :]


def slide(batch: Batch, *, damaged: dict[tuple[int, int], bytes] | None = None, unscanned=()) -> Path:
    source = Svs(PIXELS, factors=(), tile=TILE, damaged=damaged or {}, unscanned=unscanned)
    return source.write(batch.inbox / "a.svs")


def pyramid(batch: Batch) -> Pyramid:
    """The store of the slide of ``PIXELS``: the largest in the batch."""
    return max((Pyramid.open(store) for store in batch.stores.iterdir()), key=lambda p: p.info.width_px)


def receipt(batch: Batch) -> dict:
    return max((read_manifest(store)["receipt"] for store in batch.stores.iterdir()), key=lambda r: r["width_px"])


CUT = jpeg_of(PIXELS[:TILE, :TILE])[:200]


def test_one_tile_in_a_thousand_may_be_cut_and_is_told(batch: Batch) -> None:
    """F03."""
    slide(batch, damaged={(3, 5): CUT})
    assert batch.poison(max_lost=0.005) == TAKEN
    assert receipt(batch)["missing_px"] == TILE * TILE
    assert pyramid(batch).missing == (MissingArea(Rect(5 * TILE, 3 * TILE, TILE, TILE), "undecodable"),)


def test_more_damage_than_allowed_refuses_the_slide(batch: Batch) -> None:
    """F03."""
    slide(batch, damaged={(row, 5): CUT for row in range(5)})
    assert batch.poison(max_lost=0.01) == (Reason.TILE_ERRORS, "ingest")
    assert batch.poison(max_lost=0.02) == TAKEN


def test_a_slide_with_nine_percent_of_bad_regions_is_usable_when_the_setting_says_so(batch: Batch) -> None:
    """F03: of a real marrow slide 72,163 of 772,784 regions are bad."""
    rng = np.random.default_rng(72_163)
    share = 72_163 / 772_784
    bad = [divmod(int(n), SIDE) for n in rng.choice(SIDE * SIDE, round(share * SIDE * SIDE), replace=False)]
    slide(batch, damaged=dict.fromkeys(bad, CUT))
    assert batch.poison() == (Reason.TILE_ERRORS, "ingest")
    assert batch.poison(max_lost=0.1) == TAKEN
    found, known = pyramid(batch), np.ones((SIDE * TILE, SIDE * TILE), bool)
    for area in found.missing:
        r = area.rect_px
        known[r.y : r.bottom, r.x : r.right] = False
    assert known.mean() == pytest.approx(1 - len(bad) / SIDE**2)
    pixels = found.region(0, Rect(0, 0, SIDE * TILE, SIDE * TILE))
    assert (pixels[~known] == 255).all()
    assert np.abs(pixels[known].astype(int) - PIXELS[known]).mean() < 4


def test_one_tile_that_claims_four_gigabytes_costs_that_tile(batch: Batch) -> None:
    """F08: an accident of one tile."""
    slide(batch, damaged={(1, 1): forged(jpeg_of(PIXELS[:TILE, :TILE]))})
    assert batch.poison() == TAKEN
    assert receipt(batch)["missing_tiles"] == 1


@pytest.mark.parametrize("side", [65_500, 128])
def test_tiles_that_all_claim_another_size_refuse_the_slide(batch: Batch, side: int) -> None:
    """F08: no accident. However much damage is allowed, nothing of such a slide could be read."""
    stream = forged(jpeg_of(PIXELS[:TILE, :TILE]), side)
    slide(batch, damaged={(row, column): stream for row in range(SIDE) for column in range(SIDE)})
    for allowed in (0.01, 1.0):
        assert batch.poison(max_lost=allowed) == (Reason.TILE_SIZE_MISMATCH, "ingest")


def test_jpeg_2000_tiles_of_another_size_are_called_so_too(batch: Batch) -> None:
    """F08."""
    path = write_tiff(batch.inbox / "a.tif", PIXELS[:256, :256], tile=(256, 256), compression="jpeg2000")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data[at : at + 8] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    assert batch.poison() == (Reason.TILE_SIZE_MISMATCH, "ingest")


def test_what_the_scanner_left_out_is_no_damage(batch: Batch) -> None:
    """F18: half of the slide, far beyond what may be lost."""
    every_other = {(row, column) for row in range(SIDE) for column in range(SIDE) if (row + column) % 2}
    slide(batch, unscanned=every_other)
    assert batch.poison() == TAKEN
    assert (receipt(batch)["missing_px"], receipt(batch)["unscanned_px"]) == (0, SIDE * SIDE // 2 * TILE * TILE)
    assert {area.cause for area in pyramid(batch).missing} == {"unscanned"}


def test_a_sparse_mirax_slide_tells_what_was_not_scanned(batch: Batch) -> None:
    """F18."""
    write_mirax(batch.inbox / "m.mrxs", picture(1024, 512), absent={(0, 1), (1, 2)})
    assert batch.poison() == TAKEN
    assert (receipt(batch)["missing_px"], receipt(batch)["unscanned_px"]) == (0, 2 * 256 * 256)
