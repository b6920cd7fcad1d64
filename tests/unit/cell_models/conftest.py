import pytest
import torch

from tests.unit.cell_models import factories


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory):
    return factories.bundle(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Threads cost more than they bring on networks this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
