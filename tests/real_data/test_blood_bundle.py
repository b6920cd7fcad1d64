"""The bundle ``blood`` on the real blood slide: a whole night, its cells against the boxes that people drew."""

import csv
import shutil

import numpy as np
import pytest

from tests.end_to_end.nights import cells_of, run_night
from tests.real_data.test_real_slides import WSI

pytestmark = [
    pytest.mark.skipif(not WSI.is_dir(), reason="the real slide files are not beside the project"),
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]
UM_PER_PX = 0.078


@pytest.fixture(scope="module")
def blood_night(services, tmp_path_factory):
    """The cells of a night with every readable field counted."""
    root = tmp_path_factory.mktemp("blood")
    (root / "inbox").mkdir()
    shutil.copyfile(WSI / "blood-composite.svs", root / "inbox" / "blood-composite.svs")
    (root / "inbox" / "manifest.csv").write_text("file,patient_id,specimen\nblood-composite.svs,B1,blood\n")
    run_night(root / "inbox", root / "home", "--models", "blood", "--target-cells", "0")
    return cells_of(root / "home")


def true_white_cells():
    """(N, 4) boxes of the white cells, um."""
    with (WSI / "blood-composite.csv").open() as file:
        rows = [
            [float(row[k]) for k in ("x0", "y0", "x1", "y1")] for row in csv.DictReader(file) if row["cell"] == "WBC"
        ]
    return np.asarray(rows) * UM_PER_PX


def matched(cells, boxes):
    """How many boxes have a cell centre inside, each cell for one box only."""
    free = [cell[:2] for cell in cells]
    hits = 0
    for left, top, right, bottom in boxes:
        inside = next((at for at in free if left <= at[0] <= right and top <= at[1] <= bottom), None)
        if inside:
            free.remove(inside)
            hits += 1
    return hits


def test_the_white_cells_of_the_real_slide_are_found_and_nothing_else(blood_night):
    boxes = true_white_cells()
    hits = matched(blood_night, boxes)

    assert len(boxes) == 61
    assert hits / len(boxes) >= 0.95
    assert hits / len(blood_night) >= 0.95


def test_the_size_of_a_found_cell_is_that_of_its_box(blood_night):
    widths = [cell[2] for cell in blood_night]
    true = np.median(true_white_cells()[:, 2] - true_white_cells()[:, 0])

    assert np.median(widths) == pytest.approx(true, rel=0.15)
