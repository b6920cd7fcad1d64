"""Plain blocks are MONAI's: names of weights and results."""

import subprocess
import sys

import pytest
import torch

from marrow_models.networks.crop import CropNet
from marrow_models.networks.heatmap import HeatmapNet
from marrow_models.networks.lattice import fold, folded_structure
from marrow_models.networks.parts import MONAI, PLAIN
from tests.unit.cell_models.factories import lively

NETWORKS = {
    "detector": (HeatmapNet, {"kinds": 2, "planes": (8, 12, 16), "blocks": (2, 3)}),
    "classifier": (CropNet, {"heads": {"cell_class": 4, "size": 2}, "planes": (8, 12, 16, 20), "blocks": (2, 1, 2)}),
}


def outputs(said):
    return list(said.values()) if isinstance(said, dict) else list(said)


@pytest.mark.parametrize("role", NETWORKS)
@pytest.mark.parametrize("folded", [False, True], ids=["as trained", "folded"])
def test_plain_blocks_say_what_those_of_monai_say(role, folded):
    make, arguments = NETWORKS[role]
    network = lively(make(**arguments, parts=MONAI)).eval()
    plain = make(**arguments, parts=PLAIN).eval()
    if folded:
        network, plain = fold(network), folded_structure(plain)
    assert list(plain.state_dict()) == list(network.state_dict())
    plain.load_state_dict(network.state_dict())
    draw = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (2, 3, 64, 80), generator=draw).float()
    with torch.inference_mode():
        expected, found = outputs(network(images.clone())), outputs(plain(images.clone()))
    assert all(map(torch.equal, expected, found))
    assert any(part.abs().sum() > 0 for part in expected)


def test_plain_blocks_learn_as_those_of_monai():
    make, arguments = NETWORKS["detector"]
    network = lively(make(**arguments, parts=MONAI)).train()
    plain = make(**arguments, parts=PLAIN).train()
    plain.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for one in (network, plain):
        sum(part.square().mean() for part in one(images)).backward()
    for (name, a), (other, b) in zip(network.named_parameters(), plain.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("name", ["phantom", "blood"])
def test_a_worker_imports_neither_monai_nor_a_compiler(name):
    """They took two seconds and 200 MB of each worker."""
    code = (
        "import sys; from marrow_models.bundle import load_bundle; import marrow_models.analysis;"
        "from marrow_models.networks.loading import load_networks;"
        f"load_networks(load_bundle({name!r}));"
        "print([m for m in ('monai', 'matplotlib', 'pandas', 'sklearn', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
