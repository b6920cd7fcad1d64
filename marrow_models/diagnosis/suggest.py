"""A suggestion for one patient: the model's word, weighed against the rules. It assists; it never decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from marrow_models.diagnosis.differential import Specimen
from marrow_models.diagnosis.features import LOG_ME
from marrow_models.diagnosis.findings import Finding, FindingState, apply_rules
from marrow_models.diagnosis.intervals import wilson_interval
from marrow_models.diagnosis.rules import NdcUse, RuleKind
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from marrow_models.diagnosis.differential import Differential
    from marrow_models.diagnosis.model import DiagnosisModel, Prediction
    from marrow_models.diagnosis.rules import CountLimit, RuleSet


WITHOUT_NUCLEUS = ("platelet", "erythrocyte")
"""Headings of what a detector of nucleated cells does not count."""
LARGEST_WITHOUT_NUCLEUS = 0.05
"""Share of the counted cells that a classifier may call so: above, the two see different things, as in a stain that one
of them was not trained on."""


class Status(StrEnum):
    """What a suggestion is worth."""

    SUGGESTED = "suggested"
    """The model names a diagnosis and no rule stands against it."""
    REVIEW = "review"
    """The model names a diagnosis and a rule stands against it: a person has to look first."""
    UNCLASSIFIED = "unclassified"
    """Enough cells, but unlike the training, or no diagnosis is probable enough, or their classes make no sense."""
    INSUFFICIENT = "insufficient"
    """Too few cells were counted."""
    NOT_APPLICABLE = "not_applicable"
    """The specimen is not marrow."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The suggestion and every reason for it, in sentences that can be checked against the counts."""

    status: Status
    diagnosis: str | None
    """Given for SUGGESTED and REVIEW only."""
    probability: float | None
    """Of ``diagnosis``."""
    probabilities: Mapping[str, float]
    """Of every diagnosis the model knows; empty where the model was not asked or could not know."""
    reasons: tuple[str, ...]
    rule_sets: tuple[str, ...]
    """``name@version`` of each rule set applied."""
    model_digest: str
    findings: tuple[Finding, ...] = ()
    """Every rule that could be applied, also those that are not worth a sentence among the reasons."""


def suggest(
    differential: Differential,
    *,
    rule_sets: Sequence[RuleSet],
    model: DiagnosisModel,
    age_years: float | None = None,
    use: NdcUse = NdcUse.PRECISE,
) -> Suggestion:
    """Return the suggestion for one differential.

    One of ``rule_sets`` must say how many cells are enough for ``use`` (UserError otherwise). The findings
    of the rules are given whatever the model says, if anything was counted.
    """
    strange = _strange_classes(differential)
    if differential.specimen is not Specimen.BONE_MARROW:
        reason = f"The specimen is {differential.specimen}: the rules and the model are for bone marrow."
        return _without_diagnosis(Status.NOT_APPLICABLE, (reason, *strange), (), rule_sets, model)
    limit = _limit(differential, rule_sets, use)
    if differential.total < limit.cells:
        findings = _findings(differential, rule_sets, age_years, None)
        reasons = (_too_few(differential, limit), *strange)
        return _without_diagnosis(Status.INSUFFICIENT, reasons, findings, rule_sets, model)
    if strange:
        findings = _findings(differential, rule_sets, age_years, None)
        return _without_diagnosis(Status.UNCLASSIFIED, strange, findings, rule_sets, model)
    prediction = model.predict(differential)
    doubt = _doubt(prediction, model.least_probability)
    if doubt is not None:
        findings = _findings(differential, rule_sets, age_years, None)
        # Of something unlike the training the probabilities say nothing, so they are not given.
        known = prediction.probabilities if prediction.familiar else {}
        return _without_diagnosis(Status.UNCLASSIFIED, (doubt,), findings, rule_sets, model, known)
    return _with_diagnosis(differential, prediction, rule_sets, model, age_years)


def _with_diagnosis(
    differential: Differential,
    prediction: Prediction,
    rule_sets: Sequence[RuleSet],
    model: DiagnosisModel,
    age_years: float | None,
) -> Suggestion:
    diagnosis, probability = next(iter(prediction.probabilities.items()))
    findings = _findings(differential, rule_sets, age_years, diagnosis)
    against = tuple(text for f in findings if (text := _contradiction(f, diagnosis)) is not None)
    sure = "above 0.99" if probability > 0.99 else f"of {probability:.2f}"  # a model is never certain
    first = f"The model suggests {diagnosis} with a probability {sure}, from {differential.total} cells."
    return Suggestion(
        status=Status.REVIEW if against else Status.SUGGESTED,
        diagnosis=diagnosis,
        probability=probability,
        probabilities=prediction.probabilities,
        reasons=(first, *against, *_sentences(findings, diagnosis)),
        rule_sets=tuple(rules.label for rules in rule_sets),
        model_digest=model.digest,
        findings=findings,
    )


