import pytest

from flows.nightly import final_state
from flows.result import NightResult
from marrow_models.errors import UserError
from tasks.home import Home


def test_everything_marrow_writes_lies_under_home(tmp_path):
    home = Home(tmp_path / "home").create()
    places = [
        home.slides,
        home.store("s1"),
        home.warehouse,
        home.published,
        home.validation,
        home.scratch,
        home.prefect,
    ]

    assert all(place.is_relative_to(tmp_path / "home") for place in [*places, home.default_key_file])


def test_the_key_does_not_lie_with_the_warehouse(tmp_path):
    home = Home(tmp_path)

    assert not home.default_key_file.is_relative_to(home.warehouse.parent)
    assert not home.default_key_file.is_relative_to(home.published)


def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UserError, match="cannot be used as HOME"):
        Home(tmp_path / "file" / "home").create()


def result(**values):
    return NightResult("run", state="done", **values)


def test_a_failed_night_is_a_failed_flow_run_with_its_message():
    state = final_state(result(failure="The night did not pass its gate."))

    assert (state.is_failed(), state.name) == (True, "NightFailed")
    assert "gate" in state.message


def test_a_night_with_quarantine_can_be_told_from_a_clean_one_by_its_name():
    assert final_state(result(done=3)).name == "Completed"
    state = final_state(result(done=3, quarantined=1))
    assert (state.is_completed(), state.name) == (True, "CompletedWithQuarantine")


def test_overhead_is_the_part_of_the_night_in_which_no_stage_worked():
    assert result(seconds=10.0, seconds_in_stages=9.0).overhead == pytest.approx(0.1)
    assert result().overhead == 0.0
