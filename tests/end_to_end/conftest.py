"""One Prefect server for the session, and one small night for all tests that only look at its result."""

import pytest

from tests.end_to_end import nights
from tests.end_to_end.servers import prefect_server


@pytest.fixture(scope="session", autouse=True)
def session_server(tmp_path_factory):
    """A real Prefect server that the nights of this session report to, unless they ask for the embedded one."""
    with prefect_server(tmp_path_factory.mktemp("server")) as env:
        nights.SERVER.update({name: env[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")})
        yield
        nights.SERVER.clear()


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """(home, inbox, result) of a night of two small slides with the embedded server; nobody changes them."""
    root = tmp_path_factory.mktemp("night")
    nights.small_phantom(root / "inbox", seed=5, patients=2)
    result = nights.run_night(root / "inbox", root / "home", "--cluster", "local:2", embedded=True)
    return root / "home", root / "inbox", result
