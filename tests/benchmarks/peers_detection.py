"""Other engines beside ours on a slide, all with the same detector.

``BENCH_PEERS`` names the Pythons that have them, with ``:`` between; their environments also need what Marrow needs,
for the detector. Run by one of them as a script: ``python peers_detection.py PEER SOURCE OUT BUNDLE``. Prints its CPU
seconds without imports, and how many cells it found.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marrow_models.detection import Detector
    from marrow_models.pyramid.store import Pyramid
    from marrow_models.records import Rect
    from tests.benchmarks.measure import Job

ROOT = Path(__file__).parents[2]
PEERS = ("tiatoolbox", "lazyslide")
"""Modules, each with a function of its name below; those that can be imported there are compared."""
TILE_PX, BATCH = 512, 8
"""What the peers read at a time, as their users do."""
DETECTION, WITH_INGEST = "detection", "ingest and detection"
CELL_UM = 8.0
"""Peaks of one cell are no further apart."""
Ready = tuple["Detector", "Pyramid", "Rect"]


def jobs(source: Path, store: Path, folder: Path, bundle: str) -> dict[str, Job]:
    """Ours, the network alone, and a job for each peer that is there; none without the variable."""
    from tests.benchmarks.measure import Job, python_with

    here, one_thread = "tests.benchmarks.peers_detection", {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    found = {}
    for peer in PEERS:
        python = python_with(peer)
        if python:
            out = folder / f"{peer}.zarr"
            given = {"python": python, "arguments": [peer, str(source), str(out), bundle]}
            found[peer] = Job(f"{here}:run_peer", given, out, one_thread)
    if not found:
        return {}
    given = {"store": str(store), "bundle": bundle}
    anew = given | {"source": str(source), "out": str(folder / "ours.ome.zarr")}
    return {
        DETECTION: Job(f"{here}:detection", given, environment=one_thread),
        WITH_INGEST: Job(f"{here}:with_ingest", anew, folder / "ours.ome.zarr", one_thread),
    } | found


def _ready(store: str, bundle: str) -> Ready:
    """The detector, and all of a slide on its lattice; both have worked once."""
    from marrow_models.bundle import load_bundle
    from marrow_models.memory import keep_freed_memory
    from marrow_models.networks.loading import load_networks
    from marrow_models.pyramid.store import Pyramid
    from marrow_models.records import Rect

    keep_freed_memory()
    detector, _ = load_networks(load_bundle(bundle))
    pyramid = Pyramid.open(Path(store))
    scale = pyramid.um_per_px / detector.settings.um_per_px
    whole = Rect(0, 0, *(int(side * scale) for side in (pyramid.info.width_px, pyramid.info.height_px)))
    detector.detect(pyramid, Rect(0, 0, 64, 64), tile_px=TILE_PX)
    return detector, pyramid, whole


def detection(ready: Ready, store: str, bundle: str) -> dict[str, Any]:
    """The cells of a whole slide that is ingested, as a worker looks for them."""
    from tasks.plan import NightPlan

    detector, pyramid, whole = ready
    found = detector.detect(pyramid, whole, tile_px=NightPlan.model_fields["tile_px"].default)
    return {"cells": int((found.kind == 0).sum())}


def with_ingest(ready: Ready, store: str, bundle: str, source: str, out: str) -> dict[str, Any]:
    """From the scanner's file to its cells."""
    from marrow_models.pyramid.ingest import ingest_slide
    from marrow_models.pyramid.store import Pyramid

    ingest_slide(Path(source), (Path(source),), Path(out), um_per_px=None)
    detector, _, whole = ready
    return detection((detector, Pyramid.open(Path(out)), whole), store, bundle)


detection.prepare = _ready  # type: ignore[attr-defined]
with_ingest.prepare = lambda store, bundle, **_: _ready(store, bundle)  # type: ignore[attr-defined]


def run_peer(python: str, arguments: list[str]) -> Any:
    """Let a peer look for cells; what it said of its cost."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, __file__, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def _network(bundle: str) -> tuple[Any, float, float]:
    """Bytes (N, 3, H, W) to the probability (N, H, W) of a cell's centre; its least, and um of a pixel."""
    import torch
    from torch.nn import functional

    from marrow_models.bundle import load_bundle
    from marrow_models.networks.heatmap import OUTPUT_STRIDE_PX
    from marrow_models.networks.lattice import STEPS_PER_UNIT
    from marrow_models.networks.loading import load_networks

    detector, _ = load_networks(load_bundle(bundle))

    def probability(images: Any) -> Any:
        with torch.inference_mode():
            pixels = images.to(torch.uint8).contiguous(memory_format=torch.channels_last)
            centre = torch.sigmoid(detector.network(pixels)[0][:, :1] / STEPS_PER_UNIT)
            return functional.interpolate(centre, scale_factor=OUTPUT_STRIDE_PX, mode="bilinear")[:, 0]

    return probability, detector.settings.score_threshold, detector.settings.um_per_px


