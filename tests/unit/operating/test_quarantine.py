"""What is in quarantine for a cause that lies in the slide is counted every night and read by none."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow_models.errors import REASONS, Reason, SlideRefused, UserError
from tasks.discover import discover_slides
from tasks.night import REFUSALS_THAT_DEFER, Night, Slide
from tasks.release import release_slides, slides_not_in_the_inbox
from tests.unit.operating.nights import begun
from warehouse.ledger import reconcile, release, states
from warehouse.manifest import read_manifest
from warehouse.quarantine import quarantine_table

IN_QUARANTINE = sorted(set(Reason) - REFUSALS_THAT_DEFER)


def listed(root: Path, *rows: str, head: str = "file,patient_id") -> None:
    (root / "inbox" / "manifest.csv").write_text("\n".join([head, *(rows or ("a.tif,P1",))]) + "\n")


def discovered(night: Night, **options: object) -> list[Slide]:
    """What a night would take through, without its engine around it."""
    manifest = read_manifest(night.plan.inbox / "manifest.csv")
    found: list[Slide] = discover_slides.__wrapped__(night, manifest, **options)
    return found


def refused_night(root: Path, reason: Reason, run_id: str = "n1", **options: object) -> str:
    """A night whose one slide is refused; the slide."""
    with begun(root, run_id, **options) as night:
        (slide,) = discovered(night)
        night.refuse(slide.slide_id, SlideRefused(reason, "as found"))
    return slide.slide_id


@pytest.mark.parametrize("reason", IN_QUARANTINE)
def test_the_next_night_tries_again_what_may_have_passed_and_nothing_else(root: Path, reason: Reason) -> None:
    slide_id = refused_night(root, reason)
    with begun(root, "n2") as night:
        tried = [slide.slide_id for slide in discovered(night)]
        for again in tried:
            night.refuse(again, SlideRefused(reason, "as found"))
        counts = reconcile(night.warehouse, "n2", discovered=len(night.entered))
        event = states(night.warehouse, "n2")[slide_id]
    assert tried == ([slide_id] if REASONS[reason].tried_again else [])
    assert (counts.discovered, counts.quarantined) == (1, 1)
    assert (event.reason, event.detail) == (reason, "as found")


@pytest.mark.parametrize(
    "reason",
    [
        Reason.TIMEOUT,
        Reason.WORKER_DIED,
        Reason.SOURCE_GONE,
        Reason.NO_PERMISSION,
        Reason.MISSING_SIDECAR,
        Reason.MANIFEST_CONFLICT,
        Reason.INTERNAL,
    ],
)
def test_what_passes_by_itself_is_said_to_be_tried_again(reason: Reason) -> None:
    assert REASONS[reason].tried_again


def test_it_stays_over_many_nights_and_counts_the_attempts_alone(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    for run_id in ("n2", "n3", "n4"):
        with begun(root, run_id) as night:
            assert discovered(night) == []
            (row,) = quarantine_table(night.warehouse)
            assert (row.slide_id, row.attempts, row.run_id) == (slide_id, 1, run_id)
            assert row.since < row.changed_at


def test_a_released_slide_is_tried_by_the_next_night_and_by_that_one_only(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    with begun(root, "n2") as night:
        release(night.warehouse, slide_id)
    assert refused_night(root, Reason.TRUNCATED, "n3") == slide_id
    with begun(root, "n4") as night:
        assert discovered(night) == []


@pytest.mark.parametrize("change", [{"models": "blood"}, {"target_cells": 100}])
def test_other_models_or_settings_try_it_again(root: Path, change: dict[str, object]) -> None:
    slide_id = refused_night(root, Reason.MPP_OUT_OF_RANGE)
    with begun(root, "n2", **change) as night:
        assert [slide.slide_id for slide in discovered(night)] == [slide_id]
        night.refuse(slide_id, SlideRefused(Reason.MPP_OUT_OF_RANGE))


def test_a_scale_given_in_the_manifest_tries_it_again(root: Path) -> None:
    slide_id = refused_night(root, Reason.NO_MPP)
    listed(root, "a.tif,P1,0.25", head="file,patient_id,um_per_px")
    assert refused_night(root, Reason.BAD_MPP, "n2") == slide_id
    with begun(root, "n3") as night:
        assert discovered(night) == []


def test_a_file_copied_again_is_another_slide_and_is_tried(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    (root / "inbox" / "a.tif").write_bytes(b"II*\0 the whole slide")
    with begun(root, "n2") as night:
        (slide,) = discovered(night)
        night.refuse(slide.slide_id, SlideRefused(Reason.TIMEOUT))
    assert slide.slide_id != slide_id


def test_a_quarantined_slide_that_the_manifest_forgets_is_deferred_and_tried_when_listed_again(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    listed(root, "")
    with begun(root, "n2") as night:
        assert discovered(night) == []
        assert states(night.warehouse, "n2")[slide_id].reason is Reason.UNLISTED
    listed(root)
    assert refused_night(root, Reason.TRUNCATED, "n3") == slide_id


def test_a_retry_looks_at_its_slides_alone_whatever_they_were_refused_for(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    (root / "inbox" / "b.tif").write_bytes(b"II*\0 another")
    (root / "inbox" / "empty.svs").touch()
    with begun(root, "n2") as night:
        wanted = release_slides.__wrapped__(night, [slide_id])
        assert [slide.slide_id for slide in discovered(night, only=wanted)] == [slide_id]
        assert night.entered == {slide_id}
        assert slides_not_in_the_inbox.__wrapped__(night, wanted) == []
        night.refuse(slide_id, SlideRefused(Reason.TRUNCATED))


def test_a_retry_finds_an_entry_by_its_name_when_it_became_a_slide(root: Path) -> None:
    (root / "inbox" / "a.tif").write_bytes(b"")
    with begun(root, "n1") as night:
        assert discovered(night) == []
        (entry,) = night.entered
        assert states(night.warehouse, "n1")[entry].reason is Reason.EMPTY_FILE
    (root / "inbox" / "a.tif").write_bytes(b"II*\0 copied again")
    with begun(root, "n2") as night:
        wanted = release_slides.__wrapped__(night, [entry])
        (slide,) = discovered(night, only=wanted)
        assert slide.slide_id.startswith("s")
        night.refuse(slide.slide_id, SlideRefused(Reason.TIMEOUT))


def test_a_retried_slide_that_is_nowhere_any_more_is_called_gone(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    (root / "inbox" / "a.tif").unlink()
    listed(root, "")
    with begun(root, "n2") as night:
        wanted = release_slides.__wrapped__(night, [slide_id])
        assert discovered(night, only=wanted) == []
        assert slides_not_in_the_inbox.__wrapped__(night, wanted) == []
        assert states(night.warehouse, "n2")[slide_id].reason is Reason.SOURCE_GONE


def test_a_retried_slide_that_is_stored_is_taken_from_its_store(root: Path) -> None:
    slide_id = refused_night(root, Reason.MPP_OUT_OF_RANGE)
    (root / "inbox" / "a.tif").unlink()
    with begun(root, "n2") as night:
        night.home.store(slide_id).mkdir()
        wanted = release_slides.__wrapped__(night, [slide_id])
        assert slides_not_in_the_inbox.__wrapped__(night, wanted) == [Slide(slide_id)]
        night.refuse(slide_id, SlideRefused(Reason.MPP_OUT_OF_RANGE))


def test_a_slide_that_nobody_knows_is_not_retried(root: Path) -> None:
    slide_id = refused_night(root, Reason.TRUNCATED)
    with begun(root, "n2") as night:
        with pytest.raises(UserError, match="s0000"):
            release_slides.__wrapped__(night, [slide_id, "s0000"])
        assert [row.released for row in quarantine_table(night.warehouse)] == [False]
