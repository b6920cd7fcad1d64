"""Training the detector.

Losses after "objects as points" (Zhou, Wang, Krahenbuhl 2019, arXiv:1904.07850): a focal loss on the centre maps with
less weight around true centres. The box is learned at every output cell near a centre, with an L1 loss and a
generalised-IoU loss (Rezatofighi et al. 2019, arXiv:1902.09630): at the centre alone a small data set says too little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from monai.losses.giou_loss import BoxGIoULoss
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from marrow_models.detection import BOX_UNIT_PX
from marrow_models.errors import UserError
from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX, HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.training.augment import Variety, varied_colours
from marrow_models.training.go_on import Beginning, detector_from
from marrow_models.training.loop import Effort, Run, Step, layout_of, share_of_batch
from marrow_models.training.pictures import MarkedPictures, rescaled
from marrow_models.training.stains import OtherStains, Stain, stain_of

GLASS = 255
LEAST_SEEN = 0.25
"""A cell of which a window shows less is neither to be found nor to be held against the network."""
DRAWN = Variety(turns=True)
"""For synthetic fields."""
LOOKS, LOOKED_AT_ONCE = 8, 16
"""Batches, and views in each, that tell what the layers of a network give which a training goes on from."""
_PRIOR_POSITIVES = 1.0
_NEAR_CENTRE = 0.3
"""Of the bump around a centre: from here on an output cell learns the box."""
_REACH = 1
"""Output cells around a centre that learn its box at most: offsets are read up to two cells away."""


@dataclass(frozen=True, slots=True)
class DetectorTraining:
    """How a detector is trained."""

    effort: Effort
    window_px: int = 256
    """Side of what the network sees at a time, a multiple of 8."""
    variety: Variety = DRAWN
    planes: tuple[int, ...] = (16, 32, 64)
    blocks: tuple[int, ...] = (2, 2)
    l1_weight: float = 1.0
    iou_weight: float = 0.0
    weight_digits: int = 2
    """Eight-bit digits of a weight in the bundle: 2, or 1 for up to twice the speed, where the figures stay."""
    continue_from: Beginning | None = None
    """The bundle from whose detector the training goes on."""
    other_stains: float = 0.0
    """Share of the views that are shown in the stains of the pictures whose use is ``colours``."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the network should say of one image; maps at the output's resolution."""

    centre: NDArray[np.float32]
    """(K, h, w): 1 at a centre, falling off as a Gaussian around it."""
    box: NDArray[np.float32]
    """(4, h, w): offset and size in the units of the network."""
    positive: NDArray[np.bool_]
    """(K, h, w): a centre lies in this output cell."""
    near: NDArray[np.float32]
    """(h, w): weight with which this output cell learns ``box``."""
    counted: NDArray[np.bool_]
    """(K, h, w): False where nothing is held for or against the network."""


def target_of(
    boxes: NDArray[np.float32],
    ignored: NDArray[np.float32],
    size_px: int,
    kinds: NDArray[np.int64] | None = None,
    kind_count: int = 1,
) -> Target:
    """The target of an image of ``size_px``; boxes (N, 4) left, top, right, bottom in its pixels."""
    cells = size_px // OUTPUT_STRIDE_PX
    centre = np.zeros((kind_count, cells, cells), np.float32)
    box = np.zeros((4, cells, cells), np.float32)
    positive = np.zeros((kind_count, cells, cells), bool)
    near = np.zeros((cells, cells), np.float32)
    counted = np.ones((kind_count, cells, cells), bool)
    rows, columns = np.mgrid[:cells, :cells].astype(np.float32)
    for left, top, right, bottom in ignored / OUTPUT_STRIDE_PX:
        counted[:, max(0, int(top)) : max(0, int(np.ceil(bottom))), max(0, int(left)) : max(0, int(np.ceil(right)))] = (
            False
        )
    names = np.zeros(len(boxes), np.int64) if kinds is None else kinds
    for (left, top, right, bottom), kind in zip(boxes / OUTPUT_STRIDE_PX, names, strict=True):
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        row, column = min(max(int(y), 0), cells - 1), min(max(int(x), 0), cells - 1)
        # A sixth of the box: at half of this distance a box still overlaps the true one by 0.7.
        sx, sy = max(width / 6, 0.6), max(height / 6, 0.6)
        bump = np.exp(-(((columns - column) / sx) ** 2 + ((rows - row) / sy) ** 2) / 2)
        centre[kind] = np.maximum(centre[kind], bump)
        positive[kind, row, column] = True
        counted[kind, row, column] = True
        close = (abs(rows - row) <= _REACH) & (abs(columns - column) <= _REACH) & (bump >= _NEAR_CENTRE) & (bump > near)
        near[close] = bump[close]
        unit = OUTPUT_STRIDE_PX / BOX_UNIT_PX
        box[0, close], box[1, close] = x - columns[close], y - rows[close]
        box[2, close], box[3, close] = width * unit, height * unit
    return Target(centre, box, positive, near, counted)


