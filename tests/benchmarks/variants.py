"""Ways to run the same networks on a CPU: each takes a folded network and a picture and gives a module.

What a machine lacks is left out; what is not bit for bit the same says so by its figures.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from marrow_models import analysis
from marrow_models.analysis import analyse_pixels
from marrow_models.bundle import Bundle, load_bundle
from marrow_models.classification import Classifier
from marrow_models.detection import Detector
from marrow_models.networks import loading
from marrow_models.networks.digits import in_digits
from marrow_models.networks.lattice import lowest_bit
from marrow_models.phantom.compare import MATCH_IOU, average_precision, iou, match_boxes
from marrow_models.pyramid.store import Pyramid
from marrow_models.records import Field
from tests.benchmarks.floors_networks import groups_of

DETECTOR_PX = 712
"""A tile of 512 px with its surroundings."""
TIMED = 3


def eager(network: nn.Module, picture: Tensor) -> nn.Module:
    """Float32, channels last: what a machine without eight-bit instructions runs."""
    return network


class _ChannelsFirst(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        return self.network(pixels.contiguous())


def channels_first(network: nn.Module, picture: Tensor) -> nn.Module:
    """Float32 in PyTorch's first layout."""
    return _ChannelsFirst(network.to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]


def digits(network: nn.Module, picture: Tensor) -> nn.Module:
    """Two digits of eight bits: what Marrow runs."""
    return in_digits(network)


def one_digit(network: nn.Module, picture: Tensor) -> nn.Module:
    """Weights rounded to eight bits a channel, without another training."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.in_channels >= 8:
                flat = layer.weight.double().flatten(1)
                # The finest power of two at which the largest weight has no more than seven bits and a sign.
                unit = torch.exp2(torch.ceil(torch.log2(flat.abs().amax(dim=1) / 127)))
                unit = torch.maximum(unit, lowest_bit(flat).amin(dim=1)).view(-1, 1, 1, 1)
                layer.weight.copy_((layer.weight.double() / unit).round() * unit)
    return in_digits(network)


class _Brain16(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            said = self.network(pixels)
        return _each(said, lambda part: part.float())


def bfloat16(network: nn.Module, picture: Tensor) -> nn.Module:
    """Autocast to bfloat16."""
    return _Brain16(network)


def compiled(network: nn.Module, picture: Tensor) -> nn.Module:
    """PyTorch's compiler, with its C++ code."""
    if shutil.which("g++") is None:
        raise ImportError("no C++ compiler")
    return torch.compile(network, dynamic=False)  # type: ignore[return-value]


class _Session(nn.Module):
    """An engine of another library, with the names that the network gives its outputs."""

    def __init__(self, ask: Callable[[np.ndarray], list[np.ndarray]], names: list[str] | None) -> None:
        super().__init__()
        self.ask, self.names = ask, names

    def forward(self, pixels: Tensor) -> Any:
        said = [torch.from_numpy(np.array(part)) for part in self.ask(pixels.float().contiguous().numpy())]
        return tuple(said) if self.names is None else dict(zip(self.names, said, strict=True))


