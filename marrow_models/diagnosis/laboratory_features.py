"""What the laboratory model sees: the values on scales where they are even, and a few ratios that have a meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from marrow_models.diagnosis.laboratory_values import column

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN_FEATURES = (
    "age",
    "MCV",
    "MCHC",
    "PT",
    "fibrinogen",
    "log WBC",
    "log platelets",
    "log LDH",
    "log neutrophils",
    "log lymphocytes",
    "log monocytes",
    "neutrophil share",
    "lymphocyte share",
    "monocyte share",
    "share of other cells",
)
"""One a laboratory value, and the leucocytes that are none of the three kinds: in acute leukaemia mostly blasts."""

RATIO_FEATURES = (
    "log LDH per WBC",
    "log fibrinogen times platelets",
    "log other cells",
    "log LDH per other cell",
    "PT times fibrinogen",
)
"""High LDH at few cells speaks for ALL; low fibrinogen, PT and platelets together are the clotting of APL."""

FEATURES = (*PLAIN_FEATURES, *RATIO_FEATURES)

PT_CEILING_PERCENT = 100.0
"""Some laboratories report no more than this; what is above it says nothing."""

# Half of the last digit that a count is reported with, so that zero has a logarithm.
_HALF_DIGIT = {"cells": 0.05, "monocytes": 0.02, "platelets": 1.0}


def laboratory_features(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return FEATURES (N, 20) of checked values (N, 14); NaN where a value that is needed is missing.

    A missing percentage is computed from the absolute count, and the other way round.
    """
    wbc, platelets, ldh = (column(values, name) for name in ("WBC_G_L", "Platelets_G_L", "LDH_UI_L"))
    pt, fibrinogen = np.minimum(column(values, "PT_percent"), PT_CEILING_PERCENT), column(values, "Fibrinogen_g_L")
    neutrophils, lymphocytes, monocytes = (_kind(values, name, wbc) for name in ("ANC", "Lymphocytes", "Monocytes"))
    other = np.clip(100 - neutrophils[0] - lymphocytes[0] - monocytes[0], 0, 100)
    log_wbc, log_platelets, log_ldh = np.log(wbc), np.log(platelets + _HALF_DIGIT["platelets"]), np.log(ldh)
    log_other = np.log(wbc * other / 100 + _HALF_DIGIT["cells"])
    return np.column_stack(
        [
            column(values, "age"),
            column(values, "MCV_fL"),
            column(values, "MCHC_g_L"),
            pt,
            fibrinogen,
            log_wbc,
            log_platelets,
            log_ldh,
            np.log(neutrophils[1] + _HALF_DIGIT["cells"]),
            np.log(lymphocytes[1] + _HALF_DIGIT["cells"]),
            np.log(monocytes[1] + _HALF_DIGIT["monocytes"]),
            np.sqrt(neutrophils[0]),
            np.sqrt(lymphocytes[0]),
            np.sqrt(monocytes[0]),
            other,
            log_ldh - log_wbc,
            np.log(fibrinogen) + log_platelets,
            log_other,
            log_ldh - log_other,
            pt * fibrinogen / 100,
        ]
    )


def _kind(
    values: NDArray[np.float64], name: str, wbc: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (percent, G/L) of one kind of leucocytes, each completed from the other."""
    percent, count = column(values, f"{name}_percent"), column(values, f"{name}_G_L")
    computed = np.minimum(100 * count / wbc, 100)
    return np.where(np.isnan(percent), computed, percent), np.where(np.isnan(count), percent * wbc / 100, count)