def train_detector(
    pictures: MarkedPictures,
    run: Run,
    training: DetectorTraining,
    *,
    kinds: int = 1,
    stains: Sequence[Stain] = (),
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
    validate: Callable[[HeatmapNet], float] | None = None,
) -> HeatmapNet:
    """Train on ``pictures``, shown in their own stains and in ``stains``; resumes from what ``run`` holds."""
    torch.manual_seed(seed)
    network = HeatmapNet(kinds, training.planes, training.blocks)
    views = Views(pictures, training, kinds, share_of_batch(training.effort.batch))
    if training.continue_from is not None and not run.began:
        few = replace(views, batch=min(views.batch, LOOKED_AT_ONCE))
        detector_from(training.continue_from, network, _looks(few, seed), pictures.um_per_px)
    device = torch.device(training.effort.device)
    layout = layout_of(network, device)
    restained = _other_stains(pictures, stains, training)

    def loss(shared: nn.Module, examples: dict[str, Tensor], rng: np.random.Generator) -> Tensor:
        parts = {name: part.to(device) for name, part in examples.items()}
        images = parts.pop("images").permute(0, 3, 1, 2).float()
        images = restained(images, parts.pop("pictures").tolist(), rng)
        images = varied_colours(images, training.variety, rng).contiguous(memory_format=layout)
        logits, predicted = shared(images / STEPS_PER_UNIT)
        return _loss(logits.float(), predicted.float(), parts, training)

    run.optimise(
        network,
        loss,
        training.effort,
        seed=seed,
        draw=views,
        progress=progress,
        validate=None if validate is None else (lambda: validate(network)),
    )
    return network


def _other_stains(
    pictures: MarkedPictures, stains: Sequence[Stain], training: DetectorTraining
) -> Callable[[Tensor, list[int], np.random.Generator], Tensor]:
    """Shows a share of the views of numbered pictures in ``stains``; UserError where no picture's own can be told."""
    if not training.other_stains:
        return lambda images, _, __: images
    own = [stain_of(np.asarray(image)) for image in pictures.images]
    if not any(own):
        raise UserError(
            "detector.training.other_stains: in none of the pictures to be learned, glass, red cells and nuclei can be "
            "told from each other by their colours. Leave other_stains out."
        )
    shown = OtherStains(stains, training.other_stains)
    return lambda images, numbers, rng: shown(images, [own[number] for number in numbers], rng)


def _looks(views: Views, seed: int) -> Iterator[Tensor]:
    """Some views in their own colours: batches (N, 3, H, W) in the units of a training."""
    for number in range(LOOKS):
        images = views(np.random.default_rng([seed, number]))["images"]
        yield images.permute(0, 3, 1, 2).float() / STEPS_PER_UNIT


