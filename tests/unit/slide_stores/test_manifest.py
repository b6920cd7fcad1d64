"""A store is whole or absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from marrow_models.pyramid import manifest
from marrow_models.pyramid.manifest import StoreError

REQUEST = {"profile": "copy"}


def fill(partial: Path, text: str = "pixels") -> None:
    (partial / "0").mkdir()
    record = manifest.write_document(partial / "0" / "shard", text)
    manifest.write_manifest(partial, {"0/shard": record}, {"request": REQUEST})


def make(store: Path, text: str = "pixels") -> None:
    with manifest.partial_store(store) as partial:
        fill(partial, text)
        manifest.complete(partial, store)


def test_a_finished_store_is_complete_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    make(tmp_path / "s.zarr")
    assert manifest.answers(tmp_path / "s.zarr", REQUEST)
    assert [p.name for p in tmp_path.iterdir()] == ["s.zarr"]
    assert sorted(p.name for p in (tmp_path / "s.zarr").iterdir()) == ["0", "COMPLETE", "marrow-manifest.json"]
    manifest.check_content(tmp_path / "s.zarr")


def test_a_failure_leaves_no_trace(tmp_path: Path) -> None:
    def fail() -> None:
        with manifest.partial_store(tmp_path / "s.zarr") as partial:
            fill(partial)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["COMPLETE", "marrow-manifest.json", "0/shard"])
def test_a_store_that_lacks_a_file_is_not_complete(tmp_path: Path, lost: str) -> None:
    make(tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / lost).unlink()
    assert not manifest.answers(tmp_path / "s.zarr", REQUEST)


def test_a_shortened_file_is_found_by_the_cheap_check_and_an_altered_one_by_the_thorough(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    make(store)
    shard = store / "0" / "shard"
    shard.write_bytes(shard.read_bytes()[::-1])
    assert manifest.answers(store, REQUEST)
    with pytest.raises(StoreError, match="changed"):
        manifest.check_content(store)
    shard.write_bytes(b"")
    assert not manifest.answers(store, REQUEST)


def test_a_manifest_that_is_not_the_completed_one_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    make(store)
    document = json.loads((store / manifest.MANIFEST).read_bytes())
    (store / manifest.MANIFEST).write_text(json.dumps({**document, "request": {"profile": "portable"}}))
    with pytest.raises(StoreError):
        manifest.read_manifest(store)


def test_a_store_that_is_not_as_its_manifest_says_is_never_put_in_place(tmp_path: Path) -> None:
    with manifest.partial_store(tmp_path / "s.zarr") as partial:
        fill(partial)
        (partial / "0" / "shard").write_bytes(b"short")
        with pytest.raises(StoreError):
            manifest.complete(partial, tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_crash_between_renaming_and_marking_is_made_good_by_the_next_writer(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    store.mkdir()
    fill(store)
    (store / ".writing").touch()
    assert not manifest.answers(store, REQUEST)
    make(store, "new")
    assert manifest.answers(store, REQUEST)
    assert json.loads((store / "0" / "shard").read_bytes()) == "new"


def test_a_store_that_another_writer_completed_meanwhile_stays(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    with manifest.partial_store(store) as partial:
        fill(partial, "slow")
        make(store, "fast")
        manifest.complete(partial, store)
    assert json.loads((store / "0" / "shard").read_bytes()) == "fast"


_WRITE_AND_DIE = """
import os, pathlib, sys
from marrow_models.pyramid.manifest import partial_store
context = partial_store(pathlib.Path(sys.argv[1]))
(context.__enter__() / "half").write_bytes(b"a shard")
os._exit(9)
"""


def test_what_a_killed_writer_left_is_swept_but_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    store, other = tmp_path / "s.zarr", tmp_path / "s.zarr2"
    killed = subprocess.run([sys.executable, "-c", _WRITE_AND_DIE, str(store)], check=False)
    assert killed.returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    with manifest.partial_store(other) as alien, manifest.partial_store(store) as alive:
        with manifest.partial_store(store) as mine:
            assert sorted(tmp_path.iterdir()) == sorted([alien, alive, mine])
        assert alive.is_dir()


def test_a_folder_without_a_lock_goes_once_it_is_old(tmp_path: Path) -> None:
    new, old = tmp_path / "s.zarr.partial-1", tmp_path / "s.zarr.partial-2"
    new.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    make(tmp_path / "s.zarr")
    assert new.exists()
    assert not old.exists()
