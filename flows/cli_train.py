"""`marrow train` and `marrow evaluate`: models from data sets, and their figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_base import stderr, stdout

train_app = typer.Typer(help="Train the networks and the diagnosis model of a bundle.", no_args_is_help=True)

DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="NAME=PATH of each data set of the recipe; repeat it.", metavar="NAME=PATH"),
]
OutOption = Annotated[Path, typer.Option(help="Folder of the new bundle.")]
WorkOption = Annotated[Path, typer.Option(help="Folder of pixels and checkpoints; training resumes from it.")]
ConfigOption = Annotated[str, typer.Option("--config", help="Name of a shipped recipe, or a TOML file.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
PrecisionOption = Annotated[str | None, typer.Option(help="float32 or bfloat16; by default as the recipe says.")]


@train_app.command("bundle")
def train_bundle(
    out: OutOption,
    work: WorkOption,
    config: ConfigOption = "phantom",
    data: DataOption = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic cells of the bundle phantom; a recipe has its own.")] = 1,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
) -> None:
    """Train a whole bundle. Detector, classifier and, for synthetic cells, the diagnosis model; figures and card."""
    if config == "phantom" and not data:
        _train_phantom(out, work, seed)
        return
    _train(("detector", "classifier"), config, data, out, work, device, precision)


@train_app.command("detector")
def train_detector(
    out: OutOption,
    work: WorkOption,
    config: ConfigOption,
    data: DataOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
) -> None:
    """Train the detector of a recipe. Its base lends the rest of the bundle."""
    _train(("detector",), config, data, out, work, device, precision)


@train_app.command("classifier")
def train_classifier(
    out: OutOption,
    work: WorkOption,
    config: ConfigOption,
    data: DataOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = None,
) -> None:
    """Train the classifier of a recipe, attributes included. Its base lends the rest of the bundle."""
    _train(("classifier",), config, data, out, work, device, precision)


@train_app.command("diagnosis")
def train_diagnosis(
    out: Annotated[Path, typer.Option(help="Folder of the models and figures, one folder a model.")],
    data: DataOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with a table of settings a model.")] = None,
) -> None:
    """Train models of tables. aipal (laboratory values), tcga_laml (marrow differential), phantom (counting errors)."""
    from flows.command_train_diagnosis import train_diagnosis as train

    stdout.print_json(data=train(data=data or [], config=config, out=out, err=stderr))


def evaluate(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Folder of the figures, tables and plots.")],
    models: Annotated[str, typer.Option(help="Name or path of a model bundle.")] = "phantom",
    config: Annotated[str | None, typer.Option("--config", help="Recipe that says how the data are read.")] = None,
    work: Annotated[Path, typer.Option(help="Folder that keeps pixels at the networks' scales.")] = Path("work"),
    part: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    only: Annotated[str, typer.Option(help="detector, classifier, or together for boxes with classes.")] = "classifier",
    scanner_um_per_px: Annotated[
        float | None,
        typer.Option(help="Average pictures to this pixel size first: a coarser scanner's. Classifier only."),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure a bundle on a part of data sets. Tables with intervals, plots, and how to make them again."""
    from flows.command_train import evaluate as measure

    figures = measure(
        models=models,
        config=config,
        data=data or [],
        work=work,
        out=out,
        part=part,
        what=only,
        device=device,
        scanner_um_per_px=scanner_um_per_px,
    )
    stdout.print_json(data=figures)
    stderr.print(f"Figures in {out}", markup=False)


def _train(
    roles: tuple[str, ...],
    config: str,
    data: list[str] | None,
    out: Path,
    work: Path,
    device: str,
    precision: str | None,
) -> None:
    from flows.command_train import train

    figures = train(
        roles, config=config, data=data or [], out=out, work=work, device=device, precision=precision, err=stderr
    )
    if figures:  # none in the other processes of a training with several
        stdout.print_json(data=figures)


def _train_phantom(out: Path, work: Path, seed: int) -> None:
    from marrow_models.training.loop import Step
    from marrow_models.training.recipe import Workshop, make_phantom_bundle

    def report(step: Step) -> None:
        stderr.print(f"step {step.number} of {step.steps}: loss {step.loss:.4f}", markup=False)

    workshop = Workshop(work, seed, processes=os.cpu_count() or 1)
    bundle, figures = make_phantom_bundle(out, workshop, progress=report)
    stdout.print_json(data=figures.as_json())
    stderr.print(f"Bundle {bundle.name} {bundle.version} in {out}, digest {bundle.digest[:12]}", markup=False)