@dataclass(frozen=True, slots=True)
class Views:
    """Draws a batch of views of ``pictures``."""

    pictures: MarkedPictures
    training: DetectorTraining
    kinds: int
    batch: int

    def __call__(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """``images`` (N, window, window, 3), ``pictures`` (N,), the numbers of those, and what :class:`Target` has."""
        chosen = rng.integers(len(self.pictures), size=self.batch)
        views = [view_of(self.pictures, int(index), self.training, self.kinds, rng) for index in chosen]
        images = torch.from_numpy(np.stack([image for image, _ in views]))
        targets = stacked([target for _, target in views])
        return {"images": images, "pictures": torch.from_numpy(chosen)} | targets


def stacked(targets: Sequence[Target]) -> dict[str, Tensor]:
    """Each part of the targets with their number as its first dimension."""
    names = [part.name for part in fields(Target)]
    return {name: torch.from_numpy(np.stack([getattr(target, name) for target in targets])) for name in names}


def view_of(
    pictures: MarkedPictures, index: int, training: DetectorTraining, kinds: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Target]:
    """A window of a picture, scaled, placed and turned by chance, and what the network should say of it."""
    size = training.window_px
    factor = float(np.exp(rng.normal(0, training.variety.log_scale))) if training.variety.log_scale else 1.0
    factor = 1.0 if training.variety.exact and rng.uniform() < training.variety.exact else factor
    image = np.asarray(pictures.images[index])
    if factor != 1.0:
        image = rescaled(image, 1 / factor)
    boxes, ignored = pictures.boxes[index] * np.float32(factor), pictures.ignored[index] * np.float32(factor)
    left, top = (_start(side, size, rng) for side in (image.shape[1], image.shape[0]))
    window = np.full((size, size, 3), GLASS, np.uint8)
    part = image[max(0, top) : top + size, max(0, left) : left + size]
    window[max(0, -top) : max(0, -top) + part.shape[0], max(0, -left) : max(0, -left) + part.shape[1]] = part
    shift = np.asarray([left, top, left, top], np.float32)
    boxes, names, cut = _seen(boxes - shift, pictures.kinds[index], size)
    flip_x, flip_y, swap = (bool(b) for b in rng.integers(2, size=3)) if training.variety.turns else (False,) * 3
    boxes, off = (
        _turned_boxes(part, size, flip_x=flip_x, flip_y=flip_y, swap=swap)
        for part in (boxes, np.concatenate([ignored - shift, cut]))
    )
    return _turned(window, flip_x=flip_x, flip_y=flip_y, swap=swap), target_of(boxes, off, size, names, kinds)


def focal_loss(logits: Tensor, centre: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CenterNet (alpha 2, beta 4), per true centre."""
    log_p, log_q = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    p = log_p.exp()
    hit = -(((1 - p) ** 2) * log_p)[positive].sum()
    miss = -((1 - centre) ** 4 * p**2 * log_q)[counted & ~positive].sum()
    return (hit + miss) / (positive.sum() + _PRIOR_POSITIVES)


def _loss(logits: Tensor, predicted: Tensor, targets: Mapping[str, Tensor], training: DetectorTraining) -> Tensor:
    near = targets["near"]
    chosen = near > 0
    weight = near[chosen]
    given, wanted = (boxes.permute(0, 2, 3, 1)[chosen] for boxes in (predicted, targets["box"]))
    total = focal_loss(logits, targets["centre"], targets["positive"], targets["counted"])
    norm = weight.sum() + _PRIOR_POSITIVES
    total = total + training.l1_weight * ((given - wanted).abs().sum(dim=1) * weight).sum() / norm
    if training.iou_weight and len(weight):
        overlap = BoxGIoULoss(reduction="none")(_corners(given), _corners(wanted))
        total = total + training.iou_weight * (overlap.flatten() * weight).sum() / norm
    return total


def _corners(boxes: Tensor) -> Tensor:
    """Offset and size in the network's units to corners in pixels, from the output cell."""
    x, y = boxes[:, 0] * OUTPUT_STRIDE_PX, boxes[:, 1] * OUTPUT_STRIDE_PX
    half_width, half_height = (boxes[:, i].clamp_min(0.02) * (BOX_UNIT_PX / 2) for i in (2, 3))
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=1)


def _start(side: int, size: int, rng: np.random.Generator) -> int:
    """Where a window begins: anywhere inside of a larger picture; a smaller one lies anywhere in the window."""
    low, high = sorted((0, side - size))
    return int(rng.integers(low, high + 1))


def _seen(
    boxes: NDArray[np.float32], kinds: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Boxes as a window shows them, their kinds, and what is left of those that it hardly shows."""
    clipped = boxes.clip(0, size)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    seen = left >= LEAST_SEEN * np.maximum(area, 1e-6)
    return clipped[seen], kinds[seen], clipped[~seen & (left > 0)]


def _turned(image: NDArray[np.uint8], *, flip_x: bool, flip_y: bool, swap: bool) -> NDArray[np.uint8]:
    image = image[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(image.transpose(1, 0, 2) if swap else image)


def _turned_boxes(
    boxes: NDArray[np.float32], size: int, *, flip_x: bool, flip_y: bool, swap: bool
) -> NDArray[np.float32]:
    left, top, right, bottom = boxes.T
    if flip_x:
        left, right = size - right, size - left
    if flip_y:
        top, bottom = size - bottom, size - top
    return np.stack([top, left, bottom, right] if swap else [left, top, right, bottom], axis=1)
