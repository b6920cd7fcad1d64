"""Diagnose: each patient's pooled differential, weighed by rules and model into a suggestion."""

from __future__ import annotations

import hashlib

from marrow_models.diagnosis.differential import Differential, Specimen, differential
from marrow_models.diagnosis.model import DiagnosisModel
from marrow_models.diagnosis.model_files import load_model
from marrow_models.diagnosis.rules import RuleSet, load_rules
from marrow_models.diagnosis.suggest import Suggestion, suggest
from marrow_models.taxonomy import Taxonomy, load_taxonomy
from tasks.night import Night
from tasks.stage import night_stage
from warehouse import load, read
from warehouse.read import PatientCounts
from warehouse.records import DiagnosisRecord, DifferentialRow


@night_stage("diagnose")
def diagnose_patients(night: Night) -> int:
    """Store a suggestion for every patient whose counts or rules are new; return how many patients were looked at."""
    taxonomy = load_taxonomy(night.bundle.taxonomy)
    model = load_model(night.bundle.diagnosis_path)
    rules = [load_rules(name) for name in night.plan.rule_sets]
    load.retire_diagnoses(night.warehouse)
    patients = read.patients_with_analyses(night.warehouse, night.bundle.digest)
    for patient in patients:
        pooled = {c.specimen: c for c in read.pooled_counts(night.warehouse, patient.patient_key, night.bundle.digest)}
        # The suggestion is about the marrow; a patient of whom there is only blood gets the differential alone.
        counts = pooled.get(Specimen.BONE_MARROW) or next(iter(pooled.values()))
        _diagnose(night, counts, patient.age_years, taxonomy, model, rules)
    return len(patients)


def _diagnose(
    night: Night,
    counts: PatientCounts,
    age_years: float | None,
    taxonomy: Taxonomy,
    model: DiagnosisModel,
    rules: list[RuleSet],
) -> None:
    found = differential(counts.counts, taxonomy, specimen=counts.specimen)
    suggestion = suggest(found, rule_sets=rules, model=model, age_years=age_years)
    load.load_diagnosis(night.warehouse, _record(night, counts, age_years, found, suggestion))


def _record(
    night: Night, counts: PatientCounts, age_years: float | None, found: Differential, suggestion: Suggestion
) -> DiagnosisRecord:
    basis = (
        counts.patient_key, counts.specimen, str(age_years), *counts.result_keys, *suggestion.rule_sets,
        suggestion.model_digest, found.taxonomy_digest,
    )  # fmt: skip
    blasts = found.blasts.share
    return DiagnosisRecord(
        diagnosis_key="d" + hashlib.sha256("\0".join(basis).encode()).hexdigest()[:32],
        patient_key=counts.patient_key,
        run_id=night.run_id,
        model_digest=night.bundle.digest,
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
