"""What a rule set says about one differential: sentences that can be checked against the counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from marrow_models.diagnosis.measures import MEASURES, Measurement
from marrow_models.diagnosis.rules import RuleKind

if TYPE_CHECKING:
    from marrow_models.diagnosis.differential import Differential
    from marrow_models.diagnosis.intervals import Interval
    from marrow_models.diagnosis.rules import Rule, RuleSet, Severity


class FindingState(StrEnum):
    """Whether a rule is met, seen with the 95 % interval and not with the estimate alone."""

    MET = "met"
    NOT_MET = "not_met"
    NEAR = "near_threshold"
    """The interval holds values on both sides of a limit: more cells have to be counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule, applied."""

    rule_id: str
    rule_set: str
    """``name@version``."""
    kind: RuleKind
    text: str
    state: FindingState
    holds: bool
    """Whether the estimate itself, its interval aside, meets the rule."""
    severity: Severity
    required_for: tuple[str, ...]
    contradicts: tuple[str, ...]


def apply_rules(
    differential: Differential, rules: RuleSet, *, age_years: float | None = None, suggested: str | None = None
) -> list[Finding]:
    """Return a finding for every rule of the set that can be applied, in the order of the set.

    Left out are rules for another specimen, for an age that the patient is not known to have, for
    diagnoses other than the ``suggested`` one, and for a quantity that this differential does not have.
    Nothing counted, nothing found.
    """
    if differential.specimen not in rules.specimens or not differential.total:
        return []
    findings = []
    for rule in rules.rules:
        too_young = rule.age_from_years is not None and (age_years is None or not age_years >= rule.age_from_years)
        other_diagnosis = bool(rule.only_for) and suggested not in rule.only_for
        measured = None if too_young or other_diagnosis else MEASURES[rule.measure](differential)
        if measured is not None:
            findings.append(_finding(rule, rules.label, measured))
    return findings


def _finding(rule: Rule, rule_set: str, measured: Measurement) -> Finding:
    holds = _holds(rule, measured.value)
    near = _near(rule, measured.interval)
    state = FindingState.NEAR if near else FindingState.MET if holds else FindingState.NOT_MET
    text = f"{_numbers(rule, measured)}: {_where(rule, measured.unit, holds=holds)}"
    if near:
        text += ", but the interval crosses it"
        text += ": count more cells" if rule.kind is RuleKind.CRITERION else ""
    if rule.caveat and (holds or near):
        text += f"; {rule.caveat}"
    return Finding(rule.id, rule_set, rule.kind, text, state, holds, rule.severity, rule.required_for, rule.contradicts)


def _near(rule: Rule, interval: Interval) -> bool:
    """Return whether the interval holds values on both sides of a limit; a limit of 0 has only one side."""
    open_limits = [x for x in (rule.at_least, rule.below) if x]
    over_top = rule.up_to is not None and interval.low <= rule.up_to < interval.high
    return over_top or any(interval.spans(limit) for limit in open_limits)


def _holds(rule: Rule, value: float) -> bool:
    if value < rule.at_least or (rule.below is not None and value >= rule.below):
        return False
    return rule.up_to is None or value <= rule.up_to


def _numbers(rule: Rule, measured: Measurement) -> str:
    """Return the measurement, with more digits where rounding alone would put it on the other side of a limit."""
    hidden = _holds(rule, measured.shown) != _holds(rule, measured.value)
    return measured.sentence(decimals=3 if hidden else 1)


def _where(rule: Rule, unit: str, *, holds: bool) -> str:
    upper = rule.below if rule.up_to is None else rule.up_to
    if upper is None:
        side = "at or above" if holds else "below"
        return f"{side} the {rule.at_least:g}{unit} {rule.criterion}"
    side, word = "within" if holds else "outside", "to" if rule.below is None else "to below"
    return f"{side} the {rule.at_least:g} {word} {upper:g}{unit} {rule.criterion}"
