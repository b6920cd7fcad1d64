"""The command line. Data goes to standard output, progress and messages to standard error.

Exit codes: 0 all done; 3 finished, with slides in quarantine; 1 the night failed; 2 wrong usage or settings;
128 + N the night was stopped by signal N and ended in order.
Heavy modules are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows import cli_operate
from flows.cli_base import (
    EXIT_FAILED,
    EXIT_USAGE,
    RESEARCH_USE,
    HomeOption,
    JsonOption,
    print_rows,
    print_run,
    stderr,
    stdout,
)
from flows.cli_models import models_app
from flows.cli_query import query
from flows.cli_train import evaluate, train_app
from marrow_models.errors import NightFailed, NightStopped, UserError

app = typer.Typer(
    help=f"Count the cells of bone-marrow slides at night. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: Rich for it takes a third of the time
    pretty_exceptions_enable=False,
)


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
    """Make and run a small night of synthetic slides. The result is shown next to the known truth."""
    from flows.demo import run_demo

    run_demo(home.absolute(), seed=seed, patients=patients, as_json=as_json, out=stdout, err=stderr)


@app.command()
def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 1,
    patients: Annotated[int, typer.Option(min=1)] = 4,
    slide_format: Annotated[str, typer.Option("--format", help="svs, dicom or ome-tiff.")] = "svs",
) -> None:
    """Write synthetic slides and their manifest.csv. The truth of every cell and patient is written beside them."""
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
    """Run a night now, from the inbox to the published warehouse."""
    from flows.command_run import dry_run_report, run_night

    options = {"inbox": inbox, "manifest": manifest, "models": models, "cluster": cluster, "target_cells": target_cells}
    absolute = {name: value.absolute() if isinstance(value, Path) else value for name, value in options.items()}
    if dry_run:
        report = dry_run_report(home.absolute(), absolute)
        print_rows(report, as_json, title="What the night would do")
        return
    print_run(run_night(home.absolute(), absolute, trigger="manual", err=stderr), as_json)


@app.command()
def status(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Show the latest run and the state of every slide."""
    from flows.command_status import status_report

    report = status_report(home.absolute())
    print_rows(report["slides"], as_json, title=report["title"], whole=report)


@app.command()
def check(
    home: HomeOption = Path("home"),
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check what a night needs before touching any slide. That is settings, folders, models, warehouse, cluster."""
    from flows.command_check import check_report

    rows = check_report(home.absolute(), inbox.absolute() if inbox else None)
    print_rows(rows, as_json, title="Checks")
    if not all(row["ok"] for row in rows):
        raise typer.Exit(EXIT_USAGE)


@app.command()
def publish(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Diagnose from what is loaded and publish it again. No slide is read."""
    from flows.command_run import run_publish

    result = run_publish(home.absolute(), err=stderr)
    print_rows(result.table, as_json, title=f"Run {result.run_id}: {result.state}", whole=result.as_dict())
    if result.failure:
        raise result.error()


@app.command()
def reconcile(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Close runs whose process is gone. Their slot in Prefect is freed, and a resume is asked for."""
    from flows.command_reconcile import reconcile_report

    print_rows(reconcile_report(home.absolute()), as_json, title="Put right")


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
    """Create work pool and nightly schedule on a Prefect server. The server is the one of PREFECT_API_URL."""
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
    """Run the nightly schedule in this process. It has a Prefect server of its own unless one is named."""
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


cli_operate.add_to(app)
app.add_typer(models_app, name="models")
app.command()(query)
app.add_typer(train_app, name="train")
app.command()(evaluate)


if __name__ == "__main__":
    main()
