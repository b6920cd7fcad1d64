"""What the validation suites look at, as pandas frames. Names and patient ids never get into a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from warehouse.integrity import faults
from warehouse.ledger import count_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from marrow_models.records import CellTable
    from warehouse.connection import Database
    from warehouse.manifest import Manifest


def manifest_frame(manifest: Manifest, pseudonym: Callable[[str], str]) -> pd.DataFrame:
    """The rows that were taken, ``file`` and ``patient_id`` as keyed hashes by ``pseudonym``."""
    return pd.DataFrame(
        {
            "file": pd.Series([pseudonym(row.file) for row in manifest.rows], dtype="str"),
            "patient_id": pd.Series([pseudonym(row.patient_id) for row in manifest.rows], dtype="str"),
            "specimen": pd.Series([row.specimen for row in manifest.rows], dtype="str"),
            "stain": pd.Series([row.stain for row in manifest.rows], dtype="str"),
            "age_years": pd.Series([row.age_years for row in manifest.rows], dtype="float64"),
            "sex": pd.Series([row.sex for row in manifest.rows], dtype="str"),
            "um_per_px": pd.Series([row.um_per_px for row in manifest.rows], dtype="float64"),
        }
    )


def cells_frame(cells: CellTable) -> pd.DataFrame:
    """The cells of a slide with the sum and the least of each cell's probabilities; one row a cell."""
    count = len(cells)
    probabilities = np.asarray(cells.probabilities, np.float64)
    return pd.DataFrame(
        {
            "cell_id": np.arange(count, dtype=np.int32),
            "field_id": cells.field_id,
            "x_um": cells.x_um,
            "y_um": cells.y_um,
            "width_um": cells.width_um,
            "height_um": cells.height_um,
            "cell_class": pd.Series(cells.cell_class if count else (), dtype="str"),
            "confidence": cells.confidence,
            "detection_score": cells.detection_score,
            "probability_sum": probabilities.sum(axis=1),
            "least_probability": probabilities.min(axis=1) if count else np.zeros(0),
        }
    )


def attributes_frame(cells: CellTable) -> pd.DataFrame:
    """The morphology of the cells, one row a cell and attribute; ``told`` is null for a value that it does not have."""
    columns = cells.attributes.items()
    told = [told_value(name, value) for name, column in columns for value in column.value]
    return pd.DataFrame(
        {
            "cell_id": np.concatenate([np.zeros(0, int), *(np.arange(len(column)) for _, column in columns)]),
            "attribute": pd.Series([name for name, column in columns for _ in range(len(column))], dtype="str"),
            "told": pd.Series(told, dtype="str"),
            "confidence": np.concatenate([np.zeros(0, np.float32), *(column.confidence for _, column in columns)]),
        }
    )


def attribute_parameters(values: Mapping[str, tuple[str, ...]], cells: int) -> dict[str, object]:
    """What the gate ``attributes`` needs besides the frame; ``values`` are the model's, ``cells`` are on the slide."""
    told = [told_value(name, value) for name, names in values.items() for value in names]
    return {"values": told, "rows": cells * len(values)}


def told_value(attribute: str, value: str | None) -> str | None:
    """An attribute with its value as one word, since the same word may be a value of one and not of another."""
    return None if value is None else f"{attribute}={value}"


def night_frame(database: Database, run_id: str) -> pd.DataFrame:
    """One row: how the slides of a run stand, and how far the warehouse's percentages are from 100 in sum."""
    counts = count_states(database, run_id)
    errors = database.rows("percent_errors")[0]
    return pd.DataFrame(
        [
            {
                "discovered": counts.discovered,
                "done": counts.done,
                "quarantined": counts.quarantined,
                "deferred": counts.deferred,
                "unaccounted": len(counts.unaccounted),
                "quarantined_share": counts.quarantined / counts.discovered if counts.discovered else 0.0,
                "worst_percent_error": errors["patients"],
                "worst_slide_percent_error": errors["slides"],
                "faults": len(faults(database)),
            }
        ]
    )
