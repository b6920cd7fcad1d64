"""What the diagnosis model sees of a differential: a fixed, named vector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from marrow_models.taxonomy import ICSH_CATEGORIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from marrow_models.diagnosis.differential import Differential

BLAST_LINEAGES = ("myeloid", "monocytic", "lymphoid", "unknown")
"""Lineages whose blasts are a feature of their own."""

LOG_ME = "log_me"

FEATURES = (*ICSH_CATEGORIES, *(f"{lineage}_blasts" for lineage in BLAST_LINEAGES), LOG_ME)
"""Percent of the cells counted for all but the last, which is the natural logarithm of M:E."""


def feature_vector(differential: Differential) -> NDArray[np.float64]:
    """Return FEATURES of a marrow differential, shape (len(FEATURES),), finite also without any erythroblast."""
    total = max(differential.total, 1)
    percents = [100 * differential.categories[name].count / total for name in ICSH_CATEGORIES]
    blasts = [100 * differential.blasts.by_lineage.get(lineage, 0) / total for lineage in BLAST_LINEAGES]
    # Half a cell on either side keeps the ratio finite (Haldane 1956) and hardly moves it elsewhere.
    log_me = math.log((differential.myeloid + 0.5) / (differential.erythroid + 0.5))
    return np.array([*percents, *blasts, log_me], dtype=np.float64)
