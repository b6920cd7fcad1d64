"""What is taken from an inbox, what is refused, and by what a slide is known."""

from __future__ import annotations

import os
import shutil
import socket
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marrow_models.errors import Reason, SlideRefused
from marrow_models.slides.identity import slide_id_of
from marrow_models.slides.inbox import content_digest, find_slides, is_stable
from tests.unit.slide_files.sources import (
    CANARY,
    JPEG_2000,
    Dicom,
    Svs,
    picture,
    write_mirax,
    write_ome_tiff,
    write_tiff,
)

SMALL = picture(300, 260)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def refusals(inbox: Path) -> dict[str, Reason]:
    return {entry.relative_name: entry.reason for entry in find_slides(inbox)[1]}


def formats(inbox: Path) -> dict[str, str]:
    return {entry.relative_name: entry.format for entry in find_slides(inbox)[0]}


def test_each_format_is_known_by_its_content_whatever_its_name(inbox: Path) -> None:
    Svs(SMALL).write(inbox / "aperio.tif")
    write_ome_tiff(inbox / "ome.svs", SMALL)
    write_tiff(inbox / "plain.dat", SMALL)
    Dicom(SMALL).write(inbox / "no-suffix")
    write_mirax(inbox / "m.mrxs", picture(512, 256))
    assert formats(inbox) == {
        "aperio.tif": "aperio",
        "ome.svs": "ome-tiff",
        "plain.dat": "tiff",
        "no-suffix": "dicom",
        "m.mrxs": "mirax",
    }
    assert refusals(inbox) == {}


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_all_four_kinds_of_tiff_are_known(inbox: Path, byteorder: str, bigtiff: bool) -> None:
    import tifffile

    tifffile.imwrite(inbox / "slide", SMALL, byteorder=byteorder, bigtiff=bigtiff)
    assert formats(inbox) == {"slide": "tiff"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, Reason.WRONG_TYPE),
        (b"PK\x03\x04" + b"\0" * 200, Reason.WRONG_TYPE),
        (b"%PDF-1.7" + b"\0" * 200, Reason.WRONG_TYPE),
        (bytes(range(256)), Reason.WRONG_TYPE),
        (b"II*", Reason.WRONG_TYPE),
    ],
)
def test_a_file_that_is_only_named_like_a_slide_is_refused(inbox: Path, content: bytes, reason: Reason) -> None:
    (inbox / "a.svs").write_bytes(content)
    assert refusals(inbox) == {"a.svs": reason}


def test_helper_files_are_passed_over_in_silence(inbox: Path) -> None:
    for name in ("manifest.csv", "notes.txt", "run.json", ".hidden.svs", "._a.svs", "a.svs.part", "photo", "Thumbs.db"):
        (inbox / name).write_bytes(b"not a slide")
    (inbox / "truth").mkdir()
    Svs(SMALL).write(inbox / "truth" / "a.svs")
    assert find_slides(inbox) == ([], [])


