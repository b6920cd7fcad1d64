"""Verify: a past run computed again from the stored slides, and every row that differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marrow_models.bundle import Bundle
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import load_rules
from marrow_models.errors import UserError
from marrow_models.model_settings import ANALYSIS_VERSION
from marrow_models.taxonomy import load_taxonomy
from tasks.compare import Difference, compare_cells, compare_diagnosis, compare_fields, compare_values
from tasks.home import Home
from tasks.night import config_digest, result_key
from tasks.recount import Recount, recount
from tasks.remote import as_refusal
from tasks.suggestion import counts_to_judge, suggestion_for
from warehouse.read import PatientCounts
from warehouse.stored import StoredAnalysis, StoredDiagnosis, StoredRun


@dataclass(slots=True)
class Verification:
    """What came of it."""

    run_id: str
    results: int = 0
    """Analyses that were computed again."""
    cells: int = 0
    suggestions: int = 0
    """Suggestions that were computed again."""
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was not compared, and why."""

    @property
    def identical(self) -> bool:
        """Nothing differs."""
        return not self.differences


def verify_run(
    run: StoredRun,
    home: Home,
    bundles: Mapping[str, Bundle],
    *,
    targets: Sequence[int],
    rule_sets: Sequence[str],
    progress: Callable[[str], None],
) -> Verification:
    """Compute all results of ``run`` again and compare every row. Nothing is written anywhere.

    ``bundles`` holds every model of the run by its digest. ``targets`` are the numbers of cells to count that the run
    may have been asked for; the digest of its configuration tells which. UserError when none of them fits.
    """
    done = Verification(run.run_id)
    counts: dict[str, Counter[str]] = {}
    for stored in run.analyses:
        progress(stored.slide_id)
        again = _recount(stored, home, bundles[stored.model_digest], targets, done, progress)
        if again is not None:
            counts[stored.result_key] = Counter(again.cells.cell_class)
    if not run.analyses:
        done.notes.append("the run stored no result and let none stand")
    for suggestion in run.diagnoses:
        _diagnose(suggestion, bundles, rule_sets, counts, done)
    return done


def target_of(config: str, targets: Sequence[int]) -> int:
    """Which of ``targets`` a configuration digest stands for. UserError when none, since the method was another."""
    for target in targets:
        if config_digest(ANALYSIS_VERSION, target) == config:
            return target
    raise UserError(
        f"The run was made with another configuration ({config[:12]}) than this Marrow computes: use the version that "
        "made it, or set target_cells in marrow.toml to what it was then."
    )


def _recount(
    stored: StoredAnalysis,
    home: Home,
    bundle: Bundle,
    targets: Sequence[int],
    done: Verification,
    progress: Callable[[str], None],
) -> Recount | None:
    target = target_of(stored.config_digest, targets)

    def told(cells: int) -> None:
        progress(f"{stored.slide_id}: {cells} cells")

    try:
        again = recount(home.store(stored.slide_id), bundle, target, progress=told)
    except Exception as error:  # noqa: BLE001 - a slide that cannot be computed is a difference, and others go on
        done.differences.append(
            Difference(stored.slide_id, "analysis", "not computed", stored.cells, str(as_refusal(error)))
        )
        return None
    done.results += 1
    done.cells += len(again.cells)
    done.differences += compare_values(
        stored.slide_id, "analysis", {name: getattr(stored, name) for name in _TOTALS}, _totals(stored, again, bundle)
    )
    done.differences += compare_fields(stored, again.fields, again.cells, again.um_per_px)
    done.differences += compare_cells(stored, again.cells)
    return again


_TOTALS = ("result_key", "fields", "cells", "counted_cells", "analysed_um2")


def _totals(stored: StoredAnalysis, again: Recount, bundle: Bundle) -> dict[str, Any]:
    taxonomy = load_taxonomy(bundle.taxonomy)
    area_px = sum(f.rect_px.width * f.rect_px.height for f in again.fields)
    return {
        "result_key": result_key(stored.slide_id, again.um_per_px, bundle.digest, stored.config_digest),
        "fields": len(again.fields),
        "cells": len(again.cells),
        "counted_cells": sum(taxonomy.get(label).in_differential for label in again.cells.cell_class),
        "analysed_um2": area_px * again.um_per_px**2,
    }


def _diagnose(
    stored: StoredDiagnosis,
    bundles: Mapping[str, Bundle],
    rule_sets: Sequence[str],
    counts: Mapping[str, Counter[str]],
    done: Verification,
) -> None:
    row = stored.row
    if not row["is_current"] or not stored.counts:
        done.notes.append(f"a later run replaced the suggestion for {row['patient_key']}: not compared")
        return
    bundle = bundles[row["model_digest"]]
    pooled = counts_to_judge(stored.counts)
    recounted = _recounted(pooled, stored.counts_of, counts)
    again = suggestion_for(
        recounted,
        stored.age_years,
        load_taxonomy(bundle.taxonomy),
        load_model(bundle.diagnosis_path),
        [load_rules(name) for name in rule_sets],
        run_id=row["run_id"],
        model_digest=bundle.digest,
    )
    done.suggestions += 1
    done.differences += compare_diagnosis(stored, again)


def _recounted(
    pooled: PatientCounts, stored: Mapping[str, Mapping[str, int]], counts: Mapping[str, Counter[str]]
) -> PatientCounts:
    """The patient's counts from the cells that were found again; of slides of other runs, from those stored."""
    total: Counter[str] = Counter(dict.fromkeys(pooled.counts, 0))
    for key in pooled.result_keys:
        total.update(counts.get(key, stored[key]))
    in_order = {label: total[label] for label in pooled.counts}
    return PatientCounts(pooled.patient_key, pooled.specimen, pooled.result_keys, in_order)
