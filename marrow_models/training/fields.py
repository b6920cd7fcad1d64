"""Fields of synthetic cells to train on, drawn once and kept: drawing costs more than a step of training."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrow_models.errors import UserError
from marrow_models.phantom.training import training_field

SIZE_PX = 512
UM_PER_PX = 0.25
"""Scale of the drawn fields: that of a phantom slide's level 0."""
_BLOCK = 50


@dataclass(frozen=True, slots=True)
class FieldSet:
    """N square fields and what is in them."""

    images: NDArray[np.uint8]
    """(N, size, size, 3), on disk."""
    boxes: tuple[NDArray[np.float32], ...]
    """N arrays (M, 4): left, top, right, bottom in pixels."""
    labels: tuple[tuple[str, ...], ...]
    ignored: tuple[NDArray[np.float32], ...]
    """N arrays (L, 4) of what is neither to be found nor to be held against a detector."""
    um_per_px: float

    def __len__(self) -> int:
        return len(self.images)


def make_fields(folder: Path, *, count: int, seed: int, processes: int = 1) -> FieldSet:
    """Draw ``count`` fields into ``folder``, or read those that are there.

    Field i depends on the seed, i and the code that draws it. Fields of another seed or of other code are drawn anew.
    """
    _keep_only(folder, {"seed": seed, "drawn_by": _drawing_digest()})
    jobs = [(folder, seed, start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    waiting = [job for job in jobs if _drawn(folder, job[2]) < job[3] - job[2]]
    if processes > 1:
        with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(_draw, waiting))
    else:
        list(map(_draw, waiting))
    return _read(folder, [job[2] for job in jobs], count)


def _keep_only(folder: Path, origin: dict[str, object]) -> None:
    """Empty ``folder`` unless what it holds is of this origin."""
    mark = folder / "origin.json"
    if mark.exists() and json.loads(mark.read_text(encoding="utf-8")) == origin:
        return
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise UserError(f"{folder} holds something else than drawn fields. Give an empty or a new folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.write_text(json.dumps(origin), encoding="utf-8")


def _drawing_digest() -> str:
    """SHA-256 of the package that draws: another code may draw other cells."""
    parts = sorted((p for p in files("marrow_models.phantom").iterdir() if p.is_file()), key=lambda part: part.name)
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def _drawn(folder: Path, start: int) -> int:
    """How many fields of a block are there."""
    truth = _block(folder, start).with_suffix(".json")
    return len(json.loads(truth.read_text(encoding="utf-8"))) if truth.exists() else 0


def _block(folder: Path, start: int) -> Path:
    return folder / f"fields-{start:06d}.npy"


def _draw(job: tuple[Path, int, int, int]) -> None:
    folder, seed, start, stop = job
    images = np.empty((stop - start, SIZE_PX, SIZE_PX, 3), np.uint8)
    truth = []
    for index in range(start, stop):
        field = training_field(np.random.default_rng([seed, index]), size_px=SIZE_PX, um_per_px=UM_PER_PX)
        images[index - start] = field.image
        truth.append({"boxes": field.boxes.tolist(), "labels": field.labels, "ignored": field.ignored.tolist()})
    np.save(_block(folder, start), images)
    # Written last: a block without it is drawn again.
    _block(folder, start).with_suffix(".json").write_text(json.dumps(truth), encoding="utf-8")


def _read(folder: Path, starts: list[int], count: int) -> FieldSet:
    truth = [
        field
        for start in starts
        for field in json.loads(_block(folder, start).with_suffix(".json").read_text(encoding="utf-8"))
    ][:count]
    images = np.concatenate([np.load(_block(folder, start), allow_pickle=False) for start in starts])[:count]
    return FieldSet(
        images,
        tuple(np.asarray(field["boxes"], np.float32).reshape(-1, 4) for field in truth),
        tuple(tuple(field["labels"]) for field in truth),
        tuple(np.asarray(field["ignored"], np.float32).reshape(-1, 4) for field in truth),
        UM_PER_PX,
    )
