"""Release: slides that a person lets out of quarantine, to be tried again now."""

from __future__ import annotations

from collections.abc import Sequence

from marrow_models.errors import Reason, SlideRefused, UserError
from tasks.discover import WITHOUT_PATIENT
from tasks.night import Night, Slide
from tasks.stage import night_stage
from warehouse import ledger, read
from warehouse.ledger import State
from warehouse.quarantine import quarantine_table


@night_stage("release")
def release_slides(night: Night, slide_ids: Sequence[str]) -> frozenset[str]:
    """Note in the ledger that the slides of ``slide_ids`` in quarantine were released; all of ``slide_ids``.

    Raises :class:`UserError`, and releases none, for an id that the ledger does not know.
    """
    wanted = frozenset(slide_ids)
    known = {row.slide_id for row in read.slide_states(night.warehouse)}
    if not wanted or wanted - known:
        raise UserError(f"No such slide: {', '.join(sorted(wanted - known)) or 'none is named'}. See `marrow status`.")
    standing = {row.slide_id for row in quarantine_table(night.warehouse) if not row.released}
    for slide_id in sorted(wanted & standing):
        ledger.release(night.warehouse, slide_id)
    return wanted


@night_stage("discover")
def slides_not_in_the_inbox(night: Night, wanted: frozenset[str]) -> list[Slide]:
    """The slides of ``wanted`` that the inbox does not have but HOME/slides does; the others are refused as gone.

    A slide whose patient is in question stays refused: the manifest must say whose it is first.
    """
    reasons = {row.slide_id: row.reason for row in read.slide_states(night.warehouse)}
    left = sorted(wanted - night.entered)
    for slide_id in left:
        night.enter(slide_id, State.DISCOVERED, night.tried_with(None))
        reason = reasons[slide_id]
        if reason is not None and reason in WITHOUT_PATIENT:
            night.refuse(slide_id, SlideRefused(Reason(reason)))
        elif not night.home.store(slide_id).is_dir():
            night.refuse(slide_id, SlideRefused(Reason.SOURCE_GONE, "neither in the inbox nor in HOME/slides"))
    ended = ledger.states(night.warehouse, night.run_id)
    return [Slide(slide_id) for slide_id in left if ended[slide_id].state is State.DISCOVERED]
