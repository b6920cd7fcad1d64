"""Chaos: nights are killed at random moments and at every named point; nothing acknowledged may be lost or differ.

``python -m tests.faults.chaos --kills 200 --minutes 60 --report chaos`` writes ``chaos.json`` and ``chaos.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from marrow_models.phantom.night import SlideScale, make_phantom
from tests.end_to_end.servers import prefect_server
from tests.faults.kill_points import FLOW_POINTS, LATE, WORKER_POINTS
from tests.faults.rig import Rig, ended, kill, rig
from warehouse.connection import open_warehouse
from warehouse.integrity import faults
from warehouse.published import open_published

TINY = SlideScale(width_px=1024, height_px=1024, cells=(24, 30))
NIGHT_LIMIT_S = 240.0
"""No night, whatever was killed, may take longer: it ends, or the supervisor says that it hangs."""
CELLS = """
SELECT a.slide_id, c.* EXCLUDE (result_key), a.is_current
FROM fact_cell AS c JOIN fact_analysis AS a USING (result_key) ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Death:
    """Who is to die, and when: at a named point, or so many seconds after the night began."""

    target: str
    point: str | None = None
    at_s: float = 0.0

    @property
    def name(self) -> str:
        """For the report."""
        return f"{self.target} at {self.point or 'a random moment'}"


@dataclass(slots=True)
class Report:
    """What happened, and what was found wrong (nothing, or the suite fails)."""

    started_at: str
    seed: int
    kills: dict[str, int] = field(default_factory=Counter)
    nights: int = 0
    nights_to_the_end: int = 0
    homes: int = 0
    commits: int = 0
    """Transactions that the warehouse acknowledged to a process, slides and ledger entries."""
    slides_acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def killed(self) -> int:
        """All deaths."""
        return sum(self.kills.values())

    @property
    def wrong(self) -> list[str]:
        """Every broken promise."""
        return self.lost + self.torn + self.duplicates + self.different

    def as_markdown(self) -> str:
        """A page."""
        rows = "".join(f"| {name} | {count} |\n" for name, count in sorted(self.kills.items()))
        return (
            f"# Chaos run of {self.started_at}\n\n"
            f"{self.killed} kills in {self.nights} nights on {self.homes} homes, {self.seconds:.0f} s, "
            f"seed {self.seed}. {self.commits} acknowledged commits, "
            f"{self.slides_acknowledged} of them whole slides.\n\n"
            f"Lost: {len(self.lost)}. Torn: {len(self.torn)}. Duplicates: {len(self.duplicates)}. "
            f"Different from an undisturbed night: {len(self.different)}.\n\n"
            f"| killed | times |\n|---|--:|\n{rows}" + "".join(f"\n- {text}" for text in self.wrong)
        )


