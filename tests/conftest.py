"""What tests of all kinds share: reproducible property tests, and services and a night that are started once."""

import pytest
from hypothesis import HealthCheck, settings

from tests.end_to_end import nights
from tests.end_to_end.servers import dask_cluster, prefect_server

# The same examples on every run, not judged by the speed of a busy machine.
settings.register_profile("marrow", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("marrow")


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """A real Prefect server and a Dask worker that the nights of this session use, unless they ask for embedded ones.

    To start both takes several times as long as a night of small slides.
    """
    folder = tmp_path_factory.mktemp("services")
    with prefect_server(folder) as env, dask_cluster(folder, workers=1) as address:
        nights.SERVICES.update({name: env[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")})
        nights.SERVICES["MARROW_CLUSTER"] = address
        yield
        nights.SERVICES.clear()


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """(home, inbox, result) of a night of two small slides with server and workers of its own; nobody changes them."""
    root = tmp_path_factory.mktemp("night")
    nights.small_phantom(root / "inbox", seed=5, patients=2)
    result = nights.run_night(root / "inbox", root / "home", "--cluster", "local:2", embedded=True)
    return root / "home", root / "inbox", result
