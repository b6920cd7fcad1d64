"""Nights on real slides use one server and one worker, as the end-to-end tests do."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _of_the_session(services):
    """See ``services``."""
