"""Real bone-marrow cells, laid out as the release has them: read, told by class, and split."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from marrow_models.datasets import bmc
from marrow_models.datasets.images import read_image
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.splits import check_no_leak, split_pictures
from tests.layouts import bmc as layout

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "marrow_samples"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason="the real marrow cells are not beside the project"),
]


def block_of(number: int) -> str:
    first = (number - 1) // 1000 * 1000 + 1
    return f"{first:04d}-{first + 999:04d}"


@pytest.fixture
def data(tmp_path):
    """The release has every class; the few samples do not: drawings stand in for the rest."""
    path = layout.write(tmp_path)
    files = sorted(SAMPLES.glob("*.jpg"))
    for code in {file.name[:3] for file in files}:
        shutil.rmtree(path / "BM_cytomorphology_data" / code)
    for file in files:
        block = path / "BM_cytomorphology_data" / file.name[:3] / block_of(int(file.stem[4:]))
        block.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, block / file.name)
    return path


def test_real_cells_are_read_in_their_size_and_class(data):
    found = bmc.read(data, ReadOptions())
    real = [p for p in found.pictures if (SAMPLES / p.image.name).is_file()]
    assert Counter(p.cells[0].raw_label for p in real) == Counter(file.name[:3] for file in SAMPLES.glob("*.jpg"))
    for picture in real:
        assert read_image(picture.image).shape == (250, 250, 3)
        assert (picture.width_px, picture.height_px) == (250, 250)
        assert picture.cells[0].label == found.taxonomy.resolve(picture.image.name[:3])


def test_real_cells_can_be_split(data):
    split = split_pictures(bmc.read(data, ReadOptions()), seed=1, shares=(0.6, 0.2, 0.2))
    check_no_leak(split.train, [*split.val, *split.test])
    assert len(split.train) > len(split.val) > 0