def tiatoolbox(source: str, out: str, bundle: str) -> int:
    """Its engine for the centres of nuclei."""
    import torch
    from tiatoolbox.models.architecture.utils import peak_detection_map_overlap
    from tiatoolbox.models.engine.io_config import IOSegmentorConfig
    from tiatoolbox.models.engine.nucleus_detector import NucleusDetector
    from tiatoolbox.models.models_abc import ModelABC

    probability, least, um_per_px = _network(bundle)

    class Ours(ModelABC):
        """The detector, as that engine wants a model."""

        def __init__(self) -> None:
            super().__init__()
            self.min_distance = round(CELL_UM / 2 / um_per_px)
            self.tile_shape = (2048, 2048)
            self.class_dict = {0: "cell"}

        def forward(self, images: Any) -> Any:
            return probability(images)

        @staticmethod
        def infer_batch(model: Any, batch_data: Any, *, device: str) -> Any:
            return model(torch.as_tensor(batch_data).permute(0, 3, 1, 2))[..., None].numpy()

        def postproc(
            self,
            block: Any,
            min_distance: Any = None,
            threshold_abs: Any = None,
            threshold_rel: Any = None,
            block_info: Any = None,  # dask gives it to what names it
            depth_h: int = 0,
            depth_w: int = 0,
        ) -> Any:
            return peak_detection_map_overlap(
                block,
                min_distance=min_distance or self.min_distance,
                threshold_abs=least,
                block_info=block_info,
                depth_h=depth_h,
                depth_w=depth_w,
            )

    margin = 64
    scale = [{"units": "mpp", "resolution": um_per_px}]
    config = IOSegmentorConfig(
        input_resolutions=scale,
        output_resolutions=scale,
        save_resolution=scale[0],
        patch_input_shape=(TILE_PX, TILE_PX),
        patch_output_shape=(TILE_PX - 2 * margin, TILE_PX - 2 * margin),
        stride_shape=(TILE_PX - 2 * margin, TILE_PX - 2 * margin),
    )
    engine = NucleusDetector(Ours(), batch_size=BATCH, num_workers=0, device="cpu", verbose=False)
    found = engine.run(
        [Path(source)], patch_mode=False, ioconfig=config, save_dir=Path(out), overwrite=True, output_type="zarr",
        auto_get_mask=False,
    )  # fmt: skip
    import zarr

    (path,) = found.values() if isinstance(found, dict) else found
    group = zarr.open(str(path), mode="r")
    return int(group["x"].shape[0])


def lazyslide(source: str, out: str, bundle: str) -> int:
    """Its runner for the outlines of cells; what hangs together above the least probability is one."""
    import lazyslide as engine
    import numpy as np
    import torch
    from lazyslide_models.base import SegmentationModel, SegmentationOutput
    from scipy import ndimage
    from wsidata import open_wsi

    probability, least, um_per_px = _network(bundle)

    class Ours(SegmentationModel):
        """The detector, as that runner wants a model."""

        def __init__(self) -> None:
            self.model = torch.nn.Identity()

        def get_transform(self) -> Any:
            return lambda image: torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)

        def segment(self, image: Any) -> Any:
            maps = probability(image).numpy()
            return SegmentationOutput(instance_map=np.stack([ndimage.label(one >= least)[0] for one in maps]))

    slide = open_wsi(source, store=out)
    engine.pp.find_tissues(slide)
    engine.pp.tile_tissues(slide, TILE_PX, mpp=um_per_px, overlap=0.25, background_filter=False)
    engine.seg.cells(slide, Ours(), batch_size=BATCH, device="cpu", overlap_ownership=True, key_added="cells")
    return len(slide["cells"])


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    sys.path.pop(0)  # this folder has modules of common names
    __import__(name)
    with contextlib.redirect_stdout(sys.stderr):
        _network(arguments[-1])
        before, started = time.process_time(), time.perf_counter()
        cells = globals()[name](*arguments)
        said = {
            "cpu_s": time.process_time() - before,
            "wall_s": time.perf_counter() - started,
            "cells": cells,
        }
    print(json.dumps(said))  # noqa: T201 - the answer to the process that asked
