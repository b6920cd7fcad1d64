"""What a GPU must do: the cells of the CPU, trainings that learn and resume, cells also when its memory is full."""

import dataclasses

import numpy as np
import pytest
import torch

from marrow_models.analysis import analyse_pixels
from marrow_models.bundle import load_bundle
from marrow_models.local_contrast import with_least_contrast
from marrow_models.memory import Effort as Pieces
from marrow_models.memory import with_less_memory
from marrow_models.networks.lattice import fold
from marrow_models.networks.loading import load_networks
from marrow_models.phantom.training import training_field
from marrow_models.records import Field, Rect
from marrow_models.training.array_slide import ArraySlide
from marrow_models.training.augment import Variety
from marrow_models.training.classifier import ClassifierTraining, train_classifier
from marrow_models.training.crops import CropShape, crops_of
from marrow_models.training.detector import DetectorTraining, train_detector
from marrow_models.training.fields import FieldSet
from marrow_models.training.loop import Effort, Run
from marrow_models.training.pictures import marked_fields

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

FIELDS = 4
ROOM_BYTES = 4 * 2**20
VARIETY = Variety(exact=0.5, turns=True, log_scale=0.05, shift_um=0.3, log_stain=0.1, blur_px=0.7)


@pytest.fixture(scope="module")
def fields():
    drawn = [training_field(np.random.default_rng([3, index]), size_px=512, um_per_px=0.25) for index in range(FIELDS)]
    return FieldSet(
        np.stack([field.image for field in drawn]),
        tuple(np.asarray(field.boxes, np.float32).reshape(-1, 4) for field in drawn),
        tuple(tuple(field.labels) for field in drawn),
        tuple(np.asarray(field.ignored, np.float32).reshape(-1, 4) for field in drawn),
        0.25,
    )


def analysed(fields, bundle, pieces):
    return analyse_pixels(
        ArraySlide(fields.images[0], 0.25),
        (Field(0, Rect(0, 0, 512, 512)),),
        bundle,
        batch_size=pieces.batch_size,
        tile_px=pieces.tile_px,
        device=pieces.device,
    )


@pytest.mark.parametrize("name", ["phantom", "blood"])
def test_a_gpu_finds_the_cells_of_the_cpu(fields, name):
    bundle = load_bundle(name)
    ours, plain = (analysed(fields, bundle, Pieces(64, 512, device)) for device in ("cuda", "cpu"))
    assert len(plain) > 5
    assert len(ours) == len(plain)
    for place in ("x_um", "y_um", "width_um", "height_um"):
        assert np.abs(getattr(ours, place) - getattr(plain, place)).max() <= 0.1
    assert list(ours.cell_class) == list(plain.cell_class)
    assert np.abs(ours.probabilities - plain.probabilities).max() <= 1e-3


@pytest.mark.parametrize("name", ["phantom", "blood"])
def test_float32_sums_are_as_exact_on_a_gpu(fields, name):
    bundle = load_bundle(name)
    inputs = torch.from_numpy(fields.images[:2]).permute(0, 3, 1, 2).float()
    for ours, plain in zip(load_networks(bundle, "cuda"), load_networks(bundle), strict=True):
        with torch.inference_mode():
            found = ours.network(inputs.cuda().contiguous(memory_format=torch.channels_last))
            wanted = plain.network(inputs.contiguous(memory_format=torch.channels_last))
        pairs = (
            zip(found.values(), wanted.values(), strict=True)
            if isinstance(found, dict)
            else zip(found, wanted, strict=True)
        )
        for one, other in pairs:
            assert torch.equal(one.cpu(), other)


def test_soft_crops_are_sharpened_on_a_gpu_as_on_a_cpu(fields):
    crops = torch.from_numpy(fields.images[:, :256, :256] // 4 + 90).permute(0, 3, 1, 2)
    expected = with_least_contrast(crops, 0.25)
    assert not torch.equal(expected, crops)
    assert torch.equal(with_least_contrast(crops.cuda(), 0.25).cpu(), expected)


def test_a_gpu_that_is_full_costs_no_cell(fields):
    bundle = load_bundle("phantom")
    expected = analysed(fields, bundle, Pieces(64, 512, "cpu"))
    load_networks(bundle, "cuda")
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + ROOM_BYTES) / total)
    try:
        cells, reached = with_less_memory(lambda now: analysed(fields, bundle, now), Pieces(64, 512, "cuda"))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert reached != Pieces(64, 512, "cuda")
    assert len(cells) == len(expected)
    assert list(cells.cell_class) == list(expected.cell_class)


def detector_training(device, **effort):
    how = Effort(steps=60, batch=4, learning_rate=4e-3, precision="bfloat16", device=device, rounded_from=0.7)
    return DetectorTraining(dataclasses.replace(how, **effort), 128, VARIETY, planes=(8, 16, 16), iou_weight=1.0)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_detector_learns_on_a_gpu_and_resumes(fields, tmp_path, workers):
    pictures, losses = marked_fields(fields, 0.5), []
    for steps in (60, 120):
        training = detector_training("cuda", steps=steps, workers=workers)
        network = train_detector(
            pictures, Run(tmp_path, every=20), training, seed=2, progress=lambda step: losses.append(step.loss)
        )
    assert len(losses) == 6
    assert losses[-1] < 0.5 * losses[0]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in fold(network).state_dict().values())


def test_a_classifier_learns_on_a_gpu_as_on_a_cpu(fields, tmp_path):
    labels = tuple(sorted({label for names in fields.labels for label in names}))
    crops = crops_of(fields, labels, CropShape(0.25, 64, 16))
    ends = {}
    for device in ("cpu", "cuda"):
        losses = []
        effort = Effort(steps=60, batch=16, learning_rate=4e-3, precision="bfloat16", device=device, rounded_from=0.7)
        training = ClassifierTraining(effort, VARIETY, planes=(8, 16, 16), blocks=(1, 1), mixing=0.2)
        train_classifier(
            crops,
            Run(tmp_path / device, every=20),
            training,
            seed=2,
            progress=lambda step, to=losses: to.append(step.loss),
        )
        assert losses[-1] < losses[0]
        ends[device] = losses[-1]
    assert ends["cuda"] == pytest.approx(ends["cpu"], rel=0.25)
