"""The command line. Data goes to standard output, progress and messages to standard error.

Exit codes: 0 all done; 3 finished, with slides in quarantine; 1 the night failed; 2 wrong usage or settings;
128 + N the night was stopped by signal N and ended in order.
Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from marrow_models.errors import NightFailed, NightStopped, UserError

RESEARCH_USE = "For Research Use Only. Not for use in diagnostic procedures."
EXIT_QUARANTINE = 3
EXIT_FAILED = 1
EXIT_USAGE = 2

app = typer.Typer(
    help=f"Count the cells of bone-marrow slides at night. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
train_app = typer.Typer(help="Train the networks and the diagnosis model of a bundle.", no_args_is_help=True)
app.add_typer(train_app, name="train")
models_app = typer.Typer(help="Import and list model bundles.", no_args_is_help=True)
app.add_typer(models_app, name="models")

LINE_WIDTH = 200
"""Width of tables where there is no terminal to ask."""


def _console(*, to_stderr: bool) -> Console:
    console = Console(stderr=to_stderr, highlight=False, soft_wrap=True)
    return console if console.is_terminal else Console(stderr=to_stderr, highlight=False, width=LINE_WIDTH)


stdout = _console(to_stderr=False)
stderr = _console(to_stderr=True)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="MARROW_HOME", help="Folder of Marrow: slides, warehouse, published files.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def main() -> None:
    """Run the command line; the console script ``marrow``."""
    sys.exit(_run())


def _run() -> int:
    """The exit code. Errors are let go of before the interpreter ends, and with them what they hold open."""
    try:
        app()
    except SystemExit as end:
        return int(end.code or 0)
    except UserError as error:
        stderr.print(f"marrow: {error}", style="red", markup=False)
        return error.exit_code
    except NightFailed as error:
        stderr.print(f"marrow: the night failed: {error}", style="red", markup=False)
        return error.exit_code if isinstance(error, NightStopped) else EXIT_FAILED
    return 0


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Another seed makes other patients.")] = 1,
    home: HomeOption = Path("demo"),
    patients: Annotated[int, typer.Option(min=1, help="How many patients to invent.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Make a small night of synthetic slides with known truth, run it, and show the result next to the truth."""
    from flows.demo import run_demo

    run_demo(home.absolute(), seed=seed, patients=patients, as_json=as_json, out=stdout, err=stderr)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    patients: Annotated[int, typer.Option(min=1)] = 4,
    slide_format: Annotated[str, typer.Option("--format", help="svs, dicom or ome-tiff.")] = "svs",
) -> None:
    """Write synthetic slides, their manifest.csv and the truth of every cell and patient."""
    from marrow_models.phantom.night import SLIDE_FORMATS, make_phantom

    if slide_format not in SLIDE_FORMATS:
        raise UserError(f"--format {slide_format!r} is none of {', '.join(SLIDE_FORMATS)}.")
    with stderr.status("drawing slides"):
        night = make_phantom(
            out, seed=seed, patients=patients, slide_format=slide_format, processes=os.cpu_count() or 1
        )
    stderr.print(f"{len(night.slides)} slides of {patients} patients in {out}, truth in {out / 'truth'}")


