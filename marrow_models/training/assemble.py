"""From trained networks to a bundle: folded to exact sums, digests written, model card beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from safetensors.torch import save as save_tensors
from torch import nn

from marrow_models.bundle import CLASSIFIER, DETECTOR, DIAGNOSIS, INFERENCE, METADATA, Bundle, load_bundle
from marrow_models.classification import CLASS_HEAD
from marrow_models.model_settings import ClassifierSettings, DetectorSettings, SurveySettings
from marrow_models.networks.lattice import fold

CARD = "docs/README.md"


def assemble_bundle(
    folder: Path,
    *,
    name: str,
    version: str,
    description: str,
    taxonomy: str,
    slide_um_per_px: tuple[float, float],
    networks: Mapping[str, tuple[nn.Module | bytes, dict[str, Any]]],
    detector: DetectorSettings,
    classifier: ClassifierSettings,
    survey: SurveySettings,
    diagnosis: Path,
    card: str,
    figures: Mapping[str, object],
    licence: str = "Apache-2.0",
    documents: Path | None = None,
) -> Bundle:
    """Write a bundle to ``folder`` and return it as loaded again.

    ``networks`` has for ``detector`` and ``classifier`` the trained network, or its weights as a bundle holds them,
    and its definition (``_target_`` and arguments); ``documents`` is a folder whose files are put beside the
    card; ``diagnosis`` is the folder of a diagnosis model, ``figures`` what the networks are worth as JSON
    values. What was in ``folder`` before is replaced.
    """
    for part in ("configs", "models", "docs", DIAGNOSIS):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir(parents=True)
    for role, path in (("detector", DETECTOR), ("classifier", CLASSIFIER)):
        made = networks[role][0]
        (folder / path).write_bytes(made if isinstance(made, bytes) else weights_of(made))
    definitions = {role: definition for role, (_, definition) in networks.items()}
    _write_json(folder / INFERENCE, definitions)
    for file in sorted(diagnosis.iterdir()):
        shutil.copyfile(file, folder / DIAGNOSIS / file.name)
    for file in sorted(documents.iterdir()) if documents else ():
        shutil.copyfile(file, folder / "docs" / file.name)
    (folder / CARD).write_text(card, encoding="utf-8")
    settings = {key: value for key, value in asdict(classifier).items() if key != "labels"}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / METADATA)
    metadata = {
        "version": version,
        "changelog": {version: description},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {},
        "name": name,
        "task": "Detection and classification of nucleated cells in smears of bone marrow or blood",
        "description": description,
        "authors": "The Marrow developers",
        "copyright": licence,
        "intended_use": "For Research Use Only. Not for use in diagnostic procedures.",
        "eval_metrics": dict(figures),
        "network_data_format": _data_format(classifier),
        "marrow": {
            "taxonomy": taxonomy,
            "labels": list(classifier.labels),
            "slide_um_per_px": list(slide_um_per_px),
            "detector": asdict(detector),
            "classifier": settings,
            "survey": asdict(survey),
            "files": {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
        },
    }
    _write_json(folder / METADATA, metadata)
    return load_bundle(folder.resolve())


def weights_of(network: nn.Module, weight_digits: int = 2) -> bytes:
    """Safetensors of a trained network, folded."""
    folded = fold(network, weight_digits)
    return save_tensors({key: value.contiguous() for key, value in folded.state_dict().items()})


def _data_format(classifier: ClassifierSettings) -> dict[str, Any]:
    """MONAI's description of what goes in and out of the classifier."""
    image = {
        "type": "image",
        "format": "RGB",
        "modality": "brightfield microscopy",
        "num_channels": 3,
        "spatial_shape": [classifier.crop_px, classifier.crop_px],
        "dtype": "float32",
        "value_range": [0, 255],
        "is_patch_data": True,
        "channel_def": {"0": "R", "1": "G", "2": "B"},
    }
    outputs = {CLASS_HEAD: classifier.labels} | dict(classifier.attributes)
    return {"inputs": {"image": image}, "outputs": {name: _probabilities(names) for name, names in outputs.items()}}


def _probabilities(names: Sequence[str]) -> dict[str, Any]:
    """MONAI's description of one head."""
    return {
        "type": "probabilities",
        "format": "classification",
        "num_channels": len(names),
        "spatial_shape": [1],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {str(index): name for index, name in enumerate(names)},
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
