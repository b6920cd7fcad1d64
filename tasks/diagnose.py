"""Diagnose: each patient's pooled differential, weighed by rules and model into a suggestion."""

from __future__ import annotations

from marrow_models.diagnosis.rules import load_rules
from marrow_models.taxonomy import load_taxonomy
from tasks.night import Night
from tasks.stage import night_stage
from tasks.suggestion import counts_to_judge, suggestion_for
from warehouse import load, read


@night_stage("diagnose")
def diagnose_patients(night: Night) -> int:
    """Store a suggestion for every patient whose counts or rules are new; return how many patients were looked at."""
    from marrow_models.diagnosis.model_files import load_model  # brings scikit-learn, which takes seconds

    taxonomy = load_taxonomy(night.bundle.taxonomy)
    model = load_model(night.bundle.diagnosis_path)
    rules = [load_rules(name) for name in night.plan.rule_sets]
    load.retire_diagnoses(night.warehouse)
    patients = read.patients_with_analyses(night.warehouse, night.bundle.digest)
    pooled = read.pooled_counts_of_all(night.warehouse, night.bundle.digest)
    for patient in patients:
        counts = counts_to_judge(pooled[patient.patient_key])
        record = suggestion_for(
            counts, patient.age_years, taxonomy, model, rules, run_id=night.run_id, model_digest=night.bundle.digest
        )
        load.load_diagnosis(night.warehouse, record)
    return len(patients)
