"""F49, F50: too little memory makes the pieces smaller, never the result different."""

import os
import subprocess
import sys

import pytest
import torch

from marrow_models.analysis import analyse_pixels
from marrow_models.errors import Reason, SlideRefused
from marrow_models.memory import Effort, with_less_memory
from marrow_models.networks.loading import load_networks
from marrow_models.records import Field, Rect
from tests.unit.cell_models import factories

WHOLE = Field(0, Rect(0, 0, 240, 200))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they bring on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def toy_bundle(tmp_path_factory):
    return factories.bundle(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def slide():
    return factories.slide(1, 200, 240)


def attempt(slide, bundle):
    return lambda now: analyse_pixels(
        slide, (WHOLE,), bundle, batch_size=now.batch_size, tile_px=now.tile_px, device="cpu"
    )


def with_room_for(bundle, cells, error):
    """The real classifier, for whose batches of more than ``cells`` there is no memory."""

    def refuse(_module, inputs):
        if len(inputs[0]) > cells:
            raise error

    return load_networks(bundle)[1].network.register_forward_pre_hook(refuse)


@pytest.mark.parametrize("room", [1, 5])
@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=["python", "gpu", "torch on the cpu"],
)
def test_too_little_memory_halves_the_batch_and_changes_no_cell(slide, toy_bundle, room, error):
    expected = attempt(slide, toy_bundle)(Effort(64, 256, "cpu"))
    hook = with_room_for(toy_bundle, room, error)
    try:
        cells, reached = with_less_memory(attempt(slide, toy_bundle), Effort(64, 256, "cpu"))
    finally:
        hook.remove()

    assert len(expected) > 20
    assert factories.same_cells(cells, expected)
    assert room // 2 < reached.batch_size <= room
    assert reached.tile_px == 128


def test_no_memory_for_one_cell_refuses_the_slide(slide, toy_bundle):
    hook = with_room_for(toy_bundle, 0, MemoryError())
    try:
        with pytest.raises(SlideRefused) as refused:
            with_less_memory(attempt(slide, toy_bundle), Effort(64, 256, "cpu"))
    finally:
        hook.remove()

    assert refused.value.reason is Reason.OOM


@pytest.mark.parametrize("text", ["CUDA error: unknown error", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"])
def test_a_gpu_that_fails_is_left_for_the_cpu(text):
    devices = []

    def work(now):
        devices.append(now.device)
        if now.device == "cuda":
            raise RuntimeError(text)
        return "cells"

    assert with_less_memory(work, Effort(64, 256, "cuda")) == ("cells", Effort(64, 256, "cpu"))
    assert devices == ["cuda", "cpu"]


def test_a_gpu_that_is_too_small_for_one_cell_is_left_for_the_cpu():
    def work(now):
        if now.device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return now.batch_size

    assert with_less_memory(work, Effort(8, 256, "cuda")) == (8, Effort(8, 256, "cpu"))


def test_a_slide_that_neither_gpu_nor_cpu_can_hold_is_refused_for_the_gpu():
    def work(now):
        raise torch.OutOfMemoryError("CUDA out of memory") if now.device == "cuda" else MemoryError()

    with pytest.raises(SlideRefused) as refused:
        with_less_memory(work, Effort(8, 256, "cuda"))
    assert refused.value.reason is Reason.GPU


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), RuntimeError("CUDA error"), ValueError("no")])
def test_another_error_is_not_taken_for_a_lack_of_memory(error):
    def work(_now):
        raise error

    with pytest.raises(type(error), match=str(error)):
        with_less_memory(work, Effort(8, 256, "cpu"))


LIMITED = """
import resource, torch
from marrow_models.memory import Effort, with_less_memory
torch.set_num_threads(1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
total, reached = with_less_memory(
    lambda now: float(torch.ones(now.batch_size, 2**25).sum()) / now.batch_size, Effort(64, 128, "cpu")
)
print(reached.batch_size, total == 2**25)
"""


def test_the_allocator_of_the_host_is_understood_when_it_says_no():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr[-2000:]
    reached, right = done.stdout.split()
    assert right == "True"
    assert 1 <= int(reached) <= 4  # 128 MiB each, in half a GiB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an order to the C library of Linux")
def test_a_worker_keeps_the_memory_of_one_layer_for_the_next():
    """Dask asks for the contrary; each page was cleared again and again."""
    code = (
        "import resource, numpy as np; from marrow_models.memory import keep_freed_memory;"
        "import sys; kept = keep_freed_memory() if sys.argv[1] == 'kept' else None;"
        "layer = lambda: np.ones(12 << 20, np.uint8); layer();"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt; any(layer() is None for _ in range(50));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, kept)"
    )
    faults = {}
    for how in ("given back", "kept"):
        done = subprocess.run(
            [sys.executable, "-c", code, how],
            env=os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        faults[how], said = done.stdout.split()
        if said == "False":
            pytest.skip("a C library that takes no orders")
    assert int(faults["kept"]) < 0.1 * int(faults["given back"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="an order to the C library of Linux")
def test_holes_between_what_is_in_use_are_given_back_beyond_a_limit():
    code = (
        "from marrow_models.memory import give_back, keep_freed_memory, private_bytes; import numpy as np;"
        "kept = keep_freed_memory();"
        "blocks = [np.ones(1 << 20, np.uint8) for _ in range(300)]; blocks = blocks[::10];"
        "full = private_bytes();"
        "print(kept, give_back(2 * full), full - private_bytes() >> 20, end=' ');"
        "print(give_back(full // 2), full - private_bytes() >> 20, sum(int(b.sum()) for b in blocks) >> 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    kept, below, held, beyond, freed, intact = done.stdout.split()
    if kept == "False":
        pytest.skip("another C library")
    assert (below, beyond, intact) == ("False", "True", "30")
    assert int(held) <= 5
    assert int(freed) >= 200
