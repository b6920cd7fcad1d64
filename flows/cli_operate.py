"""The commands of whoever is on call: what is wrong with a slide, try it again, prove a result, back up, restore."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_base import EXIT_QUARANTINE, HomeOption, JsonOption, print_json, print_rows, print_run, stderr

quarantine_app = typer.Typer(help="Slides that could not be taken: list, show, release.", no_args_is_help=True)

MOST_SHOWN = 200
"""Differences that a table shows."""
SlideArgument = Annotated[str, typer.Argument(help="Id of the slide, or the beginning of it.", metavar="SLIDE")]


@quarantine_app.command("list")
def quarantine_list(home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """List the slides in quarantine. Code, cause, what to do, since when, attempts."""
    from flows.command_quarantine import quarantine_report

    report = quarantine_report(home.absolute())
    columns = ("slide_id", "reason", "detail", "cause", "next_step", "since", "attempts", "then")
    rows = [{name: _shown(row[name]) for name in columns} for row in report["slides"]]
    print_rows(rows, as_json, title=f"{len(rows)} slides in quarantine", whole=report)
    _say_source(report)


@quarantine_app.command("show")
def quarantine_show(slide: SlideArgument, home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Show one slide in quarantine."""
    from flows.command_quarantine import quarantine_of

    report = quarantine_of(home.absolute(), slide)
    told = {name: value for name, value in report.items() if name != "source"}
    _print_facts(told, as_json, title=f"Slide {report['slide_id']}", whole=report)
    _say_source(report)


