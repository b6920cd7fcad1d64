"""Which reader knows which layout. A reader takes a folder (or an archive) and returns a :class:`DataSet`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from marrow_models.datasets import (
    acevedo,
    all_idb,
    aml_lmu,
    bccd,
    bmc,
    class_folder,
    cnmc,
    coco,
    lld,
    mll23,
    oi_pbc,
    pediatric,
    phantom,
    raabin,
    table,
    taleqani,
    txl_pbc,
    voc,
    yolo,
)
from marrow_models.datasets.options import ReadOptions
from marrow_models.datasets.records import DataSet
from marrow_models.errors import UserError

Reader = Callable[[Path, ReadOptions], DataSet]

READERS: dict[str, Reader] = {
    "acevedo": acevedo.read,
    "all_idb": all_idb.read,
    "aml_lmu": aml_lmu.read,
    "bccd": bccd.read,
    "bmc": bmc.read,
    "class_folder": class_folder.read,
    "cnmc": cnmc.read,
    "coco": coco.read,
    "csv": table.read,
    "lld": lld.read,
    "marrow_pediatric": pediatric.read,
    "mll23": mll23.read,
    "oi_pbc": oi_pbc.read,
    "pbc_cells": oi_pbc.read_cells,
    "phantom": phantom.read,
    "raabin": raabin.read,
    "taleqani": taleqani.read,
    "txl_pbc": txl_pbc.read,
    "voc": voc.read,
    "yolo": yolo.read,
}
"""Name of a layout, as in ``--data NAME=PATH``, to its reader."""


def read_data_set(name: str, path: Path, options: ReadOptions | None = None) -> DataSet:
    """Read the data set at ``path`` in the layout ``name``.

    UserError for a layout that is not known, a path that is not there, or a folder in another layout.
    """
    if name not in READERS:
        raise UserError(f"--data {name}: no such layout; known are {', '.join(sorted(READERS))}.")
    if not path.exists():
        raise UserError(f"--data {name}={path}: there is nothing at this path.")
    return READERS[name](path, options or ReadOptions())