def _without_diagnosis(
    status: Status,
    reasons: tuple[str, ...],
    findings: tuple[Finding, ...],
    rule_sets: Sequence[RuleSet],
    model: DiagnosisModel,
    probabilities: Mapping[str, float] | None = None,
) -> Suggestion:
    return Suggestion(
        status=status,
        diagnosis=None,
        probability=None,
        probabilities=probabilities or {},
        reasons=(*reasons, *_sentences(findings, None)),
        rule_sets=tuple(rules.label for rules in rule_sets),
        model_digest=model.digest,
        findings=findings,
    )


def _limit(differential: Differential, rule_sets: Sequence[RuleSet], use: NdcUse) -> CountLimit:
    for rules in rule_sets:
        if (limit := rules.limit(differential.specimen, use)) is not None:
            return limit
    raise UserError(f"no rule set says how many cells of {differential.specimen} are enough; add icsh2008.")


def _strange_classes(differential: Differential) -> tuple[str, ...]:
    """Why the classes of these cells are not to be trusted; nothing where they may be."""
    odd = sum(differential.excluded.get(heading, 0) for heading in WITHOUT_NUCLEUS)
    cells = differential.total + (differential.nrbc or 0) + odd
    if not odd or wilson_interval(odd, cells).low <= 100 * LARGEST_WITHOUT_NUCLEUS:
        return ()
    return (
        f"The classes are not to be trusted: {odd} of {cells} cells that were detected as nucleated are classified as "
        "platelets or red cells. The stain or the scanner may be unlike those of the training.",
    )


def _too_few(differential: Differential, limit: CountLimit) -> str:
    missing = limit.cells - differential.total
    return (
        f"{differential.total} cells were counted; {limit.cells} are needed ({limit.criterion}): {missing} more cells."
    )


def _doubt(prediction: Prediction, least: float) -> str | None:
    """Return why the model names no diagnosis, None when it does."""
    if not prediction.familiar:
        distance = f"distance {prediction.distance:.1f}, limit {prediction.limit:.1f}"
        named = f"its {prediction.oddest.replace('_', ' ')} ({prediction.oddest_value:.1f} %)"
        odd = "its M:E ratio" if prediction.oddest == LOG_ME else named
        return f"The differential is unlike any that the model was trained on ({distance}), most of all by {odd}."
    diagnosis, probability = next(iter(prediction.probabilities.items()))
    if probability < least:
        return (
            f"No diagnosis is probable enough: {diagnosis} comes first with {probability:.2f}, {least:.2f} is needed."
        )
    return None


def _findings(
    differential: Differential, rule_sets: Sequence[RuleSet], age_years: float | None, suggested: str | None
) -> tuple[Finding, ...]:
    return tuple(
        finding
        for rules in rule_sets
        for finding in apply_rules(differential, rules, age_years=age_years, suggested=suggested)
    )


def _contradiction(finding: Finding, diagnosis: str) -> str | None:
    """Return what stands between a finding and the model's diagnosis, None when nothing does.

    A necessary criterion is missing as soon as the estimate misses it. A criterion of something else has to
    be met beyond its interval: a normal marrow may reach 5 % blasts by the luck of the count.
    """
    if diagnosis in finding.required_for and not finding.holds:
        return f"Contradiction: {finding.rule_id} is necessary for {diagnosis} and is not met."
    if diagnosis in finding.contradicts and finding.state is FindingState.MET:
        return f"Contradiction: {finding.rule_id} is met, which does not go with {diagnosis}."
    return None


def _sentences(findings: tuple[Finding, ...], diagnosis: str | None) -> tuple[str, ...]:
    """Return the texts worth reading: criteria met, nearly met or decisive for the diagnosis; odd reference values."""
    texts = (f.text for f in findings if _worth_reading(f, diagnosis))
    return tuple(dict.fromkeys(texts))  # rule sets that agree say it once


def _worth_reading(finding: Finding, diagnosis: str | None) -> bool:
    if finding.kind is RuleKind.REFERENCE:
        return finding.state is FindingState.NOT_MET
    decisive = diagnosis in finding.required_for or diagnosis in finding.contradicts
    return decisive or finding.state is not FindingState.NOT_MET
