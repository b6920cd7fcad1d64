"""Cell classes as data: what a label means, where it counts in the differential, how a data set spells it.

A taxonomy is a JSON file (``marrow_models/taxonomies``). The nucleated differential count (NDC) follows
ICSH 2008 (Lee et al., Int J Lab Hematol 2008;30:349-364). Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from marrow_models.errors import UserError
from marrow_models.strict_json import Members, digest_of, parse_object, read_object

if TYPE_CHECKING:
    from collections.abc import Collection

ICSH_CATEGORIES = (
    "blast",
    "promyelocyte",
    "myelocyte",
    "metamyelocyte",
    "band_neutrophil",
    "segmented_neutrophil",
    "eosinophil",
    "basophil",
    "mast_cell",
    "monocyte",
    "lymphocyte",
    "plasma_cell",
    "erythroblast",
)
"""The categories of the nucleated differential count in the order of ICSH 2008; monocyte includes promonocytes."""

NEVER_MYELOID = frozenset({"mast_cell", "lymphocyte", "plasma_cell", "erythroblast"})
"""Categories of which no cell is on the myeloid side of M:E."""

LINEAGES = ("myeloid", "monocytic", "lymphoid", "erythroid", "megakaryocytic", "unknown", "none")
"""``none``: not a cell of a blood lineage (artefact, particle); ``unknown``: one, but it cannot be said which."""

BLAST_KINDS = ("leukaemic", "physiological", "unspecified", "equivalent")
"""``equivalent``: counted with the blasts only where a rule says so; its own category is another one."""

EXCLUSIONS = (
    "megakaryocyte",
    "macrophage",
    "mitosis",
    "smudge",
    "unreadable",
    "artefact",
    "particle",
    "erythrocyte",
    "platelet",
    "unclassified",
)
"""Under which heading a class outside the differential is reported."""

CODE_SYSTEMS = ("SCT", "NCIt", "LN", "DCM")
"""SNOMED CT, NCI Thesaurus, LOINC parts, DICOM."""

_TOP = ("name", "version", "title", "source", "classes")
_REQUIRED = ("label", "title", "category", "lineage", "in_differential", "in_me", "nucleated")
_OPTIONAL = ("code", "code_system", "blast", "excluded_as", "alternative_category", "aliases", "note")
_LABEL = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CellClass:
    """One class of cells (or of what a detector may take for one)."""

    label: str
    title: str
    """For people."""
    code: str | None
    code_system: str | None
    """One of CODE_SYSTEMS; None together with ``code``."""
    category: str | None
    """ICSH category; None exactly when the class is outside the differential."""
    lineage: str
    in_differential: bool
    in_me: Literal["M", "E"] | None
    """The side of the myeloid:erythroid ratio on which ICSH counts the class."""
    nucleated: bool
    note: str = ""
    blast: str | None = None
    """One of BLAST_KINDS; None for what is no blast."""
    excluded_as: str | None = None
    """One of EXCLUSIONS; None exactly when the class is in the differential."""
    alternative_category: str | None = None
    """A second category that a laboratory may choose, see :meth:`Taxonomy.with_alternatives`."""
    aliases: tuple[str, ...] = ()
    """How the data set's files spell the class, besides the label itself."""


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A checked list of cell classes in the order of the data set. Equal content has an equal digest."""

    name: str
    version: str
    digest: str
    """SHA-256 (hex) of the content, independent of white space and of the order of keys."""
    classes: tuple[CellClass, ...]
    title: str = ""
    source: str = ""
    ignored: tuple[str, ...] = ()
    """Raw labels that mean "no class": such a box takes no part in training or counting."""
    maturation: tuple[tuple[str, ...], ...] = ()
    """Lines of maturing, young to old: neighbours in a line are the classes that observers confuse most."""
    _by_label: dict[str, CellClass] = field(init=False, repr=False, compare=False)
    _by_raw: dict[str, str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_label = {c.label: c for c in self.classes}
        if len(by_label) != len(self.classes):
            doubled = sorted({c.label for c in self.classes if sum(d.label == c.label for d in self.classes) > 1})
            raise UserError(f"taxonomy {self.name}: label {', '.join(doubled)} is given twice.")
        object.__setattr__(self, "_by_label", by_label)
        object.__setattr__(self, "_by_raw", _raw_labels(self.name, self.classes, self.ignored))
        for line in self.maturation:
            if len(line) < 2 or len(set(line)) != len(line):
                raise UserError(f"taxonomy {self.name}: a line of maturation needs two or more labels, each once.")
            for label in line:
                self.get(label)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels, in order."""
        return tuple(self._by_label)

    @property
    def categories(self) -> tuple[str, ...]:
        """The ICSH categories in the order of a report, also those that no class of this taxonomy falls in."""
        return ICSH_CATEGORIES

    def get(self, label: str) -> CellClass:
        """Return the class of ``label``; UserError for a label that is not of this taxonomy."""
        found = self._by_label.get(label)
        if found is None:
            raise UserError(f"taxonomy {self.name} has no label {label!r}; it has {', '.join(self.labels)}.")
        return found

    def category_of(self, label: str) -> str | None:
        """Return the ICSH category of ``label``, None when it is outside the differential."""
        return self.get(label).category

    def resolve(self, raw: str) -> str | None:
        """Return the label for a data set's own spelling; None for a spelling that means "no class".

        Only spellings in the file count (letter case, spaces and hyphens aside): a guess from parts of a
        word would take a physiological "lymphoblast" for a leukaemic blast. UserError otherwise.
        """
        key = _normal(raw)
        if key not in self._by_raw:
            raise UserError(
                f"taxonomy {self.name} does not know the raw label {raw!r}; add it as an alias or ignore it."
            )
        return self._by_raw[key]

    def with_alternatives(self, labels: Collection[str]) -> Taxonomy:
        """Return the taxonomy with ``labels`` in their alternative category; the digest differs from the original's."""
        chosen = sorted(set(labels))
        for label in chosen:
            if self.get(label).alternative_category is None:
                raise UserError(f"taxonomy {self.name}: {label} has no alternative category.")
        classes = tuple(_swapped(c) if c.label in chosen else c for c in self.classes)
        digest = digest_of({"taxonomy": self.digest, "alternatives": chosen}) if chosen else self.digest
        return replace(self, classes=classes, digest=digest)


