"""What every stage of a slide has around it: ledger, seconds, a line in the log; and how a slide's task run ends."""

import logging
import re

import pytest

from marrow_models.errors import CannotWrite, NightFailed, NightStopped, Reason, SlideRefused
from tasks.night import Slide
from tasks.stage import slide_stage, slide_task
from tests.unit.operating.nights import begun
from warehouse.ledger import State
from warehouse.read import stage_times

NAME = "DOE^JANE-4711.svs"


@pytest.fixture
def night(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "inbox").mkdir()
    with begun(tmp_path, "n1") as night:
        night.enter("s1", State.DISCOVERED)
        yield night


def stage_that(does):
    @slide_stage("ingest", enters=State.INGESTED)
    def stage(night, slide_id):
        return does()

    return stage


def throw(error):
    raise error


def lines(caplog):
    """What the log of the run has, the seconds taken out."""
    told = [record for record in caplog.records if record.name == "tasks.run_log"]
    return [(record.levelno, re.sub(r"\d+\.\d s", "T", record.getMessage())) for record in told]


def states(night):
    return [row["state"] for row in night.warehouse.rows("ledger_history", slide_id="s1")]


def test_a_stage_gives_its_value_enters_its_state_and_says_its_seconds(night, caplog):
    assert stage_that(lambda: 7)(night, "s1") == 7

    assert states(night) == ["discovered", "ingested"]
    assert lines(caplog) == [(logging.INFO, "ingest: T")]
    assert set(stage_times(night.warehouse, "n1").by_stage) == {"ingest"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SlideRefused(Reason.NO_MPP, "level 0"), "NO_MPP"),
        (ValueError(f"cannot parse {NAME}"), "INTERNAL"),
        (FileNotFoundError(2, "No such file", NAME), "SOURCE_GONE"),
        (CannotWrite("the disk is full"), "the night ends"),
        (NightFailed("no worker"), "the night ends"),
    ],
)
def test_a_stage_that_fails_says_why_without_a_name_and_enters_nothing(night, caplog, error, said):
    with pytest.raises(type(error)):
        stage_that(lambda: throw(error))(night, "s1")

    assert states(night) == ["discovered"]
    assert lines(caplog) == [(logging.ERROR, f"ingest: {said} after T")]
    assert NAME not in caplog.text
    assert set(stage_times(night.warehouse, "n1").by_stage) == {"ingest"}


def test_no_stage_begins_once_the_night_was_asked_to_stop(night):
    night.stop.request(15)

    with pytest.raises(NightStopped):
        stage_that(lambda: pytest.fail("begun"))(night, "s1")


@pytest.mark.parametrize(
    ("error", "name", "message", "ledger"),
    [
        (None, "Completed", "done", []),
        (SlideRefused(Reason.NO_MPP), "Quarantined", "NO_MPP", ["quarantined"]),
        (ValueError(NAME), "Quarantined", "INTERNAL", ["quarantined"]),
        (SlideRefused(Reason.DISK_FULL), "Deferred", "DISK_FULL", ["deferred"]),
        (CannotWrite("the disk is full"), "NightFailed", "the disk is full", []),
        (NightFailed("no worker"), "NightFailed", "no worker", []),
    ],
)
def test_the_run_of_a_slide_ends_with_its_state_and_reason(night, error, name, message, ledger):
    @slide_task("take through")
    def take(night, slide):
        if error is not None:
            raise error

    state = take.fn(night, Slide("s1"))

    assert (state.name, state.message) == (name, message)
    assert states(night) == ["discovered", *ledger]