class Supervisor:
    """Runs nights, kills them, and compares what is left with what was promised."""

    def __init__(self, made: Rig, inbox: Path, seed: int) -> None:
        self.rig, self.inbox = made, inbox
        self.report = Report(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", seed)
        self._home = made.folder / "home-0000"
        self.reference, self.night_s = self._undisturbed()
        self.stage = "fresh"
        """How far the home is: fresh, under way, or late (every slide is loaded)."""
        self._next_home()

    def step(self, *deaths: Death) -> None:
        """One night with its deaths, then the books are checked; a night that got to its end ends its home."""
        if self.stage != "fresh" and any((death.point or "").startswith("ingest") for death in deaths):
            self._next_home()
        self.report.nights += 1
        self.stage = "under way"
        for death in deaths:
            if death.point:
                self.rig.arm(death.point)
        began = time.monotonic()
        night = self.rig.night(self.inbox, self._home, target_cells=0)
        for death in sorted((d for d in deaths if d.point is None), key=lambda d: d.at_s):
            if ended(night, max(0.0, began + death.at_s - time.monotonic())) is not None:
                break
            killed = self._kill(death, night)
            self.report.kills[death.name] += int(killed)
        code = ended(night, NIGHT_LIMIT_S)
        assert code is not None, f"the night hangs after {[d.name for d in deaths]}: {self.rig.log_of_last_night()}"
        for death in deaths:
            if death.point and self.rig.was_reached(death.point):
                self.report.kills[death.name] += 1
                self.stage = "late" if death.point in LATE else self.stage
        if any(death.target == "scheduler" for death in deaths):
            self.rig.start_cluster()
        self._check_books()
        if code == 0:
            self._check_end()
            self._next_home()

    def finish(self) -> None:
        """Let the last home's night go to its end, undisturbed."""
        before = self.report.homes
        self.step()
        assert self.report.homes == before + 1, self.rig.log_of_last_night()

    def _kill(self, death: Death, night: object) -> bool:
        if death.target == "worker":
            return self.rig.kill_worker()
        if death.target == "scheduler":
            self.rig.kill_scheduler()
            return True
        return kill(night)  # type: ignore[arg-type]  # the night of Rig.night

    def _undisturbed(self) -> tuple[list[tuple], float]:
        self.rig.warm_up()
        began = time.monotonic()
        night = self.rig.night(self.inbox, self._home, target_cells=0)
        assert ended(night, NIGHT_LIMIT_S) == 0, self.rig.log_of_last_night()
        rows = self._cells()
        assert len(rows) > 20
        return rows, time.monotonic() - began

    def _next_home(self) -> None:
        acknowledged = self._acknowledged()
        self.report.commits += sum(not line.startswith("fields ") for line in acknowledged)
        self.report.slides_acknowledged += sum(line.startswith("load ") for line in acknowledged)
        shutil.rmtree(self._home, ignore_errors=True)
        self.stage = "fresh"
        self.report.homes += 1
        self._home = self.rig.folder / f"home-{self.report.homes:04d}"

    def _acknowledged(self) -> list[str]:
        """A line for every commit of which a process was told that it is safe."""
        path = self._home.with_name(f"{self._home.name}.acknowledged")
        return path.read_text().splitlines() if path.exists() else []

    @property
    def _warehouse(self) -> Path:
        return self._home / "warehouse" / "marrow.duckdb"

    def _cells(self) -> list[tuple]:
        with open_warehouse(self._warehouse) as warehouse, warehouse.exclusive() as connection:
            return connection.execute(CELLS).fetchall()

    def _check_books(self) -> None:
        """R1 to R3, as far as the night got: what was acknowledged is there, whole, and once."""
        lines = self._acknowledged()
        if not self._warehouse.exists():
            self.report.lost += [f"{self._home.name}: {line}" for line in lines]
            return
        with open_warehouse(self._warehouse) as warehouse:
            broken = faults(warehouse)
            with warehouse.exclusive() as connection:
                loads = dict(connection.execute("SELECT result_key, cells FROM fact_analysis").fetchall())
                slides = [row for (row,) in connection.execute("SELECT slide_id FROM fact_analysis").fetchall()]
                events = set(connection.execute("SELECT run_id, slide_id, attempt, state FROM ledger_event").fetchall())
        name = self._home.name
        self.report.torn += [f"{name}: {fault}" for fault in broken]
        self.report.duplicates += [f"{name}: {slide}" for slide, count in Counter(slides).items() if count > 1]
        for line in lines:
            kind, *parts = line.split()
            if kind == "load" and loads.get(parts[0]) != int(parts[1]):
                self.report.lost.append(f"{name}: {line}")
            if kind == "ledger" and (parts[0], parts[1], int(parts[2]), parts[3]) not in events:
                self.report.lost.append(f"{name}: {line}")
        self._check_published()

    def _check_published(self) -> None:
        """What analysts open is whole at any moment."""
        path = self._home / "published" / "marrow.duckdb"
        if path.exists():
            with open_published(path) as database:
                self.report.torn += [f"{self._home.name}, published: {fault}" for fault in faults(database)]

    def _check_end(self) -> None:
        """After the night that went through: the same rows as undisturbed, and nothing left over."""
        self.report.nights_to_the_end += 1
        if self._cells() != self.reference:
            self.report.different.append(f"{self._home.name}: cells differ")
        left = [*(self._home / "work").iterdir(), *(self._home / "slides").glob("*.partial-*")]
        self.report.different += [f"{self._home.name}: {path.name} is left over" for path in left]


def draw(moments: random.Random, night_s: float, stage: str) -> tuple[Death, ...]:
    """The deaths of one night of the long suite: a random mix of random moments and of points that can be reached."""
    kinds = ["flow", "flow point", "both points", "worker", "worker and flow", "scheduler"]
    kind = moments.choices(kinds, weights=[25, 25, 30, 5, 12, 3] if stage != "late" else [20, 70, 0, 0, 0, 10])[0]
    early, late = (moments.uniform(0.3, night_s) for _ in range(2))
    flow_point = Death("flow", moments.choice(sorted(LATE) if stage == "late" else list(FLOW_POINTS)))
    worker_point = Death("worker", moments.choice(list(WORKER_POINTS)))
    return {
        "flow": (Death("flow", at_s=early),),
        "flow point": (flow_point,),
        "both points": (worker_point, flow_point),
        "worker": (Death("worker", at_s=early),),
        "worker and flow": (Death("worker", at_s=min(early, late)), Death("flow", at_s=max(early, late))),
        "scheduler": (Death("scheduler", at_s=early),),
    }[kind]


def every_point() -> list[tuple[Death, ...]]:
    """Nights that die once at each named point, a worker's and the flow's together where both can."""
    flow, worker = list(FLOW_POINTS), list(WORKER_POINTS)
    pairs = [(Death("worker", point),) for point in worker]
    return [
        (*(pairs[number] if number < len(pairs) else ()), Death("flow", point)) for number, point in enumerate(flow)
    ]


def run(folder: Path, *, kills: int, seconds: float, seed: int) -> Report:
    """Kill until there were ``kills`` deaths or ``seconds`` are over; then the last night goes to its end."""
    began = time.monotonic()
    make_phantom(folder / "inbox", seed=5, patients=3, slides_per_patient=1, scale=TINY)
    with prefect_server(folder) as env:
        server = {name: env[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")}
        with rig(folder / "rig", server) as made:
            supervisor = Supervisor(made, folder / "inbox", seed)
            report, moments = supervisor.report, random.Random(seed)
            planned = every_point()
            while report.killed < kills and time.monotonic() - began < seconds:
                supervisor.step(*(planned.pop(0) if planned else draw(moments, supervisor.night_s, supervisor.stage)))
            supervisor.finish()
    report.seconds = time.monotonic() - began
    return report


def write_report(report: Report, path: Path) -> None:
    """``path`` with the suffixes ``.json`` and ``.md``."""
    whole = asdict(replace(report, kills={})) | {"killed": report.killed, "kills": dict(report.kills)}
    path.with_suffix(".json").write_text(json.dumps(whole, indent=2) + "\n")
    path.with_suffix(".md").write_text(report.as_markdown())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--report", type=Path, default=Path("chaos"))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="marrow-chaos-") as folder:
        report = run(Path(folder), kills=wanted.kills, seconds=wanted.minutes * 60, seed=wanted.seed)
    write_report(report, wanted.report)
    sys.stdout.write(report.as_markdown())
    raise SystemExit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
