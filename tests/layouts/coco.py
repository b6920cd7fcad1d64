"""COCO with one file a split; a crowd region, a box over the edge and one of zero size."""

from __future__ import annotations

import json
from pathlib import Path

from marrow_models.datasets.options import ReadOptions
from tests.layouts.drawing import write_picture, write_text

OPTIONS = ReadOptions(taxonomy="blood3", um_per_px=0.1)
WRONG = "annotations"


def write(folder: Path) -> Path:
    for split, first in (("train", 1), ("val", 7)):
        for name in ("a.jpg", "b.jpg"):
            write_picture(folder / "images" / split / name, seed=first)
        write_text(folder / "annotations" / f"instances_{split}.json", json.dumps(content(first)))
    write_text(folder / "annotations" / "info.json", '{"year": 2026}')
    return folder


def content(first: int = 1) -> dict[str, list[dict[str, object]]]:
    """Two pictures, b before a; three boxes, a crowd and a box without area."""
    images = [
        {"id": first + 1, "file_name": "b.jpg", "width": 64, "height": 48},
        {"id": first, "file_name": "a.jpg", "width": 64, "height": 48, "license": 1},
    ]
    annotations = [
        {"id": 1, "image_id": first, "category_id": 5, "bbox": [4, 5, 20, 21.5], "iscrowd": 0, "area": 430},
        {"id": 2, "image_id": first, "category_id": 2, "bbox": [40, 30, 30, 18], "iscrowd": 0},
        {"id": 3, "image_id": first, "category_id": 2, "bbox": [0, 0, 64, 10], "iscrowd": 1},
        {"id": 4, "image_id": first, "category_id": 2, "bbox": [7, 7, 0, 3]},
    ]
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 2, "name": "RBC"},
        {"id": 5, "name": "WBC"},
    ]
    return {"images": images, "annotations": annotations, "categories": categories}
