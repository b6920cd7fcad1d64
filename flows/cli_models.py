"""`marrow models`: bundles from elsewhere, checked before they are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli_base import HomeOption, JsonOption, print_rows, stderr

models_app = typer.Typer(help="Import and list model bundles.", no_args_is_help=True)


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
    """List the model bundles that a night can use. Both shipped and imported ones."""
    from flows.command_models import models_report

    print_rows(models_report(home.absolute()), as_json, title="Model bundles")
