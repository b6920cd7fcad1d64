import pickle

import pytest

from marrow_models.errors import Reason, SlideRefused
from tasks.remote import Outcome, guarded

SECRET = "DOE^JANE-4711"


def _raise(error):
    raise error


def test_a_value_comes_back_as_it_is():
    assert guarded(lambda a, b: a + b, 1, b=2).unwrap() == 3


def test_a_refusal_keeps_its_reason_and_detail():
    outcome = guarded(_raise, SlideRefused(Reason.NO_MPP, "level 0"))

    with pytest.raises(SlideRefused) as refused:
        outcome.unwrap()
    assert (refused.value.reason, refused.value.detail) == (Reason.NO_MPP, "level 0")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file", SECRET), Reason.SOURCE_GONE),
        (PermissionError(13, "Permission denied", SECRET), Reason.NO_PERMISSION),
        (ValueError(f"could not parse {SECRET}"), Reason.INTERNAL),
        (KeyError(SECRET), Reason.INTERNAL),
        (MemoryError(SECRET), Reason.OOM),
        (OSError(28, "No space left on device", SECRET), Reason.DISK_FULL),
        (OSError(5, "Input/output error", SECRET), Reason.INTERNAL),
    ],
)
def test_an_unforeseen_error_costs_one_slide_and_tells_no_name(error, reason):
    outcome = guarded(_raise, error)

    assert outcome.reason is reason
    assert SECRET not in outcome.detail
    assert type(error).__name__ in outcome.detail
    assert "test_remote.py" in outcome.detail


def test_an_outcome_travels_between_processes():
    outcome = guarded(_raise, ValueError(SECRET))

    assert pickle.loads(pickle.dumps(outcome)) == outcome
    assert SECRET.encode() not in pickle.dumps(outcome)


def test_a_request_to_stop_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        guarded(_raise, KeyboardInterrupt())


def test_none_is_a_value_too():
    assert Outcome(None).unwrap() is None
