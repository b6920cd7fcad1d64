"""Several processes that train one network, as ``torchrun`` starts them: a GPU each, or gloo on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed


@contextmanager
def several_processes(device: str) -> Iterator[tuple[str, bool]]:
    """The device of this process, and whether it is the first; alone unless ``torchrun`` started it."""
    if not distributed.is_torchelastic_launched():
        yield device, True
        return
    on_gpu = device.startswith("cuda")
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        place = f"cuda:{distributed.get_node_local_rank()}" if on_gpu else device
        if on_gpu:
            torch.cuda.set_device(place)
        yield place, distributed.get_rank() == 0
    finally:
        distributed.destroy_process_group()
