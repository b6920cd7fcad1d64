"""How a classifier misnames cells: its confusion matrix as published, made into shares that can be simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.errors import UserError
from marrow_models.strict_json import Members, read_object
from marrow_models.taxonomy import Taxonomy, load_taxonomy

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES = ("labels", "categories")
_LARGEST_COUNT = 10**9


@dataclass(frozen=True, slots=True)
class Confusion:
    """Cells by true (row) and given (column) name. A name is an ICSH category, or the label of a class without one."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    """(C, C)"""

    def shares(self, pseudo_count: float) -> NDArray[np.float64]:
        """Return P(given column | truly row), (C, C): the mean of a Dirichlet with ``pseudo_count`` added to each cell.

        A row of few cells is thus never taken for free of errors.
        """
        if not pseudo_count > 0:
            raise UserError(f"the pseudo-count must be above 0, not {pseudo_count}.")
        raised = self.counts + pseudo_count
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def read_confusion(path: Path) -> Confusion:
    """Return the confusion in a JSON file that an evaluation wrote, or in a bundle's ``metadata.json``."""
    content = read_object(path)
    figures = content.get("eval_metrics", content)
    return parse_confusion(figures, path.name)


def parse_confusion(content: object, where: str) -> Confusion:
    """Return the confusion in ``{"labels" or "categories": [...], "confusion": [[...]], "taxonomy": NAME or none}``.

    With a taxonomy the names are its labels: they become ICSH categories, and classes of one category one row.
    Other members are not looked at. UserError, opening with ``where``, for anything else.
    """
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected an object with {' or '.join(_NAMES)} and confusion.")
    key = next((name for name in _NAMES if name in content), "")
    if not key or "confusion" not in content:
        raise UserError(f"{where}: expected {' or '.join(_NAMES)} and confusion, found {', '.join(content) or 'none'}.")
    members = Members(
        {"names": content[key], "confusion": content["confusion"]}, where, required=("names", "confusion")
    )
    names = members.texts("names")
    if len(set(names)) != len(names) or len(names) < 2:
        raise UserError(f"{where}: {key} must be two or more different names.")
    counts = _counts(members.items("confusion"), len(names), where)
    taxonomy = content.get("taxonomy")
    if taxonomy is None:
        return Confusion(names, counts)
    return _merged(names, counts, load_taxonomy(str(taxonomy)))


def group_of(label: str, taxonomy: Taxonomy) -> str:
    """Return the name under which an evaluation counts a label: its category, or itself where it has none."""
    return taxonomy.category_of(label) or label


def _counts(rows: list[object], size: int, where: str) -> NDArray[np.int64]:
    whole = all(
        isinstance(row, list)
        and len(row) == size
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _LARGEST_COUNT for n in row)
        for row in rows
    )
    if len(rows) != size or not whole:
        raise UserError(f"{where}: confusion must be {size} rows of {size} whole numbers of cells.")
    return np.array(rows, dtype=np.int64)


def _merged(names: tuple[str, ...], counts: NDArray[np.int64], taxonomy: Taxonomy) -> Confusion:
    groups = [group_of(name, taxonomy) for name in names]
    kept = tuple(dict.fromkeys(groups))
    into = np.array([[group == name for name in kept] for group in groups], dtype=np.int64)
    return Confusion(kept, into.T @ counts @ into)


def as_json(confusion: Confusion) -> Mapping[str, object]:
    """Return the confusion in the form that :func:`parse_confusion` reads."""
    return {"categories": list(confusion.names), "confusion": confusion.counts.tolist()}
