"""The real night uses the same Prefect server as the end-to-end tests."""

from tests.end_to_end.conftest import session_server

__all__ = ["session_server"]