@quarantine_app.command("release")
def quarantine_release(slide: SlideArgument, home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Let a slide out of quarantine: the next night tries it again."""
    from flows.command_quarantine import release

    report = release(home.absolute(), slide)
    _print_facts(report, as_json, title="Released: the next night tries it again", whole=report)


def retry(
    slides: Annotated[list[str], typer.Argument(help="Ids of slides, or their beginnings.", metavar="SLIDE...")],
    home: HomeOption = Path("home"),
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files; by default that of the settings.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="manifest.csv; by default the one in the inbox.")] = None,
    models: Annotated[str | None, typer.Option(help="Name or path of a model bundle.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Where the work runs, see `marrow run --help`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Release slides from quarantine and take them all the way now."""
    from flows.command_quarantine import whole_ids
    from flows.command_run import run_retry

    options: dict[str, Any] = {"inbox": inbox, "manifest": manifest, "models": models, "cluster": cluster}
    options = {name: value.absolute() if isinstance(value, Path) else value for name, value in options.items()}
    whole = whole_ids(home.absolute(), slides)
    print_run(run_retry(home.absolute(), whole, options, err=stderr), as_json)


def explain(slide: SlideArgument, home: HomeOption = Path("home"), as_json: JsonOption = False) -> None:
    """Tell the whole history of a slide. States, attempts, reasons, results, failed expectations, lost area."""
    from flows.command_quarantine import explain as explain_slide

    report = explain_slide(home.absolute(), slide)
    if as_json:
        print_json(report)
        return
    if report["slide"]:
        _print_facts(report["slide"], False, title=f"Slide {report['slide_id']}", whole=None)
    events = [
        {"run": e["run_id"], "attempt": e["attempt"], "state": e["state"], "at": _shown(e["at"])}
        | {"reason": e["reason"], "detail": e["detail"], "cause": e["cause"], "what to do": e["next_step"]}
        for e in report["events"]
    ]
    print_rows(events, False, title="What happened")
    results = [
        {"run": r["run_id"], "model": f"{r['model']} {r['model_version']}", "digest": r["model_digest"][:12]}
        | {"configuration": r["config_digest"][:12], "fields": r["fields"], "cells": r["cells"]}
        | {"counted": r["counted_cells"], "current": "yes" if r["is_current"] else ""}
        for r in report["results"]
    ]
    print_rows(results, False, title="Results")
    if report["failed_expectations"]:
        print_rows(report["failed_expectations"], False, title="Expectations that failed")
    _say_source(report)


def reasons(
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/reasons.md.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the table of reason codes. Cause, what to do, and whether the next night tries again."""
    from flows.command_quarantine import reasons_markdown, reasons_table

    if markdown:
        sys.stdout.write(reasons_markdown())
        return
    print_rows(reasons_table(), as_json, title="Reason codes")


def init(
    home: HomeOption = Path("home"),
    key_file: Annotated[Path | None, typer.Option(help="Where the key goes; by default under HOME/keys.")] = None,
    inbox: Annotated[Path | None, typer.Option(help="Folder of slide files, for marrow.toml.")] = None,
    rotate_key: Annotated[bool, typer.Option("--rotate-key", help="Give all patients new pseudonyms.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make folders, pseudonym key and marrow.toml of a HOME. What is there already is kept."""
    from flows.command_init import init_home
    from flows.command_init import rotate_key as rotate

    if rotate_key:
        report = rotate(home.absolute())
        rows = [{"pseudonyms": kind, "replaced": count} for kind, count in report["replaced"].items()]
        print_rows(rows, as_json, title="Replaced and published", whole=report)
        stderr.print(
            f"Back up the key file {report['key']}: it holds the old and the new key. Backups in {report['backups']} "
            "still hold the old pseudonyms; they are brought forward when they are restored.",
            markup=False,
        )
        return
    options = {"key_file": key_file and key_file.absolute(), "inbox": inbox and inbox.absolute()}
    print_rows(init_home(home.absolute(), **options), as_json, title=f"HOME {home}")


def backup(
    home: HomeOption = Path("home"),
    show: Annotated[bool, typer.Option("--list", help="List the backups; make none.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Restore one to a scratch folder and count it.")] = False,
    name: Annotated[str | None, typer.Option(help="Which one to verify; by default the last.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Back up the warehouse. The copy is restored to a scratch folder, checked and counted before it is kept."""
    from flows.command_backup import list_backups, make_backup, verify_backup

    if show:
        print_rows(list_backups(home.absolute()), as_json, title="Backups, oldest first")
        return
    report = verify_backup(home.absolute(), name) if verify else make_backup(home.absolute())
    what = "made" if report["made"] else "restored to a scratch folder and counted"
    _print_counts(report, as_json, title=f"{report['backup']}: {what}")


def restore(
    name: Annotated[str | None, typer.Argument(help="A backup of `marrow backup --list`; by default the last.")] = None,
    home: HomeOption = Path("home"),
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of the warehouse. The file that was there is kept. Then run `marrow publish`."""
    from flows.command_backup import restore_backup

    report = restore_backup(home.absolute(), name)
    _print_counts(report, as_json, title=f"{report['backup']} restored")
    if report["replaced"]:
        stderr.print(f"What was replaced is kept as {report['replaced']}", markup=False)
    stderr.print("Run `marrow publish` to show analysts what was restored.", markup=False)


def verify(
    run: Annotated[str, typer.Argument(help="Id of a run, the beginning of it, or `latest`.", metavar="RUN")],
    home: HomeOption = Path("home"),
    models: Annotated[list[str] | None, typer.Option(help="Folder of the run's models; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a past run again and show every row that differs. It reads the stored slides and writes nothing."""
    from flows.command_verify import verify_report

    with stderr.status("reading") as shown:
        report = verify_report(home.absolute(), run, models or [], progress=shown.update)
    told = f"{report['results']} results, {report['cells']} cells, {report['suggestions']} suggestions computed again"
    title = f"Run {report['run_id']}: {'identical' if report['identical'] else 'DIFFERENT'}"
    print_rows(report["differences"][:MOST_SHOWN], as_json, title=title, whole=report)
    if len(report["differences"]) > MOST_SHOWN:
        stderr.print(f"{len(report['differences']) - MOST_SHOWN} more differences: see --json.", markup=False)
    for line in (told, *report["notes"]):
        stderr.print(line, markup=False)
    _say_source(report)
    if not report["identical"]:
        raise typer.Exit(EXIT_QUARANTINE)


def _print_counts(report: dict[str, Any], as_json: bool, *, title: str) -> None:
    rows = [{"table": table, "rows": count} for table, count in report["rows"].items()]
    print_rows(rows, as_json, title=title, whole=report)


def _print_facts(facts: dict[str, Any], as_json: bool, *, title: str, whole: Any) -> None:
    """One thing, a row a fact."""
    print_rows([{"": name, " ": _shown(value)} for name, value in facts.items()], as_json, title=title, whole=whole)


def _shown(value: Any) -> Any:
    return f"{value:%Y-%m-%d %H:%M} UTC" if hasattr(value, "tzinfo") else value


def _say_source(report: dict[str, Any]) -> None:
    stderr.print(f"Read from {report['source']}.", markup=False)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.add_typer(quarantine_app, name="quarantine")
    for command in (init, retry, explain, reasons, verify, backup, restore):
        app.command()(command)
