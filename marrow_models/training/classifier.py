"""Training the classifier on crops around true cells: the class, and morphology attributes where they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from marrow_models.classification import CLASS_HEAD
from marrow_models.errors import UserError
from marrow_models.local_contrast import with_least_contrast
from marrow_models.networks.crop import CropNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.networks.lite import LiteCrops
from marrow_models.networks.pretrained import Pretrained, start_from
from marrow_models.networks.residual import ResNet50Crops
from marrow_models.training.augment import Variety, seen_coarser, varied_colours, varied_places
from marrow_models.training.crops import MISSING, CropSet, centre_crops
from marrow_models.training.go_on import Beginning, classifier_from
from marrow_models.training.loop import Effort, Run, Step, layout_of, share_of_batch
from marrow_models.training.stains import OtherStains, Stain, stain_of

ClassifierNetwork = CropNet | LiteCrops | ResNet50Crops
SHIFT_UM = 0.8
"""Standard deviation by which a detector's centre is off, in each direction."""
LOOKED_AT, LOOKED_AT_ONCE = 256, 32
"""Crops that tell what the layers of a network give which a training goes on from."""
DRAWN = Variety(shift_um=SHIFT_UM, turns=True, log_scale=0.03)
"""For synthetic cells."""


@dataclass(frozen=True, slots=True)
class ClassifierTraining:
    """How a classifier is trained."""

    effort: Effort
    variety: Variety = DRAWN
    network: str = "CropNet"
    """Or ``LiteCrops`` or ``ResNet50Crops``."""
    planes: tuple[int, ...] = (16, 32, 64, 128)
    """Of a CropNet: channels of its stages."""
    blocks: tuple[int, ...] = (2, 2, 2)
    """Of a CropNet: residual blocks of its stages."""
    label_smoothing: float = 0.02
    class_balance: float = 1.0
    """1: every class equally often; 0: as often as it occurs; between: in between."""
    attribute_weight: float = 1.0
    """Of the mean loss over the attributes, next to that of the class."""
    start: Pretrained | None = None
    """Published weights that a LiteCrops or a ResNet50Crops starts from."""
    weight_digits: int = 2
    """Eight-bit digits of a weight in the bundle: 2, or 1 for up to twice the speed, where the figures stay."""
    continue_from: Beginning | None = None
    """The bundle from whose classifier the training goes on."""
    other_stains: float = 0.0
    """Share of the views that are shown in the stains of the pictures whose use is ``colours``."""
    mixing: float = 0.0
    """Parameter of mixup's beta distribution (Zhang et al. 2018, arXiv:1710.09412); 0: none."""


NETWORKS: dict[str, Callable[[Mapping[str, int], ClassifierTraining], ClassifierNetwork]] = {
    "CropNet": lambda heads, training: CropNet(heads, training.planes, training.blocks),
    "LiteCrops": lambda heads, _: LiteCrops(heads),
    "ResNet50Crops": lambda heads, _: ResNet50Crops(heads),
}
"""Networks that can be trained, by name."""


def heads_of(crops: CropSet) -> dict[str, int]:
    """Outputs of each head that ``crops`` can teach."""
    return {CLASS_HEAD: len(crops.labels)} | {name: len(values) for name, values in crops.attribute_values.items()}


def train_classifier(
    crops: CropSet,
    run: Run,
    training: ClassifierTraining,
    *,
    least_contrast: float = 0.0,
    stains: Sequence[Stain] = (),
    seed: int = 0,
    progress: Callable[[Step], None] = lambda step: None,
    validate: Callable[[ClassifierNetwork], float] | None = None,
) -> ClassifierNetwork:
    """Train all heads on ``crops``, shown in their own stain and in ``stains``; resumes from what ``run`` holds.

    Views of less local contrast than ``least_contrast`` are sharpened up to it, as the classifier's crops will be.
    """
    torch.manual_seed(seed)
    network = NETWORKS[training.network](heads_of(crops), training)
    if training.start is not None and not isinstance(network, CropNet):
        start_from(network, training.start)
    if training.continue_from is not None and not run.began:
        outputs = {CLASS_HEAD: crops.labels} | dict(crops.attribute_values)
        classifier_from(
            training.continue_from, network, _looks(crops, least_contrast, seed), crops.shape.um_per_px, outputs
        )
    chances = _chances(crops.classes, training.class_balance)
    batch = share_of_batch(training.effort.batch)
    device = torch.device(training.effort.device)
    layout = layout_of(network, device)
    pixels = _on_device(crops.images, device)
    restained = _other_stains(crops, stains, training, seed)

    def loss(shared: nn.Module, _: None, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(len(crops), batch, p=chances))
        images = pixels(chosen).permute(0, 3, 1, 2).float()
        images = varied_places(images, crops.shape.crop_px, crops.shape.um_per_px, training.variety, rng)
        images = restained(images, rng)
        images = seen_coarser(images, crops.shape.um_per_px, training.variety, rng)
        images = with_least_contrast(varied_colours(images, training.variety, rng), least_contrast).float()
        targets = {name: target.to(device) for name, target in _targets(crops, chosen, training).items()}
        images, targets = _mixed(images, targets, training.mixing, rng)
        scores = shared(images.contiguous(memory_format=layout) / STEPS_PER_UNIT)
        return _loss(scores, targets, training.attribute_weight)

    looked = None if validate is None else (lambda: validate(network))
    run.optimise(network, loss, training.effort, seed=seed, progress=progress, validate=looked)
    return network


