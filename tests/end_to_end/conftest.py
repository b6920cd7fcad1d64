"""Nights of these tests report to one server and share a worker, unless they say otherwise."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _of_the_session(services):
    """See ``services``."""
