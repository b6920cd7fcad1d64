"""A night's inbox of synthetic slides, with manifest and truth."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marrow_models.errors import UserError
from marrow_models.phantom.containers.dicom import write_dicom
from marrow_models.phantom.containers.identity import SlideIdentity
from marrow_models.phantom.containers.ome_tiff import write_ome_tiff
from marrow_models.phantom.containers.svs import write_svs
from marrow_models.phantom.containers.tiles import EncodedPyramid, encode_pyramid
from marrow_models.phantom.patients import PROFILES, Demography, sample_composition, sample_demography
from marrow_models.phantom.smear import SmearSpec, render_smear
from marrow_models.phantom.truth import MANIFEST, TAXONOMY, TRUTH, PhantomNight, PhantomSlide, summarise, write_tables
from marrow_models.taxonomy import load_taxonomy

_WRITERS: dict[str, tuple[str, Callable[[Path, EncodedPyramid, SlideIdentity], None]]] = {
    "svs": (".svs", write_svs),
    "dicom": ("", write_dicom),
    "ome-tiff": (".ome.tif", write_ome_tiff),
}
SLIDE_FORMATS = tuple(_WRITERS)
"""What ``slide_format`` may be."""


@dataclass(frozen=True, slots=True)
class SlideScale:
    """How large a phantom slide is and how many readable cells of the differential it holds."""

    width_px: int = 4096
    height_px: int = 4096
    um_per_px: float = 0.25
    cells: tuple[int, int] = (300, 330)
    """Least and most."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A patient before the slides are made."""

    patient_id: str
    diagnosis: str
    demography: Demography
    composition: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Job:
    """All that a process needs to make one slide."""

    path: Path
    file: str
    case: _Case
    identity: SlideIdentity
    seed: np.random.SeedSequence
    scale: SlideScale
    slide_format: str


def make_phantom(
    out: Path,
    *,
    seed: int,
    patients: int,
    slide_format: str = "svs",
    slides_per_patient: int = 2,
    processes: int = 1,
    canary: str | None = None,
    scale: SlideScale | None = None,
) -> PhantomNight:
    """Write slides, ``manifest.csv`` and ``truth/cells.csv`` and ``truth/patients.csv`` into the folder ``out``.

    Diagnoses go round: normal, ALL, AML, CML. The same seed gives the same bytes, whatever ``processes`` is.
    ``canary`` is a false identity planted in file names, descriptions, label pictures and DICOM attributes, so that a
    test can look for it where no identity may be. Raises ``UserError`` for arguments that make no sense and for a
    folder that holds other files.
    """
    if slide_format not in _WRITERS:
        raise UserError(f"Slide format {slide_format!r} is none of {', '.join(SLIDE_FORMATS)}.")
    if patients < 1 or slides_per_patient < 1 or processes < 1:
        raise UserError("A phantom needs at least one patient, one slide a patient and one process.")
    if not 0 <= seed < 2**63:
        raise UserError(f"Seed {seed} is not from 0 to 2**63 - 1.")
    cases, jobs = _plan(
        out, seed, patients, slide_format, slides_per_patient, canary, SlideScale() if scale is None else scale
    )
    _check_folder(out, jobs)
    (out / TRUTH).mkdir(parents=True, exist_ok=True)
    slides = tuple(_run(jobs, processes))
    night = PhantomNight(
        out, slides, tuple(summarise(case.patient_id, case.diagnosis, case.demography, slides) for case in cases)
    )
    write_tables(night)
    return night


def _plan(
    out: Path,
    seed: int,
    patients: int,
    slide_format: str,
    slides_per_patient: int,
    canary: str | None,
    scale: SlideScale,
) -> tuple[list[_Case], list[_Job]]:
    cases, jobs = [], []
    diagnoses = tuple(PROFILES)
    for index, patient_seed in enumerate(np.random.SeedSequence(seed).spawn(patients)):
        own, *slide_seeds = patient_seed.spawn(1 + slides_per_patient)
        rng = np.random.default_rng(own)
        diagnosis = diagnoses[index % len(diagnoses)]
        case = _Case(
            f"PHANTOM-{index + 1:04d}",
            diagnosis,
            sample_demography(rng, diagnosis),
            sample_composition(rng, diagnosis),
        )
        cases.append(case)
        for number, slide_seed in enumerate(slide_seeds):
            name = f"slide-{index + 1:04d}-{_letters(number)}"
            file = f"{_file_stem(canary)}{name}{_WRITERS[slide_format][0]}"
            identity = SlideIdentity(f"{seed}/{name}", case.patient_id, canary or case.patient_id, name)
            jobs.append(_Job(out / file, file, case, identity, slide_seed, scale, slide_format))
    return cases, jobs


def _letters(number: int) -> str:
    """Count a, b, ... z, aa, ab, ..."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _file_stem(canary: str | None) -> str:
    if canary is None:
        return ""
    return "".join(letter if letter.isalnum() else "_" for letter in canary) + "-"


def _check_folder(out: Path, jobs: Sequence[_Job]) -> None:
    """Refuse to mix with anything else: slides that no manifest lists would be somebody's."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; choose a folder for the phantom.")
    expected = {job.path.name for job in jobs} | {MANIFEST, TRUTH}
    foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in expected) if out.exists() else []
    if foreign:
        raise UserError(f"{out} holds other files ({foreign[0]}, ...); choose an empty folder for the phantom.")


def _run(jobs: Sequence[_Job], processes: int) -> Iterator[PhantomSlide]:
    if processes == 1 or len(jobs) == 1:
        yield from map(_make_slide, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        yield from pool.map(_make_slide, jobs)


def _make_slide(job: _Job) -> PhantomSlide:
    rng = np.random.default_rng(job.seed)
    spec = SmearSpec(
        _sample_labels(rng, job.case.composition, job.scale.cells),
        width_px=job.scale.width_px,
        height_px=job.scale.height_px,
        um_per_px=job.scale.um_per_px,
    )
    smear = render_smear(rng, spec)
    _, write = _WRITERS[job.slide_format]
    write(job.path, encode_pyramid(smear.image, smear.um_per_px), job.identity)
    return PhantomSlide(job.file, job.case.patient_id, smear.um_per_px, smear.cells)


def _sample_labels(
    rng: np.random.Generator, composition: Mapping[str, float], cells: tuple[int, int]
) -> tuple[str, ...]:
    """Labels drawn one by one until enough of them count in the differential."""
    taxonomy = load_taxonomy(TAXONOMY)
    wanted = int(rng.integers(cells[0], cells[1] + 1))
    labels = list(composition)
    share = np.array(list(composition.values()))
    counts = np.array([taxonomy.category_of(label) is not None for label in labels])
    drawn: list[int] = []
    counted = 0
    while counted < wanted:
        pick = int(rng.choice(len(labels), p=share / share.sum()))
        drawn.append(pick)
        counted += int(counts[pick])
    return tuple(labels[pick] for pick in drawn)