@app.command()
def run(
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files.")] = None,
    home: HomeOption = Path("home"),
    manifest: Annotated[Path | None, typer.Option(help="manifest.csv; by default the one in the inbox.")] = None,
    models: Annotated[str | None, typer.Option(help="Name or path of a model bundle.")] = None,
    cluster: Annotated[
        str | None, typer.Option(help="local, local:N, cuda, slurm, kubernetes, tcp://..., tls://...")
    ] = None,
    target_cells: Annotated[int | None, typer.Option(min=0, help="Cells to count on a slide; 0 counts all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a night now: take the slides of the inbox through to the published warehouse."""
    from flows.command_run import dry_run_report, run_night

    options = {"inbox": inbox, "manifest": manifest, "models": models, "cluster": cluster, "target_cells": target_cells}
    absolute = {name: value.absolute() if isinstance(value, Path) else value for name, value in options.items()}
    if dry_run:
        report = dry_run_report(home.absolute(), absolute)
        _print(report, as_json, title="What the night would do")
        return
    result = run_night(home.absolute(), absolute, trigger="manual", err=stderr)
    _print(result.table, as_json, title=f"Run {result.run_id}: {result.state}", whole=result.as_dict())
    stderr.print(f"Published: {result.published}" if result.published else "Nothing was published.", markup=False)
    stderr.print(RESEARCH_USE)
    if result.failure:
        raise result.error()
    if result.quarantined:
        raise typer.Exit(EXIT_QUARANTINE)


@app.command()
def status(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Show the latest run and the state of every slide."""
    from flows.command_status import status_report

    report = status_report(home.absolute())
    _print(report["slides"], as_json, title=report["title"], whole=report)


@app.command()
def check(
    home: HomeOption = Path("home"),
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check settings, folders, models, warehouse and cluster before touching any slide."""
    from flows.command_check import check_report

    rows = check_report(home.absolute(), inbox.absolute() if inbox else None)
    _print(rows, as_json, title="Checks")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(EXIT_USAGE)


@app.command()
def publish(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Diagnose from what is loaded and publish it again; read no slide."""
    from flows.command_run import run_publish

    result = run_publish(home.absolute(), err=stderr)
    _print(result.table, as_json, title=f"Run {result.run_id}: {result.state}", whole=result.as_dict())
    if result.failure:
        raise result.error()


@app.command()
def reconcile(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Close runs whose process is gone, free their slot in Prefect, and ask for a resume."""
    from flows.command_reconcile import reconcile_report

    _print(reconcile_report(home.absolute()), as_json, title="Put right")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the published tables and views.")],
    home: HomeOption = Path("home"),
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the rows as CSV.")] = False,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest time.")] = 30.0,
    rows: Annotated[int, typer.Option(min=1, help="Most rows.")] = 10_000,
) -> None:
    """Answer a question in SQL to what is published, read-only and within limits."""
    from flows import command_query

    answer = command_query.query(home.absolute(), sql, seconds=seconds, rows=rows)
    if as_json or as_csv:
        (command_query.write_json if as_json else command_query.write_csv)(answer)
    else:
        _print(command_query.as_rows(answer), False, title=f"{len(answer.table)} rows")
    if answer.truncated:
        stderr.print(f"There are more than {rows} rows: raise --rows or ask for less.")


@models_app.command("import")
def models_import(
    archive: Annotated[Path, typer.Argument(help="ZIP file of a model bundle.", exists=True, dir_okay=False)],
    home: HomeOption = Path("home"),
) -> None:
    """Check a model bundle and install it under HOME/models."""
    from flows.command_models import import_models

    stderr.print(import_models(archive, home.absolute()), markup=False)


@models_app.command("list")
def models_list(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """List the model bundles that a night can use: shipped and imported."""
    from flows.command_models import models_report

    _print(models_report(home.absolute()), as_json, title="Model bundles")


@app.command()
def deploy(
    home: HomeOption = Path("home"),
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files.")] = None,
    models: Annotated[str | None, typer.Option(help="Name or path of a model bundle.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Where the work runs, see `marrow run --help`.")] = None,
    cron: Annotated[str | None, typer.Option(help="Another schedule than that of prefect.yaml.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Its time zone, such as Europe/Berlin.")] = None,
    prefect_file: Annotated[Path, typer.Option(help="The deployments.")] = Path("deployments/prefect.yaml"),
) -> None:
    """Create the work pool and the nightly schedule on the Prefect server of PREFECT_API_URL."""
    from flows.deploy import POOL
    from flows.deploy import deploy as create

    create(
        prefect_file=prefect_file,
        parameters=_run_parameters(home, inbox, models, cluster),
        cron=cron,
        timezone=timezone,
    )
    stderr.print(f"Deployed. Start a worker: prefect worker start --pool {POOL}")


@app.command()
def serve(
    home: HomeOption = Path("home"),
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files.")] = None,
    models: Annotated[str | None, typer.Option(help="Name or path of a model bundle.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Where the work runs, see `marrow run --help`.")] = None,
    cron: Annotated[str, typer.Option(help="When the night begins.")] = "30 1 * * *",
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "Europe/Berlin",
) -> None:
    """Run the nightly schedule in this process, with a Prefect server of its own unless one is named."""
    from flows.deploy import serve as run_schedule

    run_schedule(
        home.absolute(),
        parameters=_run_parameters(home, inbox, models, cluster),
        cron=cron,
        timezone=timezone,
        err=stderr,
    )


def _run_parameters(home: Path, inbox: Path | None, models: str | None, cluster: str | None) -> dict[str, str]:
    from flows.settings import load_settings

    load_settings(home=home, inbox=inbox, models=models, cluster=cluster)
    if models is not None and Path(models).is_dir():
        models = str(Path(models).absolute())
    given = {"home": home.absolute(), "inbox": inbox and inbox.absolute(), "models": models, "cluster": cluster}
    return {name: str(value) for name, value in given.items() if value is not None}


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
    """Train a whole bundle: detector, classifier and, for synthetic cells, the diagnosis model; figures and card."""
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
    """Train the detector of a recipe; its base lends the rest of the bundle."""
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
    """Train the classifier of a recipe, attributes included; its base lends the rest of the bundle."""
    _train(("classifier",), config, data, out, work, device, precision)


@train_app.command("diagnosis")
def train_diagnosis(
    out: Annotated[Path, typer.Option(help="Folder of the models and figures, one folder a model.")],
    data: DataOption = None,
    config: Annotated[Path | None, typer.Option("--config", help="TOML file with a table of settings a model.")] = None,
) -> None:
    """Train models of tables: aipal (laboratory values), tcga_laml (marrow differential), phantom (counting errors)."""
    from flows.command_train_diagnosis import train_diagnosis as train

    stdout.print_json(data=train(data=data or [], config=config, out=out, err=stderr))


@app.command()
def evaluate(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Folder of the figures, tables and plots.")],
    models: Annotated[str, typer.Option(help="Name or path of a model bundle.")] = "phantom",
    config: Annotated[str | None, typer.Option("--config", help="Recipe that says how the data are read.")] = None,
    work: Annotated[Path, typer.Option(help="Folder that keeps pixels at the networks' scales.")] = Path("work"),
    part: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    only: Annotated[str, typer.Option(help="detector, classifier, or together for boxes with classes.")] = "classifier",
    device: DeviceOption = "auto",
) -> None:
    """Measure a bundle on a part of data sets: tables with intervals, plots, and how to make them again."""
    from flows.command_train import evaluate as measure

    figures = measure(
        models=models, config=config, data=data or [], work=work, out=out, part=part, what=only, device=device
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


def _print(rows: list[dict[str, Any]], as_json: bool, *, title: str, whole: Any = None) -> None:
    """Rows as a table, or the whole result as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(rows if whole is None else whole, indent=2, default=str) + "\n")
        return
    table = Table(title=title)
    for column in rows[0] if rows else ():
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    stdout.print(table)


if __name__ == "__main__":
    main()