def load_taxonomy(name_or_path: str | Path) -> Taxonomy:
    """Return a taxonomy of the package by name (``marrow49``) or any other by the path of its ``.json`` file.

    UserError, naming the file and the class, when it is not there or breaks a rule.
    """
    if isinstance(name_or_path, str) and _NAME.fullmatch(name_or_path):
        return _built_in(name_or_path)
    path = Path(name_or_path)
    return parse_taxonomy(read_object(path), path.name)


def built_in_taxonomies() -> tuple[str, ...]:
    """Return the names that :func:`load_taxonomy` knows, sorted."""
    folder = resources.files("marrow_models").joinpath("taxonomies")
    return tuple(sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith(".json")))


@cache
def _built_in(name: str) -> Taxonomy:
    if name not in built_in_taxonomies():
        raise UserError(f"no taxonomy {name!r}; known are {', '.join(built_in_taxonomies())}, or give a .json file.")
    file = resources.files("marrow_models").joinpath("taxonomies", f"{name}.json")
    return parse_taxonomy(parse_object(file.read_bytes(), file.name), file.name)


def parse_taxonomy(content: dict[str, object], where: str) -> Taxonomy:
    """Return the taxonomy in a parsed file; UserError, opening with ``where``, for any rule that it breaks."""
    top = Members(content, where, required=_TOP, optional=("ignored", "maturation"))
    name = top.text("name")
    if not _NAME.fullmatch(name):
        raise UserError(f"{where}: name {name!r} must be lower-case letters, digits, _ and -.")
    classes = tuple(_cell_class(item, f"{where}: class {n}") for n, item in enumerate(top.items("classes"), 1))
    if not classes:
        raise UserError(f"{where}: classes is empty; a taxonomy needs at least one class.")
    lines = tuple(
        Members({"line": line}, f"{where}: maturation {n}", required=("line",)).texts("line")
        for n, line in enumerate(top.items("maturation"), 1)
    )
    try:
        return Taxonomy(
            name=name,
            version=top.text("version"),
            title=top.text("title"),
            source=top.text("source"),
            ignored=top.texts("ignored"),
            classes=classes,
            maturation=lines,
            digest=digest_of(content),  # after every check: what is checked is flat, so this cannot fail
        )
    except UserError as error:
        raise UserError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None


