"""F56: the disks of the orchestrator's own state and of Dask's spill are full, which costs no slide and no row."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.nights import MARROW, cells_of, environment, marrow, run_night, small_phantom
from tests.end_to_end.servers import process, wait_until
from tests.faults.disks import can_mount, fill, small_disk
from warehouse.connection import open_warehouse
from warehouse.integrity import faults

pytestmark = [
    pytest.mark.nights,
    pytest.mark.skipif(
        os.geteuid() != 0 or not can_mount(Path("/tmp") / f"marrow-{os.getpid()}"),
        reason="this account may not mount a tmpfs",
    ),
]
LITTLE = {"MARROW_LEAST_FREE_BYTES": "0"}


def test_a_full_disk_of_spill_is_not_needed(tmp_path: Path) -> None:
    """References travel and not pixels: workers of a night spill nothing."""
    inbox, home = tmp_path / "inbox", tmp_path / "home"
    small_phantom(inbox, patients=1)
    with small_disk(home / "scratch", mib=1):
        fill(home / "scratch")
        result = run_night(inbox, home, embedded=True, **LITTLE)
    assert (result["discovered"], result["done"]) == (1, 1)
    assert len(cells_of(home)) > 20


def test_a_full_disk_of_the_orchestrators_state_loses_nothing_and_the_next_night_goes_on(
    night: tuple[Path, Path, dict], tmp_path: Path
) -> None:
    """The embedded server writes its database and logs to HOME/prefect. It fills up in the middle of a night."""
    undisturbed, inbox, _ = night
    home = tmp_path / "home"
    command = (MARROW, "run", "--inbox", inbox, "--home", home, "--json")
    log = tmp_path / "night.log"
    with small_disk(home / "prefect", mib=64):
        with process(*command, log=log, env=environment(embedded=True, **LITTLE)) as writer:
            wait_until(lambda: any((home / "slides").glob("*")), timeout_s=200, what="a slide under way", step_s=0.05)
            ballast = fill(home / "prefect")
            code = writer.wait(timeout=300)
        assert code in (0, 1), log.read_text()[-3000:]
        if (home / "warehouse" / "marrow.duckdb").exists():
            with open_warehouse(home / "warehouse" / "marrow.duckdb") as warehouse:
                assert faults(warehouse) == ()
        refused = marrow("run", "--inbox", inbox, "--home", home, embedded=True, MARROW_LEAST_FREE_BYTES=str(1 << 20))
        assert refused.returncode == 1
        assert "prefect has 0 MiB" in refused.stderr
        ballast.unlink()
        # What a full disk cut short is the orchestrator's own business; ours is kept elsewhere.
        for left in (home / "prefect").iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        run_night(inbox, home, embedded=True, **LITTLE)
    assert cells_of(home) == cells_of(undisturbed)
