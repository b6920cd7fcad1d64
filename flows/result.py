"""What a run came to, as it is printed, returned by the flow and shown by ``--json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from marrow_models.errors import NightFailed, NightStopped


@dataclass(slots=True)
class NightResult:
    """Filled while a night runs, complete when it is closed."""

    run_id: str
    state: str = "running"
    discovered: int = 0
    done: int = 0
    quarantined: int = 0
    deferred: int = 0
    failure: str | None = None
    """Why the night failed."""
    exit_code: int | None = None
    """128 and the number of the signal that stopped the night; None when none did."""
    published: Path | None = None
    """The analysts' file, if it was replaced."""
    seconds: float = 0.0
    """Wall time of the night, from the opening of the warehouse to the end."""
    seconds_in_stages: float = 0.0
    """Part of it in which at least one stage was at work."""
    seconds_by_stage: dict[str, float] = field(default_factory=dict)
    """Sum over slides; stages of different slides run beside each other."""
    table: list[dict[str, Any]] = field(default_factory=list)
    """A row a slide: state, reason, cells, seconds."""

    @property
    def overhead(self) -> float:
        """Share of the wall time in which no stage was at work: what orchestration costs."""
        return 1 - self.seconds_in_stages / self.seconds if self.seconds else 0.0

    def error(self) -> NightFailed:
        """Why there is no good result, as an error to raise."""
        if self.exit_code is not None:
            return NightStopped(self.exit_code - 128)
        return NightFailed(self.failure or "the night failed")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        published = str(self.published) if self.published else None
        return asdict(self) | {"published": published, "overhead": round(self.overhead, 4)}
