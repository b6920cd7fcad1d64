import os
import time
from pathlib import Path

from marrow_models.records import ManifestRow
from marrow_models.slides.inbox import InboxEntry
from tasks.discover import Listing, settle
from warehouse.manifest import read_manifest


def entry(path: Path, *, aliases=()):
    stat = path.lstat()
    return InboxEntry(path, (path,), path.name, "tiff", stat.st_size, stat.st_mtime_ns, aliases)


def manifest(folder, *rows):
    path = folder / "manifest.csv"
    path.write_text("\n".join(["file,patient_id", *rows]))
    return read_manifest(path)


def slide(folder, name="a.svs"):
    path = folder / name
    path.write_bytes(b"II*\0")
    return path


def test_a_row_names_a_slide_by_its_file_or_by_the_folder_that_holds_it(tmp_path):
    found = entry(slide(tmp_path), aliases=("series", "series/2.dcm"))

    for name in ("a.svs", "series", "series/2.dcm", "series/"):
        rows = Listing([found], manifest(tmp_path, f"{name},P1")).rows_of(found)
        assert rows == [ManifestRow(name.strip("/"), "P1")]


def test_a_row_of_another_file_does_not_speak_of_a_slide(tmp_path):
    found = entry(slide(tmp_path))
    listing = Listing([found], manifest(tmp_path, "b.svs,P1"))

    assert listing.rows_of(found) == []
    assert [row.file for row in listing.missing_files()] == ["b.svs"]


def test_a_listed_file_that_is_no_slide_is_not_missing(tmp_path):
    listing = Listing([], manifest(tmp_path, "b.svs,P1"))
    listing.was_seen("b.svs")

    assert listing.missing_files() == []


def test_a_file_with_two_patients_is_a_conflict_and_another_is_not(tmp_path):
    first, second = entry(slide(tmp_path)), entry(slide(tmp_path, "b.svs"))
    listing = Listing([first, second], manifest(tmp_path, "a.svs,P1", "a.svs,P2", "b.svs,P3"))

    assert listing.conflict(first)
    assert not listing.conflict(second)


def test_a_file_that_stood_still_long_enough_is_taken_without_waiting(tmp_path):
    path = slide(tmp_path)
    os.utime(path, (time.time() - 100, time.time() - 100))
    started = time.monotonic()

    assert [stable for _, stable in settle([entry(path)], 60)] == [True]
    assert time.monotonic() - started < 5


def test_a_new_file_is_watched_and_taken_when_it_does_not_change(tmp_path):
    assert [stable for _, stable in settle([entry(slide(tmp_path))], 0.2)] == [True]


def test_a_file_that_grew_since_it_was_listed_is_not_taken(tmp_path):
    path = slide(tmp_path)
    found = entry(path)
    path.write_bytes(b"II*\0 and more")

    assert [stable for _, stable in settle([found], 0.2)] == [False]


def test_a_file_that_went_away_is_not_taken(tmp_path):
    path = slide(tmp_path)
    found = entry(path)
    path.unlink()

    assert [stable for _, stable in settle([found], 0.2)] == [False]
