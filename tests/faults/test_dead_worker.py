"""A worker that dies over a slide costs the slide, under a reason that the next night tries again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flows.cluster import open_cluster
from marrow_models.errors import REASONS, Reason, SlideRefused
from tasks.home import Home
from tasks.plan import NightPlan


@pytest.mark.slow
def test_work_that_kills_its_workers_ends_as_worker_died_and_not_as_a_success(tmp_path: Path) -> None:
    plan = NightPlan(home=tmp_path, cluster="local:1")
    with open_cluster(plan, Home(tmp_path).create()) as workers:
        with pytest.raises(SlideRefused) as refused:
            workers.call("kills-its-worker", os._exit, 1)
        assert refused.value.reason is Reason.WORKER_DIED
        assert REASONS[Reason.WORKER_DIED].tried_again
        assert workers.call("another", len, "abc") == 3  # the cluster goes on with the next slide
