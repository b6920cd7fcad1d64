"""`marrow reconcile`: put right what a run left behind whose process is gone."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.settings import load_settings, prepare_prefect


def reconcile_report(home: Path) -> list[dict[str, Any]]:
    """One row for each thing that was put right; none when all was."""
    load_settings(home=home)
    prepare_prefect(home)
    from flows.reconcile import reconcile_home

    return [asdict(row) for row in reconcile_home(home, with_server="PREFECT_API_URL" in os.environ)]
