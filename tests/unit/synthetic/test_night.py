"""Planning a night: what is refused, and what the truth says."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from marrow_models.errors import UserError
from marrow_models.phantom.film import TruthCell
from marrow_models.phantom.night import SlideScale, _letters, _sample_labels, make_phantom
from marrow_models.phantom.patients import Demography, sample_composition
from marrow_models.phantom.truth import PhantomSlide, summarise
from marrow_models.taxonomy import load_taxonomy

TINY = SlideScale(700, 640, cells=(6, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slide_format": "ndpi"}, "svs, dicom, ome-tiff"),
        ({"patients": 0}, "at least one patient"),
        ({"slides_per_patient": 0}, "one slide a patient"),
        ({"processes": 0}, "one process"),
        ({"seed": -1}, "Seed -1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    arguments = {"seed": 1, "patients": 1} | options
    with pytest.raises(UserError, match=message):
        make_phantom(tmp_path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "patient-42.svs").write_bytes(b"x")
    with pytest.raises(UserError, match=r"patient-42\.svs"):
        make_phantom(tmp_path, seed=1, patients=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["patient-42.svs"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make_phantom(tmp_path / "out", seed=1, patients=1)


def test_slides_of_a_patient_are_lettered() -> None:
    assert [_letters(number) for number in (0, 1, 25, 26, 27, 51, 52)] == ["a", "b", "z", "aa", "ab", "az", "ba"]


@pytest.mark.parametrize("diagnosis", ["normal", "CML"])
def test_the_cells_asked_for_are_those_that_count(diagnosis: str) -> None:
    rng = np.random.default_rng(1)
    taxonomy = load_taxonomy("marrow49")
    for _ in range(5):
        labels = _sample_labels(rng, sample_composition(rng, diagnosis), (40, 50))
        counted = sum(taxonomy.category_of(label) is not None for label in labels)
        assert 40 <= counted <= 50
        assert counted <= len(labels)


def test_slides_follow_the_composition_of_their_patient() -> None:
    rng = np.random.default_rng(2)
    labels = _sample_labels(rng, {"lymphocyte": 0.75, "monocyte": 0.25}, (2000, 2000))
    assert Counter(labels)["monocyte"] == pytest.approx(500, abs=100)


def cell(label: str, readable: bool = True) -> TruthCell:
    return TruthCell(label, 5, 5, (0, 0, 10, 10), readable)


def test_a_summary_counts_readable_cells_of_the_differential_of_the_own_slides() -> None:
    own = (cell("lymphocyte"), cell("monocyte"), cell("promonocyte"), cell("smudge_cell"), cell("lymphocyte", False))
    slides = [
        PhantomSlide("a", "P1", 0.25, own),
        PhantomSlide("b", "P1", 0.25, (cell("segmented_neutrophil"),)),
        PhantomSlide("c", "P2", 0.25, (cell("plasma_cell"),) * 9),
    ]
    patient = summarise("P1", "normal", Demography(3, "female"), slides)
    assert patient.cells == 4
    assert patient.percent["monocyte"] == 50
    assert patient.percent["lymphocyte"] == patient.percent["segmented_neutrophil"] == 25
    assert patient.percent["plasma_cell"] == 0
    assert sum(patient.percent.values()) == pytest.approx(100)


def test_a_patient_without_readable_cells_has_no_percentages() -> None:
    patient = summarise("P1", "normal", Demography(3, "female"), [])
    assert patient.cells == 0
    assert set(patient.percent.values()) == {0.0}


def test_a_night_can_be_written_again_over_itself(tmp_path: Path) -> None:
    first = make_phantom(tmp_path, seed=3, patients=1, slides_per_patient=1, scale=TINY)
    before = (tmp_path / first.slides[0].file).read_bytes()
    again = make_phantom(tmp_path, seed=3, patients=1, slides_per_patient=1, scale=TINY)
    assert (tmp_path / again.slides[0].file).read_bytes() == before
    with first.manifest.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 1