def test_links_pipes_and_sockets_are_refused_and_never_waited_for(inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "outside.svs"
    Svs(SMALL).write(secret)
    (inbox / "link.svs").symlink_to(secret)
    (inbox / "folder").symlink_to(tmp_path)
    (inbox / "dangling.svs").symlink_to(tmp_path / "nowhere")
    os.mkfifo(inbox / "pipe.svs")
    server = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(inbox)  # the path of a socket may not be long
    server.bind("socket.svs")
    os.chdir(here)
    server.close()
    began = time.monotonic()
    assert set(refusals(inbox).values()) == {Reason.NOT_REGULAR_FILE}
    assert set(refusals(inbox)) == {"link.svs", "folder", "dangling.svs", "pipe.svs", "socket.svs"}
    assert time.monotonic() - began < 2
    assert formats(inbox) == {}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(inbox: Path) -> None:
    Svs(SMALL).write(inbox / "a.svs").chmod(0)
    assert refusals(inbox) == {"a.svs": Reason.NO_PERMISSION}


def test_a_refusal_for_lack_of_permission_does_not_depend_on_who_runs_the_test(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Svs(SMALL).write(inbox / "a.svs")
    real = os.open

    def denied(path: object, *rest: int, **named: int) -> int:
        if str(path).endswith(".svs"):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", denied)
    assert refusals(inbox) == {"a.svs": Reason.NO_PERMISSION}


NAMES = ["a b.svs", "line\nbreak.svs", "🩸.svs", "-rf.svs", "CON.svs", "x" * 251 + ".svs", "\u202egnp.svs", "tab\t.svs"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_that_a_file_can_have_is_listed(inbox: Path, name: str) -> None:
    write_tiff(inbox / "t.tif", SMALL).rename(inbox / name)
    assert formats(inbox) == {name: "tiff"}


def test_names_are_compared_in_one_unicode_form(inbox: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Knochenmärk.svs")
    write_tiff(inbox / "t.tif", SMALL).rename(inbox / decomposed)
    assert formats(inbox) == {unicodedata.normalize("NFC", decomposed): "tiff"}


@given(st.binary(min_size=1, max_size=40).filter(lambda b: b"/" not in b and b"\0" not in b and b[:1] != b"."))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_even_names_that_are_no_text_are_listed_as_text_that_can_be_stored(tmp_path: Path, raw: bytes) -> None:
    inbox = tmp_path / "any"
    shutil.rmtree(inbox, ignore_errors=True)
    inbox.mkdir()
    (inbox / os.fsdecode(raw + b".svs")).write_bytes(b"")
    (name,) = refusals(inbox)
    assert name.encode("utf-8")


def test_slides_in_sub_folders_are_found_one_level_down(inbox: Path) -> None:
    deep = inbox / "tuesday" / "again"
    deep.mkdir(parents=True)
    Svs(SMALL).write(inbox / "tuesday" / "a.svs")
    Svs(SMALL).write(deep / "b.svs")
    assert formats(inbox) == {"tuesday/a.svs": "aperio"}


def test_a_mirax_slide_is_one_entry_with_the_files_of_its_folder(inbox: Path) -> None:
    write_mirax(inbox / "m.mrxs", picture(512, 256))
    (entry,), refused = find_slides(inbox)
    assert [m.name for m in entry.members] == ["m.mrxs", "Data0000.dat", "Index.dat", "Slidedat.ini"]
    assert entry.size_bytes == sum(m.stat().st_size for m in entry.members)
    assert not refused


@pytest.mark.parametrize("lost", ["Data0000.dat", "Index.dat", "Slidedat.ini", "."])
def test_a_mirax_slide_without_one_of_its_files_is_refused(inbox: Path, lost: str) -> None:
    write_mirax(inbox / "m.mrxs", picture(512, 256))
    target = inbox / "m" / lost
    shutil.rmtree(target) if lost == "." else target.unlink()
    assert refusals(inbox) == {"m.mrxs": Reason.MISSING_SIDECAR}


def test_a_mirax_folder_may_not_lead_out_of_the_inbox(inbox: Path, tmp_path: Path) -> None:
    write_mirax(inbox / "m.mrxs", picture(512, 256))
    (inbox / "m" / "Data0000.dat").rename(tmp_path / "d.dat")
    (inbox / "m" / "Data0000.dat").symlink_to(tmp_path / "d.dat")
    assert refusals(inbox) == {"m.mrxs": Reason.NOT_REGULAR_FILE}


def test_the_instances_of_a_dicom_series_are_one_entry_led_by_the_largest_level(inbox: Path) -> None:
    series = inbox / "case" / "series"
    series.mkdir(parents=True)
    Dicom(picture(300, 300), kind="LABEL", syntax=JPEG_2000).write(series / "a.dcm")
    Dicom(picture(520, 520)).write(series / "b.dcm")
    Dicom(picture(260, 260)).write(series / "c.dcm")
    (entry,), refused = find_slides(inbox)
    assert entry.relative_name == "case/series/b.dcm"
    assert len(entry.members) == 3
    assert set(entry.aliases) == {"case/series/a.dcm", "case/series/c.dcm", "case/series"}
    assert not refused


def test_two_series_in_one_folder_are_two_slides_and_the_folder_names_neither(inbox: Path) -> None:
    (inbox / "both").mkdir()
    Dicom(SMALL, series="1.1").write(inbox / "both" / "a.dcm")
    Dicom(SMALL, series="1.2").write(inbox / "both" / "b.dcm")
    entries, _ = find_slides(inbox)
    assert [(e.relative_name, e.aliases) for e in entries] == [("both/a.dcm", ()), ("both/b.dcm", ())]


def test_a_dicom_picture_that_is_no_slide_is_refused(inbox: Path) -> None:
    path = Dicom(SMALL).write(inbox / "ct.dcm")
    path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.5.1.4.1.1.77.1.6", b"1.2.840.10008.5.1.4.1.1.77.1.4"))
    assert refusals(inbox) == {"ct.dcm": Reason.WRONG_TYPE}


def test_nothing_identifying_stands_in_what_is_listed_but_the_file_name(inbox: Path) -> None:
    Svs(SMALL).write(inbox / "a.svs")
    Dicom(SMALL).write(inbox / "b.dcm")
    (inbox / "c.svs").write_bytes(CANARY.encode() * 10)
    entries, refused = find_slides(inbox)
    assert CANARY not in repr(entries) + repr(refused)


class TestIdentity:
    def test_the_digest_of_a_single_file_is_that_of_its_bytes(self, inbox: Path) -> None:
        import hashlib

        path = Svs(SMALL).write(inbox / "a.svs")
        (entry,), _ = find_slides(inbox)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert content_digest(entry) == digest
        assert slide_id_of(digest) == "s" + digest[:24]

    def test_a_slide_keeps_its_identity_under_another_name(self, inbox: Path) -> None:
        write_mirax(inbox / "one.mrxs", picture(512, 256))
        shutil.copy(inbox / "one.mrxs", inbox / "two.mrxs")
        shutil.copytree(inbox / "one", inbox / "two")
        (one, two), _ = find_slides(inbox)
        assert content_digest(one) == content_digest(two)

    def test_dicom_instances_are_told_apart_by_content_not_by_name(self, inbox: Path) -> None:
        (inbox / "x").mkdir()
        first = Dicom(picture(520, 520)).write(inbox / "x" / "1.dcm")
        second = Dicom(picture(260, 260)).write(inbox / "x" / "2.dcm")
        (entry,), _ = find_slides(inbox)
        before = content_digest(entry)
        first.rename(inbox / "x" / "z.dcm")
        second.rename(inbox / "x" / "a.dcm")
        (entry,), _ = find_slides(inbox)
        assert content_digest(entry) == before

    @pytest.mark.parametrize("changed", ["m.mrxs", "m/Index.dat", "m/Data0000.dat"])
    def test_a_change_in_any_member_is_another_slide(self, inbox: Path, changed: str) -> None:
        write_mirax(inbox / "m.mrxs", picture(512, 256))
        (entry,), _ = find_slides(inbox)
        before = content_digest(entry)
        with (inbox / changed).open("ab") as file:
            file.write(b"!")
        assert content_digest(entry) != before

    def test_a_slide_that_went_away_is_refused(self, inbox: Path) -> None:
        path = Svs(SMALL).write(inbox / "a.svs")
        (entry,), _ = find_slides(inbox)
        path.unlink()
        with pytest.raises(SlideRefused) as caught:
            content_digest(entry)
        assert caught.value.reason == Reason.SOURCE_GONE


class TestStability:
    NOW = 1_800_000_000 * 10**9

    def entry(self, inbox: Path, age_s: float):
        path = write_tiff(inbox / "a.tif", SMALL)
        os.utime(path, ns=(0, self.NOW - int(age_s * 1e9)))
        return find_slides(inbox)[0][0]

    @pytest.mark.parametrize(("age_s", "stable"), [(0, False), (59, False), (60, True), (1e6, True)])
    def test_a_slide_is_stable_once_it_was_left_alone(self, inbox: Path, age_s: float, stable: bool) -> None:
        assert is_stable(self.entry(inbox, age_s), now_ns=self.NOW, quiet_s=60) is stable

    def test_a_slide_that_grew_since_it_was_listed_is_not_stable(self, inbox: Path) -> None:
        entry = self.entry(inbox, 1000)
        with entry.path.open("ab") as file:
            file.write(b"more")
        os.utime(entry.path, ns=(0, entry.mtime_ns))
        assert not is_stable(entry, now_ns=self.NOW, quiet_s=60)

    def test_a_slide_that_is_gone_is_not_stable(self, inbox: Path) -> None:
        entry = self.entry(inbox, 1000)
        entry.path.unlink()
        assert not is_stable(entry, now_ns=self.NOW, quiet_s=60)

    def test_a_wrong_clock_does_not_defer_a_slide_for_years(self, inbox: Path) -> None:
        assert is_stable(self.entry(inbox, -400 * 86_400), now_ns=self.NOW, quiet_s=60)
        assert not is_stable(self.entry(inbox, -5), now_ns=self.NOW, quiet_s=60)


def test_ten_thousand_slides_are_listed_in_seconds(inbox: Path) -> None:
    slide = write_tiff(inbox / "0.tif", SMALL)
    for number in range(1, 10_000):
        (inbox / f"{number}.tif").hardlink_to(slide)
    began = time.process_time()
    entries, _ = find_slides(inbox)
    assert len(entries) == 10_000
    assert time.process_time() - began < 8