def _looks(crops: CropSet, least_contrast: float, seed: int) -> Iterator[Tensor]:
    """Some of the crops, neither turned nor varied: batches (N, 3, H, W) in the units of a training."""
    chosen = np.random.default_rng(seed).permutation(len(crops))[:LOOKED_AT]
    for part in np.array_split(np.sort(chosen), -(-len(chosen) // LOOKED_AT_ONCE)):
        images = torch.from_numpy(centre_crops(crops.take(part))).permute(0, 3, 1, 2)
        yield with_least_contrast(images, least_contrast).float() / STEPS_PER_UNIT


def _other_stains(
    crops: CropSet, stains: Sequence[Stain], training: ClassifierTraining, seed: int
) -> Callable[[Tensor, np.random.Generator], Tensor]:
    """Shows a share of the views in ``stains``; UserError where the crops' own stain cannot be told."""
    if not training.other_stains:
        return lambda images, _: images
    chosen = np.random.default_rng(seed).permutation(len(crops))[:LOOKED_AT]
    own = stain_of(centre_crops(crops.take(np.sort(chosen)))[:, ::2, ::2])
    if own is None:
        raise UserError(
            "classifier.training.other_stains: in the cells to be learned, glass, red cells and nuclei cannot be told "
            "from each other by their colours. Leave other_stains out."
        )
    shown = OtherStains(stains, training.other_stains)
    return lambda images, rng: shown(images, [own] * len(images), rng)


def _on_device(images: NDArray[np.uint8], device: torch.device) -> Callable[[NDArray[np.int64]], Tensor]:
    """Reads rows of ``images`` as a tensor on ``device``; a GPU whose memory is large enough holds all of them."""
    if device.type == "cuda" and images.nbytes <= torch.cuda.mem_get_info(device)[0] // 2:
        held = torch.from_numpy(np.array(images)).to(device)
        return lambda chosen: held[torch.from_numpy(chosen).to(device)]
    return lambda chosen: torch.from_numpy(np.ascontiguousarray(images[chosen])).to(device)


def _chances(classes: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """How likely each crop is drawn; those without a class as those of a class of their own."""
    _, member, counts = np.unique(classes, return_inverse=True, return_counts=True)
    weights = counts[member].astype(np.float64) ** -balance
    return np.asarray(weights / weights.sum(), np.float64)


def _targets(crops: CropSet, chosen: NDArray[np.int64], training: ClassifierTraining) -> dict[str, Tensor]:
    """Head to wanted probabilities (N, outputs); a row of zeros where nothing is known."""
    shares = _one_hot(crops.classes[chosen], len(crops.labels))
    if crops.votes is not None:
        voted = crops.votes[chosen]
        shares = np.where(voted.sum(axis=1, keepdims=True) > 0, voted, shares)
    targets = {CLASS_HEAD: shares}
    for name, values in crops.attributes.items():
        targets[name] = _one_hot(values[chosen], len(crops.attribute_values[name]))
    smooth = training.label_smoothing
    return {
        name: torch.from_numpy(t * (1 - smooth) + t.sum(axis=1, keepdims=True) * smooth / t.shape[1])
        for name, t in targets.items()
    }


def _one_hot(index: NDArray[np.int64], outputs: int) -> NDArray[np.float32]:
    rows = np.zeros((len(index), outputs), np.float32)
    known = index != MISSING
    rows[known, index[known]] = 1
    return rows


def _mixed(
    images: Tensor, targets: Mapping[str, Tensor], mixing: float, rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    if not mixing:
        return images, dict(targets)
    share = float(rng.beta(mixing, mixing))
    other = torch.from_numpy(rng.permutation(len(images))).to(images.device)
    mixed = {name: share * target + (1 - share) * target[other] for name, target in targets.items()}
    return (share * images + (1 - share) * images[other]).round(), mixed


def _loss(scores: Mapping[str, Tensor], targets: Mapping[str, Tensor], attribute_weight: float) -> Tensor:
    by_head = {name: _cross_entropy(scores[name].float(), target) for name, target in targets.items()}
    attributes = [value for name, value in by_head.items() if name != CLASS_HEAD]
    total = by_head[CLASS_HEAD]
    return total + attribute_weight * torch.stack(attributes).mean() if attributes else total


def _cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    """Mean over the rows of which something is known."""
    known = target.sum().clamp_min(1.0)
    return -(target * functional.log_softmax(scores, dim=1)).sum() / known
