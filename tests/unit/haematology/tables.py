"""Small tables in the layouts of AIPAL and TCGA-LAML, with patients that can be told apart, defects on demand."""

import csv

import numpy as np

from marrow_models.datasets.tcga_laml import CELLS, FAB, OTHER_BLASTS, PATIENT
from marrow_models.diagnosis.laboratory_values import NAMES

TYPICAL = {  # age, WBC, MCV, MCHC, shares of neutrophils, lymphocytes, monocytes, then platelets, PT, fibrinogen, LDH
    "ALL": (25, 12, 85, 342, 15, 45, 1, 50, 88, 3.6, 800),
    "AML": (66, 14, 97, 338, 16, 20, 12, 70, 76, 4.4, 400),
    "APL": (50, 3, 88, 352, 15, 30, 1, 28, 60, 1.4, 330),
}
COLUMNS = ("Response", *NAMES)


def laboratory_rows(rng, per_response=14, responses=tuple(TYPICAL)):
    """Rows of patients as dicts of texts: values of the response, each varied by about a fifth."""
    rows = []
    for response in responses:
        for _ in range(per_response):
            age, wbc, mcv, mchc, anc, lym, mono, plt, pt, fib, ldh = TYPICAL[response] * np.exp(
                rng.normal(0, [0.3, 0.8, 0.05, 0.02, 0.3, 0.3, 0.5, 0.5, 0.1, 0.2, 0.3])
            )
            values = (min(age, 95), wbc, mcv, mchc, anc, anc * wbc / 100, lym, lym * wbc / 100, mono, mono * wbc / 100)
            values = (*values, plt, min(pt, 100), fib, ldh)
            rows.append(dict(zip(COLUMNS, (response, *(f"{v:.4g}" for v in values)), strict=True)))
    return rows


def write_csv(path, rows, columns=None):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_hospitals(folder, names=("north", "south", "west"), per_response=14, seed=5):
    """A folder of ``aipal_HOSPITAL.csv``, different patients in each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        write_csv(folder / f"aipal_{name}.csv", laboratory_rows(np.random.default_rng(seed + i), per_response))
    return folder


def fab_row(rng, patient, fab, total=100.0):
    """One row in the layout of TCGA: M3 has promyelocytes, M4 and M5 have monocytes; percentages add up to total."""
    weights = dict.fromkeys(CELLS, 0.5) | {"blast": 40, "lymphocyte": 20, "segmented_neutrophil": 12}
    weights |= {"promyelocyte": 45} if fab == "m3" else {}
    weights |= {"monocyte": 22, "myelocyte": 6} if fab == "m4" else {}
    weights |= {"monocyte": 45, "promonocyte": 12} if fab == "m5" else {}
    drawn = rng.dirichlet(0.4 * np.array(list(weights.values())) + 0.1) * total
    row = {CELLS[cell]: f"{value:.2f}" for cell, value in zip(weights, drawn, strict=True)}
    row |= {PATIENT: patient, OTHER_BLASTS: f"{float(row[CELLS['blast']]):.0f}", "gender": "female"}
    return row | {FAB: "m0 undifferentiated" if fab == "m0" else fab}


def fab_table(per_class=12, seed=2):
    rng = np.random.default_rng(seed)
    classes = ("m0", "m1", "m2", "m3", "m4", "m5")
    return [fab_row(rng, f"tcga-ab-{1000 + i}", classes[i % 6]) for i in range(6 * per_class)]
