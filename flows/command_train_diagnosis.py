"""``marrow train diagnosis``: models of tables, not of pictures, each measured before it is kept."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from flows.command_train import parse_data
from marrow_models.errors import UserError

PHANTOM = "phantom"


def train_diagnosis(*, data: Sequence[str], config: Path | None, out: Path, err: Console) -> dict[str, object]:
    """Measure and train each model that is asked for into a folder of ``out``; their figures.

    ``data`` names a table by what it is (``aipal=FOLDER``, ``tcga_laml=FILE``); ``phantom=FILE`` is the confusion of a
    classifier, or a bundle's ``configs/metadata.json``: patients are simulated and counted with these errors.
    """
    paths = parse_data(data)
    if not paths:
        raise UserError(f"Give --data NAME=PATH, one or more of {', '.join(TRAININGS)}.")
    settings = _settings(config)
    for name in [*paths, *settings]:
        if name not in TRAININGS:
            raise UserError(f"{name!r} is none of {', '.join(TRAININGS)}.")
    figures: dict[str, object] = {}
    for name, path in paths.items():
        if not path.exists():
            raise UserError(f"--data {name}={path}: there is nothing at this path.")
        table, figures[name] = TRAININGS[name](path, out / name, settings.get(name, {}))
        err.print(f"{name}\n{table}\n", markup=False)
    (out / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def _aipal(path: Path, folder: Path, settings: Mapping[str, Any]) -> tuple[str, object]:
    from marrow_models.diagnosis.laboratory_training import LaboratorySettings, train_laboratory

    report = train_laboratory(path, folder, _told(LaboratorySettings, settings, "aipal"))
    hospitals = {name: own.as_json() for name, own in report.figures.items()}
    return report.table(), {
        "hospitals": hospitals,
        "pooled_auc": {name: area.as_json() for name, area in report.pooled.items()},
        "notes": list(report.notes),
    }


def _tcga_laml(path: Path, folder: Path, settings: Mapping[str, Any]) -> tuple[str, object]:
    from marrow_models.diagnosis.fab_differential import FabSettings, train_fab

    report = train_fab(path, folder, _told(FabSettings, settings, "tcga_laml"))
    return report.table(), {
        "auc": {task: area.as_json() for task, area in report.auc.items()},
        "one_kind_of_cell": {task: area.as_json() for task, area in report.single.items()},
        "patients": report.patients,
        "notes": list(report.notes),
    }


def _phantom(path: Path, folder: Path, settings: Mapping[str, Any]) -> tuple[str, object]:
    from marrow_models.diagnosis.counting_error import CountingSettings, train_on_predicted_counts
    from marrow_models.diagnosis.counting_matrix import read_confusion
    from marrow_models.diagnosis.counting_simulation import CountingError

    assumed = {"missed", "false_positives", "lineage_kept", "uncovered_kept", "pseudo_count", "slide_concentration"}
    own = {key: value for key, value in settings.items() if key not in assumed}
    error = {key: value for key, value in settings.items() if key in assumed}
    for name in ("missed", "false_positives", "lineage_kept"):
        if name not in error:
            raise UserError(f"[phantom] in --config must say {name}: how the simulated cells are miscounted.")
    counting = CountingError(read_confusion(path), **{"uncovered_kept": None} | error)
    report = train_on_predicted_counts(folder, counting, _told(CountingSettings, own, "phantom"))
    conditions = {name: figures.as_json() for name, figures in report.figures.items()}
    return report.table(), {"counting_error": counting.as_json(), "conditions": conditions}


TRAININGS: dict[str, Callable[[Path, Path, Mapping[str, Any]], tuple[str, object]]] = {
    "aipal": _aipal,
    "tcga_laml": _tcga_laml,
    PHANTOM: _phantom,
}
"""Name of a table to how its model is measured, trained and written."""


def _settings(config: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of a TOML file, one a training."""
    if config is None:
        return {}
    try:
        content = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"--config {config}: there is no such file.") from None
    except ValueError as error:
        raise UserError(f"{config.name}: not a TOML file ({error}). Correct it.") from None
    alone = next((key for key, value in content.items() if not isinstance(value, dict)), None)
    if alone:
        raise UserError(f"{config.name}: {alone!r} belongs into a table, one of {', '.join(TRAININGS)}.")
    return content


def _told(kind: Any, settings: Mapping[str, Any], where: str) -> Any:
    """The settings of a training; UserError for a key or a value that cannot be."""
    known = set(kind.__dataclass_fields__) - {"grid"}
    unknown = sorted(set(settings) - known)
    if unknown:
        raise UserError(f"[{where}] in --config: {unknown[0]!r} is not known; known are {', '.join(sorted(known))}.")
    for name, value in settings.items():
        try:
            TypeAdapter(int if name != "units" else dict[str, dict[str, str]]).validate_python(value, strict=True)
        except ValidationError as error:
            raise UserError(f"[{where}] in --config: {name}: {error.errors()[0]['msg']}.") from None
    return kind(**settings)
