"""A night with many poisoned files at once: each ends with its reason, and the good slides as if they were alone."""

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from marrow_models.slides.identity import digest_of, slide_id_of
from tests.end_to_end import nights
from tests.end_to_end.nights import cells_of, published, run_night, told_to_prefect
from tests.faults.poison import tiff
from tests.faults.test_damaged_tiles import forged
from tests.faults.test_slide_files import bomb
from tests.unit.slide_files.sources import Svs, jpeg_of, picture, write_tiff

pytestmark = pytest.mark.nights

PIXELS = picture(300, 260)
MISMATCH = {(row, column): forged(jpeg_of(PIXELS[:256, :256])) for row in range(2) for column in range(2)}
POISON = {
    "empty.svs": (lambda path: path.touch(), "EMPTY_FILE"),
    "picture.svs": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)), "WRONG_TYPE"),
    "forged.svs": (lambda path: path.write_bytes(b"II*\0\xff\xff\xff\xff"), "CORRUPT_HEADER"),
    "bomb.svs": (lambda path: path.write_bytes(bomb()), "BOMB"),
    "tiles.svs": (lambda path: Svs(PIXELS, factors=(), damaged=MISMATCH).write(path), "TILE_SIZE_MISMATCH"),
    "no-scale.svs": (lambda path: Svs(PIXELS, mpp="0").write(path), "NO_MPP"),
    "coarse.svs": (lambda path: Svs(PIXELS, mpp="2.0").write(path), "MPP_OUT_OF_RANGE"),
    "grey.tif": (lambda path: write_tiff(path, PIXELS[..., 0]), "PIXEL_FORMAT"),
    "pages.tif": (lambda path: path.write_bytes(tiff(*[{256: (4, [10])}] * 10_001)), "TOO_MANY_PAGES"),
    "alone.mrxs": (lambda path: path.write_bytes(jpeg_of(PIXELS)), "MISSING_SIDECAR"),
    "link.svs": (lambda path: path.symlink_to("/etc/passwd"), "NOT_REGULAR_FILE"),
}  # fmt: skip
LOST = ((2, 2), (2, 3))
"""(row, column) of two tiles that the damaged slide loses."""


@pytest.fixture(scope="module")
def poisoned(night, tmp_path_factory):
    """(inbox, home, result) of a night of good slides, a damaged one, a blank one and all of ``POISON``."""
    root = tmp_path_factory.mktemp("poisoned")
    inbox = Path(shutil.copytree(night[1], root / "inbox"))
    damage(shutil.copy(min(inbox.glob("*.svs")), inbox / "damaged.svs"))
    Svs(np.full((1024, 1024, 3), 242, np.uint8), factors=()).write(inbox / "blank.svs")
    for name, (write, _) in POISON.items():
        write(inbox / name)
    with (inbox / "manifest.csv").open("a") as file:
        file.writelines(f"{name},P-{number}\n" for number, name in enumerate(["damaged.svs", "blank.svs", *POISON]))
    settings = {"MARROW_MAX_LOST": "0.1", "MARROW_MAX_QUARANTINED_SHARE": "1"}
    return inbox, root / "home", run_night(inbox, root / "home", expect=3, **settings)