def onnx_runtime(network: nn.Module, picture: Tensor) -> nn.Module:
    """ONNX Runtime in float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(_exported(network, picture), options, providers=["CPUExecutionProvider"])
    return _Session(lambda pixels: session.run(None, {"pixels": pixels}), _names(network, picture))


def openvino(network: nn.Module, picture: Tensor) -> nn.Module:
    """OpenVINO in float32."""
    return _openvino(network, picture, "f32")


def openvino_bf16(network: nn.Module, picture: Tensor) -> nn.Module:
    """OpenVINO as it comes: bfloat16 where the CPU has it."""
    return _openvino(network, picture, "bf16")


def _openvino(network: nn.Module, picture: Tensor, precision: str) -> nn.Module:
    import openvino as ov

    core = ov.Core()
    model = core.read_model(io.BytesIO(_exported(network, picture)))
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    request = core.compile_model(model, "CPU", hints).create_infer_request()

    def ask(pixels: np.ndarray) -> list[np.ndarray]:
        return list(request.infer([pixels]).values())

    return _Session(ask, _names(network, picture))


def _exported(network: nn.Module, picture: Tensor) -> bytes:
    importlib.import_module("onnx")
    names = _names(network, picture)

    class Listed(nn.Module):
        def forward(self, pixels: Tensor) -> Any:
            said = network(pixels)
            return tuple(said.values()) if isinstance(said, dict) else said

    out = io.BytesIO()
    free = {0: "n", 2: "h", 3: "w"} if names is None else {0: "n"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Listed(),
            (picture.contiguous(),),
            out,
            input_names=["pixels"],
            output_names=names or ["centre", "box"],
            dynamic_axes={"pixels": free},
            dynamo=False,
        )
    return out.getvalue()


def _names(network: nn.Module, picture: Tensor) -> list[str] | None:
    with torch.inference_mode():
        said = network(picture.clone())
    return list(said) if isinstance(said, dict) else None


def _each(said: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return {k: change(v) for k, v in said.items()} if isinstance(said, dict) else tuple(map(change, said))


VARIANTS: Mapping[str, Callable[[nn.Module, Tensor], nn.Module]] = {
    "eager": eager,
    "channels_first": channels_first,
    "digits": digits,
    "one_digit": one_digit,
    "bfloat16": bfloat16,
    "compiled": compiled,
    "onnx_runtime": onnx_runtime,
    "openvino": openvino,
    "openvino_bf16": openvino_bf16,
}
NEEDS = {
    "onnx_runtime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "openvino_bf16": ("onnx", "openvino"),
}


def is_here(variant: str) -> bool:
    """Whether its libraries are installed."""
    return all(importlib.util.find_spec(name) for name in NEEDS.get(variant, ()))


def forward(variant: str, bundle: str, store: str, inbox: str, cells: int = 0) -> dict[str, Any]:
    """CPU seconds of each network a call, whether it is bit for bit that of float32, and what it finds on a slide.

    ``cells``: analyse fields with about so many and compare them with the truth; 0 does not.
    """
    opened = load_bundle(bundle)
    loading.fast_where_equal = lambda network: network  # type: ignore[assignment]
    detector, classifier = loading.load_networks(opened)
    said: dict[str, Any] = {}
    made = []
    for role, part, shape in (
        ("detector", detector, (1, 3, DETECTOR_PX, DETECTOR_PX)),
        ("classifier", classifier, (8, 3, classifier.settings.crop_px, classifier.settings.crop_px)),
    ):
        draw = torch.Generator().manual_seed(1)
        picture = torch.randint(0, 256, shape, generator=draw).float().contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            expected = part.network(picture.clone())
        network = VARIANTS[variant](part.network, picture)
        with torch.inference_mode():
            found = network(picture.clone())
            said[role] = min(_timed(network, picture) for _ in range(TIMED))
        said[f"{role}_equal"] = all(map(torch.equal, _list(expected), _list(found)))
        made.append(network)
    if cells:
        for name in ("reach_px", "first_layer_bytes"):
            setattr(made[0], name, getattr(detector.network, name))
        both = Detector(made[0], detector.settings), Classifier(made[1], classifier.settings)
        said |= _accuracy(opened, both, store, inbox, cells)
    return said


def _timed(network: nn.Module, picture: Tensor) -> float:
    started = time.process_time()
    network(picture.clone())
    return time.process_time() - started


def _list(said: Any) -> list[Tensor]:
    return list(said.values()) if isinstance(said, dict) else list(said)


def _accuracy(
    bundle: Bundle, networks: tuple[Detector, Classifier], store: str, inbox: str, cells: int
) -> dict[str, float]:
    """AP50 of the boxes, F1 of the counted ones, and F1 of the classes of what was matched."""
    analysis.load_networks = lambda *_: networks  # type: ignore[assignment]
    slide = Pyramid.open(Path(store))
    fields = [field for group in groups_of(store, bundle.name, cells) for field in group]
    table = analyse_pixels(slide, fields, bundle, batch_size=64, tile_px=512)
    truth = _truth(Path(inbox), fields, slide.um_per_px)
    true = np.array([_corners(*place) for *place, _, _ in truth])
    found = np.stack(_corners(table.x_um, table.y_um, table.width_um, table.height_um), axis=1)
    readable = np.array([bool(row[4]) for row in truth])
    matches = match_boxes(found, table.detection_score, true, readable)
    overlap = np.where(iou(found, true) * readable >= MATCH_IOU, iou(found, true), 0)
    pairs = [(n, int(row.argmax())) for n, row in enumerate(overlap) if row.any()]
    right = sum(table.cell_class[n] == truth[m][5] for n, m in pairs)
    f1 = 2 * matches.precision * matches.recall / (matches.precision + matches.recall)
    return {"cells": len(table), "ap50": average_precision([matches]), "f1": f1, "class_f1": right / len(pairs)}


def _truth(
    inbox: Path, fields: Sequence[Field], um_per_px: float
) -> list[tuple[float, float, float, float, bool, str]]:
    """Place and size in um, whether it can be read, and class of each true cell whose centre lies in a field."""
    with (inbox / "truth" / "cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        x, y, width, height = (float(row[name]) for name in ("x_um", "y_um", "width_um", "height_um"))
        rects = (field.rect_px for field in fields)
        if any(r.x <= x / um_per_px < r.right and r.y <= y / um_per_px < r.bottom for r in rects):
            found.append((x, y, width, height, row["readable"] == "true", row["cell_class"]))
    return found


def _corners(x: Any, y: Any, width: Any, height: Any) -> tuple[Any, Any, Any, Any]:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
