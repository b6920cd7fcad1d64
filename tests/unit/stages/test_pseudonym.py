import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrow_models.errors import UserError
from tasks.pseudonym import KEY_BYTES, Pseudonyms, load_pseudonyms

KEY = Pseudonyms(bytes(range(KEY_BYTES)))
OTHER_KEY = Pseudonyms(bytes(reversed(range(KEY_BYTES))))
names = st.text(min_size=1)


def test_the_key_is_made_at_first_use_for_its_owner_only(tmp_path):
    path = tmp_path / "keys" / "pseudonym.key"

    load_pseudonyms(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["pseudonym.key"]


def test_the_same_key_is_read_every_night(tmp_path):
    path = tmp_path / "pseudonym.key"

    assert load_pseudonyms(path).patient("4711") == load_pseudonyms(path).patient("4711")


def test_two_laboratories_give_the_same_patient_different_pseudonyms(tmp_path):
    first, second = load_pseudonyms(tmp_path / "a.key"), load_pseudonyms(tmp_path / "b.key")

    assert first.patient("4711") != second.patient("4711")


def test_a_key_that_others_may_read_is_refused_with_the_way_out(tmp_path):
    path = tmp_path / "pseudonym.key"
    load_pseudonyms(path)
    path.chmod(0o644)

    with pytest.raises(UserError, match="chmod 600"):
        load_pseudonyms(path)


@pytest.mark.parametrize("content", ["", "zz", "00", "0" * 62])
def test_a_damaged_key_is_refused_and_never_replaced(tmp_path, content):
    path = tmp_path / "pseudonym.key"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(UserError, match="Restore"):
        load_pseudonyms(path)
    assert path.read_text() == content


def test_a_key_in_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="not a usable pseudonym key"):
        load_pseudonyms(tmp_path / "file" / "pseudonym.key")


def test_the_key_is_not_shown_when_the_object_is_printed():
    assert KEY.key.hex() not in repr(KEY)
    assert str(KEY.key) not in repr(KEY)


@given(names)
def test_a_pseudonym_depends_on_the_key_and_not_on_the_day(name):
    assert KEY.patient(name) == KEY.patient(name)
    assert KEY.patient(name) != OTHER_KEY.patient(name)


@given(names, names)
def test_different_patients_have_different_pseudonyms(first, second):
    assert (KEY.patient(first) == KEY.patient(second)) == (first == second)


@given(names)
def test_a_patient_and_a_file_of_the_same_name_cannot_be_linked(name):
    digests = {KEY.patient(name)[1:], KEY.entry(name)[1:], KEY.text(name), KEY.fingerprint(name, 1, 1)[:24]}

    assert len(digests) == 4


@given(names, st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_file_that_changed_has_another_fingerprint(name, size, mtime):
    seen = KEY.fingerprint(name, size, mtime)

    assert seen == KEY.fingerprint(name, size, mtime)
    assert seen != KEY.fingerprint(name, size + 1, mtime)
    assert seen != KEY.fingerprint(name, size, mtime + 1)
    assert seen != KEY.fingerprint(name + "x", size, mtime)


def test_names_that_are_not_unicode_are_hashed_too():
    assert KEY.entry("slide-\udcff.svs") != KEY.entry("slide-\udcfe.svs")
