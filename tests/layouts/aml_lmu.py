"""AML-Cytomorphology_LMU: 15 class folders of .tiff with an alpha channel, and annotations.dat with re-annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from marrow_models.datasets.aml_lmu import CLASSES
from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import drawing, write_text

OPTIONS = ReadOptions()
WRONG = "MYB"

AGAIN = {"MYO/MYO_0001.tiff": "MYO MYB", "MYB/MYB_0002.tiff": "MYO NaN", "PMO/PMO_0001.tiff": "UNC PMB"}
"""Re-annotations; UNC is no class of the data set."""


def write(folder: Path) -> Path:
    lines = []
    for i, code in enumerate(CLASSES):
        for n in (1, 2):
            name = f"{code}/{code}_{n:04d}.tiff"
            path = folder / "AML-Cytomorphology" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = drawing(40, 40, seed=10 * i + n)
            alpha = np.full((40, 40, 1), 255, np.uint8)
            Image.fromarray(np.concatenate([pixels, alpha], axis=2)).save(path)
            lines.append(f"{name} {code} {AGAIN.get(name, 'NaN NaN')}")
    write_text(folder / "annotations.dat", "\n".join(lines) + "\n")
    write_text(folder / "abbreviations.txt", "BAS Basophil\n")
    return folder
