"""The pseudonym key: made once, known to its warehouse, and rotated without any patient's id."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from flows.command_check import check_report
from flows.command_init import init_home, rotate_key, settings_text
from flows.settings import load_settings
from marrow_models.errors import Reason, SlideRefused, UserError
from tasks.home import Home
from tasks.keys import bring_forward, open_pseudonyms, rotate
from tasks.plan import NightPlan
from tasks.pseudonym import Pseudonyms, add_key, load_pseudonyms
from tests.unit.operating.nights import begun
from tests.unit.operating.test_quarantine import discovered
from tests.unit.store_house.factories import (
    diagnosis_record,
    finish_slide,
    model_record,
    patient_record,
    run_record,
    slide_record,
)
from warehouse.connection import Warehouse, open_warehouse
from warehouse.dimensions import remember_file, store_model, store_patient, store_slide
from warehouse.integrity import faults
from warehouse.ledger import State, record
from warehouse.load import load_diagnosis
from warehouse.published import open_published
from warehouse.runs import RunState, finish_run, start_run


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MARROW_"):
            monkeypatch.delenv(name)


def night_of(warehouse: Warehouse, keys: Pseudonyms, run_id: str = "night-1") -> None:
    """A finished night with a patient, a counted slide, a suggestion, a file by its name and a known file."""
    start_run(warehouse, run_record(run_id, settings={"key_id": keys.key_id}))
    store_model(warehouse, model_record())
    patient = keys.patient("4711")
    store_patient(warehouse, patient_record(patient))
    store_slide(warehouse, slide_record(patient_key=patient))
    finish_slide(warehouse, run_id=run_id)
    store_slide(warehouse, slide_record(patient_key=patient))
    load_diagnosis(warehouse, diagnosis_record("d" + "0" * 32, patient_key=patient, run_id=run_id))
    remember_file(warehouse, keys.fingerprint("a.svs", 1, 2), "s1")
    entry = keys.entry("empty.svs")
    record(warehouse, run_id, entry, State.DISCOVERED)
    record(warehouse, run_id, entry, State.QUARANTINED, reason=Reason.EMPTY_FILE)
    finish_run(warehouse, run_id, RunState.DONE_WITH_QUARANTINE)


def all_text(warehouse: Warehouse) -> str:
    """Every value of every table."""
    with warehouse.exclusive() as connection:
        tables = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return repr([connection.table(name).fetchall() for name in tables])


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root / "home")


@pytest.fixture
def plan(home: Home) -> NightPlan:
    load_pseudonyms(home.default_key_file)
    return NightPlan(home=home.root)


def test_a_rotation_replaces_every_pseudonym_and_nothing_else(home: Home, plan: NightPlan) -> None:
    old = load_pseudonyms(home.default_key_file)
    with open_warehouse(home.warehouse) as warehouse:
        night_of(warehouse, old)
        counts = {
            table: warehouse.count(table) for table in ("dim_patient", "fact_laboratory", "fact_cell", "known_file")
        }
        replaced = rotate(warehouse, plan, home)
        new = load_pseudonyms(home.default_key_file)
        text = all_text(warehouse)
        assert replaced == {"patient": 1, "entry": 1, "file": 1, "diagnosis": 1}
        assert {table: warehouse.count(table) for table in counts} == counts
        assert faults(warehouse) == ()
    for before in (old.patient("4711"), old.entry("empty.svs"), old.fingerprint("a.svs", 1, 2), "d" + "0" * 32):
        assert before not in text
    for after in (new.patient("4711"), new.entry("empty.svs"), new.fingerprint("a.svs", 1, 2)):
        assert after in text
    assert old.patient("4711") != new.patient("4711")
    assert stat.S_IMODE(home.default_key_file.stat().st_mode) == 0o600


def test_old_keys_alone_give_no_present_pseudonym(home: Home, plan: NightPlan) -> None:
    old = load_pseudonyms(home.default_key_file)
    new = add_key(home.default_key_file)
    twice = add_key(home.default_key_file)
    assert len({old.patient("1"), new.patient("1"), twice.patient("1")}) == 3
    assert twice.renewed("patient", old.patient("1"), 1) == twice.renewed("patient", new.patient("1"), 2)
    assert twice.renewed("patient", old.patient("1"), 1) == twice.patient("1")
    assert [twice.generation_of(keys.key_id) for keys in (old, new, twice)] == [1, 2, 3]
    assert old.generation_of(new.key_id) is None


@pytest.mark.parametrize("times", [1, 2])
def test_a_backup_from_before_rotations_is_brought_forward_by_the_next_night(
    home: Home, plan: NightPlan, times: int
) -> None:
    with open_warehouse(home.warehouse) as warehouse:
        night_of(warehouse, load_pseudonyms(home.default_key_file))
    for _ in range(times):  # as if the warehouse had been elsewhere meanwhile
        add_key(home.default_key_file)
    keys = load_pseudonyms(home.default_key_file)
    with open_warehouse(home.warehouse) as warehouse:
        assert bring_forward(warehouse, keys)["patient"] == 1
        assert keys.patient("4711") in all_text(warehouse)
        assert bring_forward(warehouse, keys) == {}


def test_an_interrupted_rotation_is_ended_and_not_begun_again(home: Home, plan: NightPlan) -> None:
    with open_warehouse(home.warehouse) as warehouse:
        night_of(warehouse, load_pseudonyms(home.default_key_file))
        add_key(home.default_key_file)  # and here it was killed
        assert rotate(warehouse, plan, home)["patient"] == 1
        assert load_pseudonyms(home.default_key_file).generation == 2


def test_a_warehouse_from_before_the_marks_is_rotated_too(home: Home, plan: NightPlan) -> None:
    old = load_pseudonyms(home.default_key_file)
    with open_warehouse(home.warehouse) as warehouse:
        start_run(warehouse, run_record())
        store_patient(warehouse, patient_record(old.patient("4711")))
        assert rotate(warehouse, plan, home)["patient"] == 1
        assert load_pseudonyms(home.default_key_file).patient("4711") in all_text(warehouse)


def test_another_key_is_refused_before_it_gives_anyone_another_pseudonym(home: Home, plan: NightPlan) -> None:
    with open_warehouse(home.warehouse) as warehouse:
        night_of(warehouse, load_pseudonyms(home.default_key_file))
        home.default_key_file.unlink()
        before = all_text(warehouse)
        with pytest.raises(UserError, match="not the one that this warehouse was made with"):
            bring_forward(warehouse, load_pseudonyms(home.default_key_file))
        assert all_text(warehouse) == before


def test_a_slide_in_quarantine_is_known_again_after_a_rotation(root: Path) -> None:
    home = Home(root / "home")
    with begun(root, "n1") as night:
        (slide,) = discovered(night)
        night.refuse(slide.slide_id, SlideRefused(Reason.TRUNCATED))
        start_run(night.warehouse, run_record("mark", settings={"key_id": night.pseudonyms.key_id}))
        rotate(night.warehouse, night.plan, home)
    with begun(root, "n2") as night:
        assert discovered(night) == []
        assert night.entered == {slide.slide_id}


def test_what_is_published_after_a_rotation_holds_no_old_pseudonym(home: Home, plan: NightPlan) -> None:
    old = load_pseudonyms(home.default_key_file).patient("4711")
    with open_warehouse(home.warehouse) as warehouse:
        night_of(warehouse, load_pseudonyms(home.default_key_file))
    report = rotate_key(home.root)
    assert report["replaced"]["patient"] == 1
    new = load_pseudonyms(home.default_key_file).patient("4711")
    with open_published(home.published / "marrow.duckdb") as database:
        assert [row["patient_id"] for row in database.rows("patient_table")] == [new]
    files = [path for path in home.published.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if old.encode() in path.read_bytes()]


def test_a_new_home_gets_folders_a_key_and_settings_and_a_second_init_changes_nothing(tmp_path: Path) -> None:
    made = init_home(tmp_path / "home", key_file=None, inbox=tmp_path / "inbox")
    key, settings = tmp_path / "home" / "keys" / "pseudonym.key", tmp_path / "home" / "marrow.toml"
    before = key.read_bytes(), settings.read_bytes()
    again = init_home(tmp_path / "home", key_file=None, inbox=tmp_path / "inbox")
    assert [row["made"] for row in made] == [True, True, True]
    assert [row["made"] for row in again] == [True, False, False]
    assert (key.read_bytes(), settings.read_bytes()) == before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert load_settings(home=tmp_path / "home").inbox == tmp_path / "inbox"


def test_a_key_elsewhere_is_named_in_the_settings_and_used(tmp_path: Path) -> None:
    init_home(tmp_path / "home", key_file=tmp_path / "vault" / "key", inbox=None)
    plan = load_settings(home=tmp_path / "home")
    assert plan.key_file == tmp_path / "vault" / "key"
    assert open_pseudonyms(plan, Home(plan.home), None) == load_pseudonyms(tmp_path / "vault" / "key")
    with pytest.raises(UserError, match="another key_file"):
        init_home(tmp_path / "home", key_file=tmp_path / "other", inbox=None)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("folder", ["warehouse", "published", "slides"])
def test_a_key_beside_what_it_protects_is_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(UserError, match="beside what it protects"):
        init_home(tmp_path / "home", key_file=tmp_path / "home" / folder / "key", inbox=None)


def test_f66_a_secret_that_is_missing_is_named_by_check_and_not_made_anew(home: Home) -> None:
    missing = home.root / "vault" / "pseudonym.key"
    (home.root / "marrow.toml").write_text(f'key_file = "{missing}"\n')
    row = next(row for row in check_report(home.root, None) if row["check"] == "pseudonym key")
    assert not row["ok"]
    assert str(missing) in row["detail"]
    assert not missing.exists()


def test_a_home_that_had_a_night_and_lost_its_key_gets_no_other_one(home: Home) -> None:
    with open_warehouse(home.warehouse) as warehouse:
        start_run(warehouse, run_record())
        with pytest.raises(UserError, match="Restore it from its backup"):
            open_pseudonyms(NightPlan(home=home.root), home, warehouse)
    assert not home.default_key_file.exists()


def test_the_settings_file_shows_every_setting_with_its_meaning_and_its_default(tmp_path: Path) -> None:
    text = settings_text({})
    shown = [line.removeprefix("#") for line in text.splitlines() if line.startswith("#") and not line.startswith("# ")]
    values = tomllib.loads("\n".join(line for line in shown if "/path/of/it" not in line))
    fields = {name: field for name, field in NightPlan.model_fields.items() if name != "home"}
    assert {line.partition(" = ")[0] for line in shown} == fields.keys()
    assert all(field.description for field in fields.values())
    assert NightPlan(home=tmp_path, **values) == NightPlan(home=tmp_path)
