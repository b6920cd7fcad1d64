"""C-NMC 2019: folds by subject, a preliminary test set with a table, a final one without classes."""

from __future__ import annotations

from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions(um_per_px=0.1)
WRONG = "fold_1"

SUBJECTS = {"fold_0": ("1", "H2"), "fold_1": ("3", "H4"), "fold_2": ("5", "H6")}
PRELIM = (("UID_57_29_1_all.bmp", "1.bmp", 1), ("UID_H58_2_1_hem.bmp", "2.bmp", 0), ("UID_57_22_2_all.bmp", "3.bmp", 1))


def write(folder: Path) -> Path:
    root = folder / "PKG - C-NMC 2019"
    seed = 0
    for fold, subjects in SUBJECTS.items():
        for subject in subjects:
            label = "hem" if subject.startswith("H") else "all"
            for n in (1, 2, 3):
                seed += 1
                name = f"UID_{subject}_{n}_1_{label}.bmp"
                write_picture(root / "C-NMC_training_data" / fold / label / name, 30, 30, seed=seed)
    part = "C-NMC_test_prelim_phase_data"
    rows = ["Patient_ID,new_names,labels", *(f"{a},{b},{c}" for a, b, c in PRELIM)]
    write_text(root / part / f"{part}_labels.csv", "\n".join(rows) + "\n")
    for n in range(1, 4):
        write_picture(root / part / part / f"{n}.bmp", 30, 30, seed=100 + n)
    part = "C-NMC_test_final_phase_data"
    for n in (1, 2):
        write_picture(root / part / part / f"{n}.bmp", 30, 30, seed=200 + n)
    return folder