def damage(path):
    """Overwrite the tiles ``LOST`` of the first level with zeros, where they lie."""
    with tifffile.TiffFile(path) as slide:
        page = slide.pages.first
        columns = -(-page.imagewidth // page.tilewidth)
        spans = [(page.dataoffsets[r * columns + c], page.databytecounts[r * columns + c]) for r, c in LOST]
    with open(path, "r+b") as file:  # noqa: PTH123 - what copy returned
        for offset, count in spans:
            file.seek(offset)
            file.write(bytes(count))


def id_of(path):
    return slide_id_of(digest_of(path, (path,), "aperio"))


def test_each_poisoned_file_has_its_reason_and_every_other_is_done(poisoned):
    """F01, F04, F05, F07-F09, F12, F13, F15, F19, F28 in one night."""
    _, _, result = poisoned
    assert result["state"] == "done_with_quarantine"
    refused = sorted(row["reason"] for row in result["table"] if row["state"] == "quarantined")
    assert refused == sorted(reason for _, reason in POISON.values())
    assert (result["done"], result["deferred"], result["discovered"]) == (4, 0, 4 + len(POISON))


@pytest.mark.parametrize("name", ["no-scale.svs", "tiles.svs"])
def test_an_operator_sees_in_prefect_at_which_stage_and_why_a_slide_was_refused(poisoned, name):
    inbox, _, _ = poisoned
    reason = POISON[name][1]

    state, message, log = told_to_prefect(nights.SERVICES["PREFECT_HOME"], id_of(inbox / name))

    assert (state, message) == ("Quarantined", reason)
    ((level, line),) = [(level, line) for level, line in log if line.startswith("ingest")]
    assert level == logging.ERROR
    assert re.fullmatch(rf"ingest: {reason} after \d+\.\d s", line)


def test_a_blank_slide_is_done_with_no_cells_and_no_ratio(poisoned):
    """F14."""
    inbox, home, _ = poisoned
    with published(home) as database:
        asked = [id_of(inbox / "blank.svs")]
        counted = database.execute("SELECT cells, counted_cells FROM analyses WHERE slide_id = ?", asked).fetchall()
        percents = database.execute("SELECT DISTINCT percent FROM cell_counts WHERE slide_id = ?", asked).fetchall()
        patient = database.execute(
            "SELECT status, me_ratio, blast_percent FROM patient_diagnoses JOIN slides USING (patient_id) "
            "WHERE slide_id = ?",
            asked,
        ).fetchall()
    assert counted == [(0, 0)]
    assert percents == [(None,)]
    assert patient == [("insufficient", None, None)]


def test_lost_area_is_told_and_the_cells_beside_it_are_flagged(poisoned):
    """F03, F18: in what analysts open."""
    inbox, home, _ = poisoned
    with published(home) as database:
        asked = [id_of(inbox / "damaged.svs")]
        width, um, tile = 1536, 0.25, 256
        lost = database.execute(
            "SELECT missing_um2, missing_percent, unscanned_um2, unscanned_percent FROM slides WHERE slide_id = ?",
            asked,
        ).fetchall()
        cells = database.execute(
            "SELECT x_um, y_um, width_um, height_um, near_missing FROM cells WHERE slide_id = ?", asked
        ).fetchall()
        whole = database.execute("SELECT DISTINCT missing_percent FROM slides WHERE state = 'done'").fetchall()
    share = 100 * len(LOST) * tile**2 / width**2
    assert lost == [(pytest.approx(len(LOST) * (tile * um) ** 2), pytest.approx(share), 0, 0)]
    assert len(whole) == 2
    rows, columns = [row for row, _ in LOST], [column for _, column in LOST]
    left, right = min(columns) * tile * um, (max(columns) + 1) * tile * um
    top, bottom = min(rows) * tile * um, (max(rows) + 1) * tile * um
    edge = width * um

    def touches(x, y, w, h):
        beside = x - w / 2 < right and x + w / 2 > left and y - h / 2 < bottom and y + h / 2 > top
        return beside or x - w / 2 < 0 or y - h / 2 < 0 or x + w / 2 > edge or y + h / 2 > edge

    assert [flag for *_, flag in cells] == [touches(*box) for *box, _ in cells]
    assert not any(left < x < right and top < y < bottom for x, y, *_ in cells)


def test_the_good_slides_have_the_cells_of_a_night_without_poison(poisoned, night):
    """R4."""
    _, home, _ = poisoned
    alone, inbox, _ = night
    with published(home) as database:
        cells = database.execute(
            "SELECT x_um, y_um, width_um, height_um, cell_class, confidence, detection_score, probabilities "
            "FROM cells WHERE slide_id IN (SELECT unnest(?)) ORDER BY ALL",
            [[id_of(path) for path in inbox.glob("*.svs")]],
        ).fetchall()
    assert len(cells) > 50
    assert cells == cells_of(alone)


def test_no_refused_slide_leaves_anything_under_home(poisoned):
    _, home, result = poisoned
    done = {row["slide_id"] for row in result["table"] if row["state"] == "done"}
    # A slide too coarse for the models is refused only after its ingest.
    coarse = {row["slide_id"] for row in result["table"] if row["reason"] == "MPP_OUT_OF_RANGE"}
    assert {store.name.removesuffix(".ome.zarr") for store in (home / "slides").iterdir()} == done | coarse
