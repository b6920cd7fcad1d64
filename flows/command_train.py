"""``marrow train`` and ``marrow evaluate``: a recipe and data sets in, a bundle or a folder of figures out."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from marrow_models.training.from_recipe import Workshop
    from marrow_models.training.loop import Effort, Step
    from marrow_models.training.recipe_file import RecipeFile

ROLES = ("detector", "classifier")
_DEVICE = re.compile(r"cpu|cuda(:(?P<number>\d+))?", re.ASCII)
_ABSOLUTE = re.compile(r"(^|=)/.*", re.DOTALL)


def parse_data(given: Sequence[str]) -> dict[str, Path]:
    """``NAME=PATH`` of each ``--data``; UserError for one without a name, a path, or with a name given twice."""
    paths: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UserError(f"--data {text!r}: give NAME=PATH, as in --data bccd=/data/BCCD.")
        if name in paths:
            raise UserError(f"--data {name} is given twice; a recipe names each of its data sets.")
        paths[name] = Path(path).absolute()
    return paths


def train(
    roles: Sequence[str],
    *,
    config: str,
    data: Sequence[str],
    out: Path,
    work: Path,
    device: str,
    precision: str | None,
    err: Console,
) -> dict[str, object]:
    """Train the networks ``roles`` of a recipe and write the bundle to ``out``; its main figures.

    Under ``torchrun`` every process trains on its share of each batch; the first one measures and writes, the others
    return nothing.
    """
    from marrow_models.training.make import make_bundle
    from marrow_models.training.processes import several_processes

    _check_out(out)
    with (
        several_processes(_device(device)) as (place, first),
        _workshop(roles, config, data, work, place, precision, err) as workshop,
    ):
        if not first:
            workshop.train_all()
            return {}
        bundle, figures = make_bundle(out, workshop, command=_command())
    for name, data_set in workshop.data_sets.items():
        for note in data_set.notes:
            err.print(f"{name}: {note}", markup=False)
    err.print(f"Bundle {bundle.name} {bundle.version} in {out}, digest {bundle.digest[:12]}", markup=False)
    return figures.in_short()


def evaluate(
    *,
    models: str,
    config: str | None,
    data: Sequence[str],
    work: Path,
    out: Path,
    part: str,
    what: str,
    device: str,
    scanner_um_per_px: float | None = None,
) -> dict[str, object]:
    """Measure a bundle on a part of data sets and write the figures to ``out``; the main ones."""
    from marrow_models.bundle import load_bundle
    from marrow_models.networks.loading import load_networks
    from marrow_models.training.judge import JUDGED, judging_workshop, measured_bundle
    from marrow_models.training.make import write_figures
    from marrow_models.training.recipe_file import load_recipe

    if what not in JUDGED:
        raise UserError(f"--only {what!r} is none of {', '.join(JUDGED)}.")
    if scanner_um_per_px is not None and (what != "classifier" or not scanner_um_per_px > 0):
        raise UserError("--scanner-um-per-px: a pixel size above 0, with --only classifier.")
    bundle = load_bundle(models)
    workshop = judging_workshop(bundle, load_recipe(config) if config else None, parse_data(data), work, what)
    workshop = replace(workshop, scanner_um_per_px=scanner_um_per_px)
    figures = measured_bundle(workshop, *load_networks(bundle, _device(device)), part, what)
    title = f"{bundle.name} {bundle.version} on {part}"
    title += f", seen at {scanner_um_per_px:g} um/px" if scanner_um_per_px else ""
    write_figures(out, title, workshop, figures, command=_command(), part=part)
    return figures.in_short()


@contextmanager
def _workshop(
    roles: Sequence[str], config: str, data: Sequence[str], work: Path, device: str, precision: str | None, err: Console
) -> Iterator[Workshop]:
    from marrow_models.training.from_recipe import Workshop
    from marrow_models.training.recipe_file import load_recipe

    recipe = _on(load_recipe(config), device, precision)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bars:
        task = bars.add_task("training", total=None)

        def report(step: Step) -> None:
            figure = "" if step.figure is None else f", validation {step.figure:.4f}"
            bars.update(task, total=step.steps, completed=step.number, description=f"loss {step.loss:.4f}{figure}")
            if not err.is_terminal:
                err.print(f"step {step.number} of {step.steps}: loss {step.loss:.4f}{figure}", markup=False)

        yield Workshop(recipe, parse_data(data), work, tuple(roles), report)


def _on(recipe: RecipeFile, device: str, precision: str | None) -> RecipeFile:
    """The recipe with its trainings on a device."""
    from marrow_models.training.loop import PRECISIONS

    if precision is not None and precision not in PRECISIONS:
        raise UserError(f"--precision {precision!r} is none of {', '.join(PRECISIONS)}.")

    def placed(effort: Effort) -> Effort:
        return replace(effort, device=device, precision=precision or effort.precision)

    for role in ROLES:
        part = getattr(recipe, role)
        if part is not None:
            training = replace(part.training, effort=placed(part.training.effort))
            recipe = replace(recipe, **{role: replace(part, training=training)})
    return recipe


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    found = _DEVICE.fullmatch(name)
    if found is None:
        raise UserError(f"--device {name!r} is none of auto, cpu, cuda, cuda:N.")
    if name != "cpu" and not torch.cuda.is_available():
        raise UserError(f"--device {name}: PyTorch sees no GPU here. Install its CUDA build: make install TORCH=cuda.")
    if int(found["number"] or 0) >= max(1, torch.cuda.device_count()):
        raise UserError(f"--device {name}: there are {torch.cuda.device_count()} GPUs, counted from 0.")
    return name


def _check_out(out: Path) -> None:
    """UserError where a bundle would take the place of something else, before anything is trained."""
    from marrow_models.bundle import METADATA

    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a folder for the bundle.")
    if out.is_dir() and any(out.iterdir()) and not (out / METADATA).is_file():
        raise UserError(f"--out {out}: holds something else than a bundle. Give an empty or a new folder.")


def _command() -> str:
    """What was typed, with the paths of data and results left out: they are this machine's."""
    words = [_ABSOLUTE.sub(r"\1PATH", word) for word in sys.argv[1:]]
    return shlex.join([Path(sys.argv[0]).name, *words])
