"""The shipped networks with morphology heads beside the class: same cells and classes, and something to tell of each.

The heads' weights are rows of the class head, so they are on its lattice and say different things of different cells.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from marrow_models.bundle import CLASSIFIER, INFERENCE, METADATA, SHIPPED, Bundle, load_bundle

VALUES = {"cell_size": ("small", "medium", "large"), "granule_colour": ("nil", "pink", "purple", "light red")}


def attribute_bundle(folder: Path, values: dict[str, tuple[str, ...]] | None = None) -> Bundle:
    """A copy of the bundle ``phantom`` in ``folder`` whose classifier tells ``values``."""
    values = VALUES if values is None else values
    shutil.copytree(SHIPPED / "phantom", folder)
    tensors, first = load((folder / CLASSIFIER).read_bytes()), 0
    for name, names in values.items():
        rows = slice(first, first + len(names))
        for part in ("weight", "bias"):
            tensors[f"heads.{name}.{part}"] = np.ascontiguousarray(tensors[f"heads.cell_class.{part}"][rows])
        first += len(names)
    (folder / CLASSIFIER).write_bytes(save(tensors))
    networks = json.loads((folder / INFERENCE).read_bytes())
    networks["classifier"]["heads"] |= {name: len(names) for name, names in values.items()}
    (folder / INFERENCE).write_text(json.dumps(networks))
    metadata = json.loads((folder / METADATA).read_bytes())
    metadata["name"] = "phantom-attributes"
    metadata["marrow"]["classifier"]["attributes"] = values
    for name in (CLASSIFIER, INFERENCE):
        metadata["marrow"]["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / METADATA).write_text(json.dumps(metadata))
    return load_bundle(folder.resolve())