def _cell_class(item: object, where: str) -> CellClass:
    members = Members(item, where, required=_REQUIRED, optional=_OPTIONAL)
    label = members.text("label")
    if not _LABEL.fullmatch(label):
        raise UserError(f"{where}: label {label!r} must be lower-case letters, digits and _.")
    members.where = f"{where} ({label})"
    made = CellClass(
        label=label,
        title=members.text("title"),
        code=members.optional_text("code"),
        code_system=members.optional_one_of("code_system", CODE_SYSTEMS),
        category=members.optional_one_of("category", ICSH_CATEGORIES),
        lineage=members.one_of("lineage", LINEAGES),
        in_differential=members.flag("in_differential"),
        in_me=cast("Literal['M', 'E'] | None", members.optional_one_of("in_me", ("M", "E"))),
        nucleated=members.flag("nucleated"),
        note=members.optional_text("note") or "",
        blast=members.optional_one_of("blast", BLAST_KINDS),
        excluded_as=members.optional_one_of("excluded_as", EXCLUSIONS),
        alternative_category=members.optional_one_of("alternative_category", ICSH_CATEGORIES),
        aliases=members.texts("aliases"),
    )
    for broken, rule in _rules(made):
        if broken:
            raise UserError(f"{members.where}: {rule}.")
    return made


def _rules(c: CellClass) -> tuple[tuple[bool, str], ...]:
    """(is it broken, the rule in words) for every rule between the members of a class."""
    counted = c.in_differential
    is_blast = c.blast is not None and c.blast != "equivalent"
    return (
        ((c.code is None) != (c.code_system is None), "code and code_system are given together or not at all"),
        (counted and c.category is None, "a class in the differential needs a category"),
        (not counted and c.category is not None, "a class outside the differential has no category"),
        (counted and not c.nucleated, "the differential counts nucleated cells only"),
        (counted == (c.excluded_as is not None), "excluded_as is given exactly for a class outside the differential"),
        (not counted and c.in_me is not None, "a class outside the differential takes no part in M:E"),
        ((c.in_me == "E") != (c.category == "erythroblast"), "the E of M:E is exactly the erythroblasts"),
        (c.in_me == "M" and c.category in NEVER_MYELOID, f"a {c.category} takes no part in the M of M:E"),
        (c.in_me == "M" and c.lineage not in ("myeloid", "monocytic"), "the M of M:E is myeloid or monocytic"),
        (is_blast != (c.category == "blast"), "category blast goes with a kind of blast, and no other category does"),
        (c.blast == "equivalent" and not counted, "a blast equivalent must be in the differential"),
        (not counted and c.alternative_category is not None, "only a class in the differential has an alternative"),
        (counted and c.alternative_category == c.category, "the alternative category is the category itself"),
    )


def _swapped(c: CellClass) -> CellClass:
    """``c`` in its alternative category; a precursor that a laboratory counts as a blast is a physiological one."""
    blast = "physiological" if c.alternative_category == "blast" else None
    return replace(c, category=c.alternative_category, alternative_category=c.category, blast=blast)


def _raw_labels(name: str, classes: tuple[CellClass, ...], ignored: tuple[str, ...]) -> dict[str, str | None]:
    raw: dict[str, str | None] = {_normal(c.label): c.label for c in classes}
    spellings = [(alias, c.label) for c in classes for alias in c.aliases] + [(text, None) for text in ignored]
    for spelling, label in spellings:
        key = _normal(spelling)
        if raw.setdefault(key, label) != label:
            raise UserError(f"taxonomy {name}: the raw label {spelling!r} has two meanings; keep one.")
    return raw


def _normal(raw: str) -> str:
    return re.sub(r"[\s_-]+", "_", raw.strip().casefold())
