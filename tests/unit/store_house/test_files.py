"""A file is replaced whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from warehouse.files import remove, replacing

if TYPE_CHECKING:
    from pathlib import Path


def test_the_new_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    for text in ("old", "new"):
        with replacing(target) as staged:
            staged.write_text(text)
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["file"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as staged:
            staged.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "old")]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".file.12345.tmp").write_text("left")
    (tmp_path / ".file.12345.tmp.wal").write_text("left")
    with replacing(tmp_path / "file") as staged:
        staged.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_whoever_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with target.open() as reader:
        with replacing(target) as staged:
            staged.write_text("new")
        assert reader.read() == "old"


def test_removing_follows_no_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kept").touch()
    link = tmp_path / "link"
    link.symlink_to(folder)
    remove(link)
    remove(tmp_path / "nothing")
    assert (folder / "kept").exists()
    remove(folder)
    assert not folder.exists()
