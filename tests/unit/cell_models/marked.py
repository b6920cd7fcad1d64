"""Pictures of drawn cells on disk, as a data set has them."""

import numpy as np
from PIL import Image

from marrow_models.datasets.records import ImageRef, MarkedCell, Picture

FIELD_UM = 40.0


def field_at(um_per_px, size_um=(FIELD_UM, FIELD_UM)):
    """The same smooth field of 40 um, seen with pixels of any size: uint8 (height, width, 3)."""
    width, height = (round(side / um_per_px) for side in size_um)
    y, x = (np.mgrid[:height, :width] + 0.5) * um_per_px
    image = np.stack([220 - 20 * np.sin(x / 3), 200 - 25 * np.cos(y / 4), 215 + 15 * np.sin((x + y) / 5)], axis=-1)
    cells = [((12, 15), 4, (90, 40, 120)), ((27, 24), 5, (120, 80, 150)), ((20, 33), 3, (60, 20, 100))]
    for (centre_x, centre_y), radius, colour in cells:
        inside = 1 / (1 + np.exp((np.hypot(x - centre_x, y - centre_y) - radius) / 0.3))
        image += inside[..., None] * (np.asarray(colour) - image)
    return image.clip(0, 255).round().astype(np.uint8)


def saved(path, pixels, cells=(), *, um_per_px=0.25, **more):
    """The picture of ``pixels``, written to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return Picture(ImageRef(path), pixels.shape[1], pixels.shape[0], um_per_px, tuple(cells), **more)


def cell(label="a", box=None, point=None, **more):
    return MarkedCell(label, label or "", box, point, **more)


def box_um(x, y, side, um_per_px):
    """A square box about a place, all in um, in pixels."""
    return tuple(edge / um_per_px for edge in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))
