"""The same night on other clusters."""

import pytest

from tests.end_to_end.nights import cells_of, marrow, run_night
from tests.end_to_end.servers import dask_cluster, free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_workers_started_by_hand_give_the_same_cells_as_the_embedded_cluster(night, tmp_path):
    home, inbox, _ = night

    with dask_cluster(tmp_path, workers=2) as address:
        run_night(inbox, tmp_path / "home", "--cluster", address)

    assert cells_of(tmp_path / "home") == cells_of(home)


def test_one_worker_gives_the_same_cells_as_two_with_other_tiles_and_batches(night, tmp_path):
    home, inbox, _ = night

    run_night(inbox, tmp_path / "home", "--cluster", "local:1", MARROW_TILE_PX="160", MARROW_BATCH_SIZE="7")

    assert cells_of(tmp_path / "home") == cells_of(home)


def test_a_cluster_without_workers_fails_the_night_with_a_message(night, tmp_path):
    _, inbox, _ = night

    with dask_cluster(tmp_path, workers=0) as address:
        done = marrow(
            "run", "--inbox", inbox, "--home", tmp_path / "home", "--cluster", address, MARROW_NO_WORKERS_TIMEOUT_S="5"
        )

    assert done.returncode == 1
    assert "No worker joined" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_scheduler_that_is_not_there_fails_the_night_with_a_message(night, tmp_path):
    _, inbox, _ = night
    address = f"tcp://127.0.0.1:{free_port()}"

    done = marrow(
        "run", "--inbox", inbox, "--home", tmp_path / "home", "--cluster", address, MARROW_NO_WORKERS_TIMEOUT_S="5"
    )

    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
