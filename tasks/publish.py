"""Publish: the analysts' DuckDB file and Parquet, swapped in at once."""

from __future__ import annotations

from contextlib import suppress

from marrow_models.errors import CannotWrite
from tasks.night import Night
from tasks.stage import night_stage
from warehouse import ledger, runs
from warehouse.publish import Publication, publish
from warehouse.runs import RunState


@night_stage("publish")
def publish_warehouse(night: Night) -> Publication:
    """Close the run and replace what is published by the warehouse's present state.

    Readers keep what they have open. The run is closed first, so that the publication shows how it ended; when it
    cannot be published the run is failed again, and the earlier publication stays.
    """
    runs.finish_run(night.warehouse, night.run_id, end_state(night))
    try:
        return publish(night.warehouse, night.home.published)
    except BaseException:
        with suppress(CannotWrite):  # nothing can be written: what was loaded is published by the next run
            runs.fail_run(night.warehouse, night.run_id)
        raise


def end_state(night: Night) -> RunState:
    """How a run ends that did all it had to."""
    counts = ledger.count_states(night.warehouse, night.run_id)
    return RunState.DONE_WITH_QUARANTINE if counts.quarantined else RunState.DONE
