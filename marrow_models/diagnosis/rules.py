"""Rule sets as data: thresholds of a classification, their wording and their source. Standard library only.

The classifications disagree (WHO-5, ICC 2022) and change, so each is a versioned file in ``rules/``.
What a rule says about a differential is in :mod:`marrow_models.diagnosis.findings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path

from marrow_models.diagnosis.differential import Specimen
from marrow_models.diagnosis.measures import MEASURES
from marrow_models.errors import UserError
from marrow_models.strict_json import Members, digest_of, parse_object, read_object

DEFAULT_RULE_SETS = ("icsh2008", "who5", "adult_reference")
"""What is applied when nobody chooses: counting limits, one classification, ranges for adults."""

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


class NdcUse(StrEnum):
    """What the differential is for; it decides how many cells are enough."""

    PRECISE = "precise"
    """A precise percentage is required: every suggestion of a diagnosis."""
    NOT_ESSENTIAL = "not_essential"
    """The differential is not essential to the diagnosis."""


class RuleKind(StrEnum):
    """What a rule is about."""

    CRITERION = "criterion"
    """A threshold or range of a classification."""
    REFERENCE = "reference"
    """A range of healthy people."""


class Severity(StrEnum):
    """How much a finding that holds should be looked at."""

    INFO = "info"
    ATTENTION = "attention"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class CountLimit:
    """How many cells a differential needs for a use."""

    id: str
    specimen: Specimen
    use: NdcUse
    cells: int
    criterion: str
    basis: str
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One threshold (``at_least``) or range (``at_least`` and either ``below`` or ``up_to``) of one measure."""

    id: str
    title: str
    kind: RuleKind
    measure: str
    """A key of MEASURES. Percent of the cells counted, except for ratios."""
    at_least: float
    below: float | None
    """Upper limit, itself outside."""
    up_to: float | None
    """Upper limit, itself inside."""
    criterion: str
    """Completes "the 20 % ...": threshold of WHO-5 for AML."""
    caveat: str
    basis: str
    source: str
    severity: Severity
    required_for: tuple[str, ...]
    """Diagnoses that this rule is a necessary condition of."""
    contradicts: tuple[str, ...]
    """Diagnoses that do not go with this rule being met beyond the interval."""
    only_for: tuple[str, ...]
    """The rule is applied only where the model suggests one of these; empty: always."""
    age_from_years: float | None
    """The rule is applied only to patients known to be that old."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A checked, versioned file of rules. Equal content has an equal digest."""

    name: str
    version: str
    digest: str
    title: str
    source: str
    specimens: tuple[Specimen, ...]
    """What the rules (not the limits) are applied to."""
    limits: tuple[CountLimit, ...]
    rules: tuple[Rule, ...]

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"

    def limit(self, specimen: Specimen, use: NdcUse) -> CountLimit | None:
        """Return how many cells of ``specimen`` are needed for ``use``; None when the set does not say."""
        return next((x for x in self.limits if x.specimen is specimen and x.use is use), None)


def load_rules(name_or_path: str | Path) -> RuleSet:
    """Return a rule set of the package by name (``who5``) or any other by the path of its ``.json`` file.

    UserError, naming the file and the rule, when it is not there or is not sound.
    """
    if isinstance(name_or_path, str) and _NAME.fullmatch(name_or_path):
        return _built_in(name_or_path)
    path = Path(name_or_path)
    return parse_rules(read_object(path), path.name)


def built_in_rules() -> tuple[str, ...]:
    """Return the names that :func:`load_rules` knows, sorted."""
    folder = resources.files("marrow_models.diagnosis").joinpath("rules")
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


@cache
def _built_in(name: str) -> RuleSet:
    if name not in built_in_rules():
        raise UserError(f"no rule set {name!r}; known are {', '.join(built_in_rules())}, or give a .json file.")
    file = resources.files("marrow_models.diagnosis").joinpath("rules", f"{name}.json")
    return parse_rules(parse_object(file.read_bytes(), file.name), file.name)


def parse_rules(content: dict[str, object], where: str) -> RuleSet:
    """Return the rule set in a parsed file; UserError, opening with ``where``, when it is not sound."""
    required = ("name", "version", "title", "source", "specimens", "limits", "rules")
    top = Members(content, where, required=required)
    name = top.text("name")
    if not _NAME.fullmatch(name):
        raise UserError(f"{where}: name {name!r} must be lower-case letters, digits, _ and -.")
    limits = tuple(_limit(item, f"{where}: limit {n}") for n, item in enumerate(top.items("limits"), 1))
    rules = tuple(_rule(item, f"{where}: rule {n}") for n, item in enumerate(top.items("rules"), 1))
    ids = [x.id for x in limits] + [x.id for x in rules]
    if doubled := sorted({i for i in ids if ids.count(i) > 1}):
        raise UserError(f"{where}: the id {', '.join(doubled)} is given twice.")
    if len({(x.specimen, x.use) for x in limits}) != len(limits):
        raise UserError(f"{where}: two limits for the same specimen and use; keep one.")
    specimens = tuple(
        Specimen(Members({"specimen": s}, f"{where}: specimens", required=("specimen",)).one_of("specimen", Specimen))
        for s in top.texts("specimens")
    )
    version, title, source = top.text("version"), top.text("title"), top.text("source")
    return RuleSet(name, version, digest_of(content), title, source, specimens, limits, rules)


def _limit(item: object, where: str) -> CountLimit:
    members = Members(item, where, required=("id", "specimen", "use", "cells", "criterion", "basis", "source"))
    return CountLimit(
        id=members.text("id"),
        specimen=Specimen(members.one_of("specimen", Specimen)),
        use=NdcUse(members.one_of("use", NdcUse)),
        cells=members.whole("cells", 1, 1_000_000),
        criterion=members.text("criterion"),
        basis=members.text("basis"),
        source=members.text("source"),
    )


def _rule(item: object, where: str) -> Rule:
    required = ("id", "title", "measure", "at_least", "criterion", "basis", "source", "severity")
    optional = ("kind", "below", "up_to", "caveat", "required_for", "contradicts", "only_for", "age_from_years")
    members = Members(item, where, required=required, optional=optional)
    members.where = f"{where} ({members.text('id')})"
    at_least = members.number("at_least", 0, 100)
    upper = [None if members.value(key) is None else members.number(key, 0, 100) for key in ("below", "up_to")]
    given = [u for u in upper if u is not None]
    if len(given) > 1 or any(u <= at_least for u in given):
        raise UserError(f"{members.where}: give below or up_to, not both, and higher than at_least.")
    kind = RuleKind(members.optional_one_of("kind", RuleKind) or RuleKind.CRITERION)
    if kind is RuleKind.REFERENCE and members.value("age_from_years") is None:
        raise UserError(f"{members.where}: a reference range needs age_from_years; ranges differ by age.")
    return Rule(
        id=members.text("id"),
        title=members.text("title"),
        kind=kind,
        measure=members.one_of("measure", MEASURES),
        at_least=at_least,
        below=upper[0],
        up_to=upper[1],
        criterion=members.text("criterion"),
        caveat=members.optional_text("caveat") or "",
        basis=members.text("basis"),
        source=members.text("source"),
        severity=Severity(members.one_of("severity", Severity)),
        required_for=members.texts("required_for"),
        contradicts=members.texts("contradicts"),
        only_for=members.texts("only_for"),
        age_from_years=None if members.value("age_from_years") is None else members.number("age_from_years", 0, 150),
    )
