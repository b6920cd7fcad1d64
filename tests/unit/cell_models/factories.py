"""Small networks with fixed random weights, pictures to look at, and bundles made of them.

Networks that were never trained see cells everywhere and boxes of all sizes: harder for the rules under test than
trained ones.
"""

from functools import cache

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from marrow_models.model_settings import ClassifierSettings, DetectorSettings, SurveySettings
from marrow_models.networks.crop import CropNet
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import STEPS_PER_UNIT
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.assemble import assemble_bundle

LABELS = ("neutrophil", "lymphocyte", "monocyte")
PLANES, BLOCKS = (4, 8, 12), (1, 1)
DETECTOR = DetectorSettings(um_per_px=0.5, score_threshold=0.4, largest_um=30.0, duplicate_um=8.0)
CLASSIFIER = ClassifierSettings(um_per_px=0.25, crop_px=32, labels=LABELS, temperature=1.3)
SURVEY = SurveySettings(
    um_per_px=1.0, field_um=64.0, nucleus_um2=50.0, nucleus_density=0.3, largest_dark_share=0.35, least_sharpness=0.2
)
DETECTOR_DEFINITION = {
    "_target_": "marrow_models.networks.heatmap.HeatmapNet",
    "kinds": 1,
    "planes": list(PLANES),
    "blocks": list(BLOCKS),
}
CLASSIFIER_DEFINITION = {
    "_target_": "marrow_models.networks.crop.CropNet",
    "heads": {"cell_class": len(LABELS)},
    "planes": [4, 8, 8],
    "blocks": [1, 1],
}


@cache
def heatmap_net(seed=0, kinds=1):
    torch.manual_seed(seed)
    network = HeatmapNet(kinds, planes=PLANES, blocks=BLOCKS)
    nn.init.normal_(network.centre.weight, std=1.0)
    nn.init.zeros_(network.centre.bias)
    nn.init.normal_(network.box.weight, std=0.3)
    return lively(network)


@cache
def crop_net(seed=1):
    torch.manual_seed(seed)
    return lively(CropNet({"cell_class": len(LABELS)}, planes=(4, 8, 8), blocks=(1, 1)))


def lively(network):
    """Batch normalisation as after a training: every channel in its range, with its own scale and shift."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.momentum = 1.0
        nn.init.uniform_(module.weight, 0.7, 1.5)
        nn.init.uniform_(module.bias, -0.3, 0.6)
    pictures = torch.stack([torch.from_numpy(picture(seed, 64, 64)) for seed in range(8)])
    with torch.no_grad():
        network.train()(pictures.permute(0, 3, 1, 2).float() / STEPS_PER_UNIT)
    for module in norms:
        module.momentum = 0.1
    return network.eval()


def picture(seed, height=200, width=240):
    """Blurred noise with dark discs: structure at all scales, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, (height, width, 3)), (2, 2, 0))
    image = 190 + 120 * noise
    rows, columns = np.mgrid[:height, :width]
    for _ in range(height * width // 2500):
        y, x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(6, 20)
        image[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.uniform(20, 160, 3)
    return image.clip(0, 255).astype(np.uint8)


def slide(seed=0, height=200, width=240, um_per_px=0.25, **more):
    return ArraySlide(picture(seed, height, width), um_per_px, **more)


def bundle(folder, **changes):
    diagnosis = folder / "made-of"
    diagnosis.mkdir(parents=True, exist_ok=True)
    (diagnosis / "diagnosis.json").write_text("{}")
    arguments = {
        "name": "toy",
        "version": "0.1.0",
        "description": "for tests",
        "taxonomy": "blood3",
        "slide_um_per_px": (0.1, 0.3),
        "networks": {
            "detector": (heatmap_net(), DETECTOR_DEFINITION),
            "classifier": (crop_net(), CLASSIFIER_DEFINITION),
        },
        "detector": DETECTOR,
        "classifier": CLASSIFIER,
        "survey": SURVEY,
        "diagnosis": diagnosis,
        "card": "# toy\n",
        "figures": {"ap50": 0.5},
    } | changes
    return assemble_bundle(folder / "bundle", **arguments)


def same_cells(a, b):
    """Whether two cell tables hold the same cells, bit for bit."""
    columns = ("x_um", "y_um", "width_um", "height_um", "detection_score", "probabilities", "near_missing")
    return len(a) == len(b) and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in columns)
