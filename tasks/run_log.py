"""The log that an operator reads in Prefect beside a run."""

from __future__ import annotations

import logging

from prefect import get_run_logger
from prefect.exceptions import MissingContextError


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The log of the Prefect run that the caller is in; a plain one outside of a run."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
