"""A patient's counts as the record of a suggestion. Light: knows no orchestrator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from marrow_models.diagnosis.differential import Differential, Specimen, differential
from marrow_models.diagnosis.rules import RuleSet
from marrow_models.diagnosis.suggest import suggest
from marrow_models.taxonomy import Taxonomy
from warehouse.read import PatientCounts
from warehouse.records import DiagnosisRecord, DifferentialRow

if TYPE_CHECKING:
    from marrow_models.diagnosis.model import DiagnosisModel


def counts_to_judge(pooled: Sequence[PatientCounts]) -> PatientCounts:
    """The suggestion is about the marrow; a patient of whom there is only blood gets the differential alone."""
    return next((counts for counts in pooled if counts.specimen == Specimen.BONE_MARROW), pooled[0])


def suggestion_for(
    counts: PatientCounts,
    age_years: float | None,
    taxonomy: Taxonomy,
    model: DiagnosisModel,
    rules: list[RuleSet],
    *,
    run_id: str,
    model_digest: str,
) -> DiagnosisRecord:
    """What a patient's counts come to: the same counts, age, rules and models give the same record."""
    found = differential(counts.counts, taxonomy, specimen=counts.specimen)
    suggestion = suggest(found, rule_sets=rules, model=model, age_years=age_years)
    basis = (
        counts.patient_key, counts.specimen, str(age_years), *counts.result_keys, *suggestion.rule_sets,
        suggestion.model_digest, found.taxonomy_digest,
    )  # fmt: skip
    blasts = found.blasts.share
    return DiagnosisRecord(
        diagnosis_key="d" + hashlib.sha256("\0".join(basis).encode()).hexdigest()[:32],
        patient_key=counts.patient_key,
        run_id=run_id,
        model_digest=model_digest,
        status=suggestion.status.value,
        diagnosis=suggestion.diagnosis,
        probability=suggestion.probability,
        probabilities=suggestion.probabilities,
        reasons=suggestion.reasons,
        slides=len(counts.result_keys),
        total_cells=found.total,
        blast_percent=blasts.percent if found.total else None,
        blast_low=blasts.interval.low if found.total else None,
        blast_high=blasts.interval.high if found.total else None,
        me_ratio=found.me_ratio,
        rule_set="+".join(label.partition("@")[0] for label in suggestion.rule_sets),
        rule_set_version="+".join(label.partition("@")[2] for label in suggestion.rule_sets),
        diagnosis_model=suggestion.model_digest,
        differential=_rows(found),
    )


def _rows(found: Differential) -> tuple[DifferentialRow, ...]:
    """Every ICSH category with its share; all percentages None where nothing was counted."""
    if not found.total:
        return tuple(DifferentialRow(category, 0, None, None, None) for category in found.categories)
    return tuple(
        DifferentialRow(category, part.count, part.percent, part.interval.low, part.interval.high)
        for category, part in found.categories.items()
    )
