"""The night as the stages see it: the plan, the folder, the warehouse, the models and the workers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from marrow_models.errors import Reason, SlideRefused
from tasks.stop import Stop
from warehouse import ledger, runs
from warehouse.ledger import State
from warehouse.quarantine import TRIED_WITH

if TYPE_CHECKING:
    from marrow_models.bundle import Bundle
    from marrow_models.slides.identity import Expected
    from tasks.home import Home
    from tasks.plan import NightPlan
    from tasks.progress import Progress
    from tasks.pseudonym import Pseudonyms
    from tasks.workers import Workers
    from warehouse.connection import Warehouse
    from warehouse.records import StageTime
    from warehouse.validate import Gates

NO_PART_IN_A_RESULT = {
    "home", "inbox", "manifest", "models", "cluster", "key_file", "backup_folder", "backups_kept",
    "tls_ca_file", "tls_cert_file", "tls_key_file",
}  # fmt: skip
"""Settings that say where things are; the models count by their digest."""
REFUSALS_THAT_DEFER = frozenset(
    {Reason.STILL_COPYING, Reason.SOURCE_CHANGED, Reason.UNLISTED, Reason.FILE_MISSING, Reason.DISK_FULL}
)


def config_digest(analysis_version: str, target_cells: int) -> str:
    """Digest of everything besides slide and models that a cell depends on."""
    config = {"analysis": analysis_version, "target_cells": target_cells}
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def result_key(slide_id: str, um_per_px: float, model_digest: str, config: str) -> str:
    """The name of a slide's result: same content, scale, models and configuration, same key."""
    parts = (slide_id, f"{um_per_px:.6f}", model_digest, config)
    return "r" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide to take through, and where its files are; a slide that is only stored has none."""

    slide_id: str
    path: Path | None = None
    members: tuple[Path, ...] = ()
    um_per_px: float | None = None
    """The manifest's value, which overrides the file's."""
    expected: Expected | None = None
    """What the files held when they were listed."""


@dataclass(frozen=True, slots=True)
class Night:
    """One run. Only the flow process holds it; workers get paths, slices and digests."""

    run_id: str
    trigger: str
    plan: NightPlan
    home: Home
    warehouse: Warehouse
    pseudonyms: Pseudonyms
    bundle: Bundle
    connect: Callable[[], Workers]
    """The workers; the first call waits until the cluster is up."""
    progress: Progress
    gates: Callable[[], Gates]
    """The validation suites; the first call waits until their engine is loaded."""
    analysis_version: str
    """Version of the method of analysis; part of the result key."""
    entered: set[str] = field(default_factory=set)
    """Slides and entries that are in this run's ledger."""
    stop: Stop = field(default_factory=Stop)
    """Whether somebody asked this night to end."""

    @property
    def workers(self) -> Workers:
        """Where the stages of a slide run."""
        return self.connect()

    @property
    def config_digest(self) -> str:
        """Digest of everything besides slide and models that a cell depends on."""
        return config_digest(self.analysis_version, self.plan.target_cells)

    def result_key(self, slide_id: str, um_per_px: float) -> str:
        """The name of a slide's result: same content, scale, models and configuration, same key."""
        return result_key(slide_id, um_per_px, self.bundle.digest, self.config_digest)

    def tried_with(self, um_per_px: float | None) -> str:
        """What an attempt on a slide depends on besides its content, for the ledger: the same words, the same end."""
        plan = self.plan.model_dump(mode="json", exclude=NO_PART_IN_A_RESULT)
        settings = hashlib.sha256(json.dumps([self.analysis_version, plan], sort_keys=True).encode()).hexdigest()
        scale = "the file's um_per_px" if um_per_px is None else f"um_per_px {um_per_px:.6f}"
        parts = (f"models {self.bundle.digest[:12]}", f"settings {settings[:12]}", f"Marrow {version('marrow')}", scale)
        return TRIED_WITH + ", ".join(parts)

    def enter(self, slide_id: str, state: State, detail: str = "") -> None:
        """A slide enters a state of its way; the ledger refuses what cannot follow."""
        ledger.record(self.warehouse, self.run_id, slide_id, state, detail=detail)
        self.entered.add(slide_id)
        if state is State.DONE:
            self.progress.slide_ended(slide_id, state, None)

    def refuse(self, slide_id: str, refusal: SlideRefused) -> None:
        """A slide ends in quarantine, or is deferred where nothing is wrong with it."""
        state = State.DEFERRED if refusal.reason in REFUSALS_THAT_DEFER else State.QUARANTINED
        ledger.record(self.warehouse, self.run_id, slide_id, state, reason=refusal.reason, detail=refusal.detail)
        self.progress.slide_ended(slide_id, state, refusal.reason)

    def record_time(self, time: StageTime) -> None:
        """How long a stage took."""
        runs.record_stage_times(self.warehouse, [time])
