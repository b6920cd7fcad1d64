"""The nucleated differential count (NDC) of one specimen.

After ICSH 2008 (Lee et al., Int J Lab Hematol 2008;30:349-364): which cells are counted, their order,
the M:E ratio, and that the number of cells counted is stated. Standard library only.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from marrow_models.diagnosis.intervals import Interval, ratio_interval, rounded_percentages, wilson_interval
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from marrow_models.taxonomy import CellClass, Taxonomy


class Specimen(StrEnum):
    """What was smeared."""

    BONE_MARROW = "bone_marrow"
    BLOOD = "blood"


class MeConvention(StrEnum):
    """Which cells the M of the M:E ratio holds. The convention is printed with every ratio."""

    ICSH = "granulocytes, monocytes and their precursors : erythroblasts (ICSH 2008)"
    GRANULOCYTES = "granulocytes and their precursors, without monocytes : erythroblasts"


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the counted cells. ``percent`` is rounded to 0.1, the interval (95 %, Wilson) is not."""

    count: int
    total: int
    percent: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Blasts:
    """The blasts of a differential, by lineage and kind. Counts of cells."""

    share: Share
    """All blasts, physiological ones and the chosen equivalents included, of all cells counted."""
    by_lineage: Mapping[str, int]
    """``myeloid``, ``monocytic``, ``lymphoid``, ``unknown``, ...: adds up to ``share.count``."""
    physiological: int
    equivalents: int
    """Blast equivalents among them: those that the caller chose to count as blasts."""
    equivalents_left_out: int
    """Blast equivalents that stand in their own category only."""


@dataclass(frozen=True, slots=True)
class Differential:
    """Counts, percentages and intervals per ICSH category, and what was counted beside them."""

    taxonomy: str
    taxonomy_digest: str
    specimen: Specimen
    total: int
    """Cells counted in the differential: the denominator of every percentage."""
    categories: Mapping[str, Share]
    """ICSH category -> share, in the order of ICSH; percentages add up to 100.0. In blood without erythroblasts."""
    blasts: Blasts
    myeloid: int
    """Cells of the M of M:E, under ``me_convention``."""
    erythroid: int
    me_convention: MeConvention
    excluded: Mapping[str, int]
    """Cells outside the differential by heading (megakaryocyte, smudge, artefact, ...); headings with cells only."""
    nrbc: int | None = None
    """Blood: nucleated red cells, outside the denominator. None in marrow."""
    labels: Mapping[str, int] = field(default_factory=dict)
    """The counts that this was made from, in the order of the taxonomy."""

    @property
    def me_ratio(self) -> float | None:
        """M:E; None without erythroblasts and in blood."""
        return self.myeloid / self.erythroid if self.erythroid and self.specimen is Specimen.BONE_MARROW else None

    @property
    def me_interval(self) -> Interval | None:
        """95 % interval of M:E; None where there is no ratio."""
        return None if self.me_ratio is None else ratio_interval(self.myeloid, self.erythroid)

    @property
    def smudge_ratio(self) -> float | None:
        """Smudge cells per cell counted, a measure of the smear's quality; None when nothing was counted."""
        return self.excluded.get("smudge", 0) / self.total if self.total else None

    @property
    def nrbc_per_100_wbc(self) -> float | None:
        """Blood: nucleated red cells per 100 leucocytes; None in marrow and when nothing was counted."""
        return 100 * self.nrbc / self.total if self.nrbc is not None and self.total else None

    @property
    def granulocytic_immaturity(self) -> float | None:
        """(Myeloid blasts to metamyelocytes) : (band + segmented neutrophils); None without the latter."""
        mature = sum(self.categories[c].count for c in ("band_neutrophil", "segmented_neutrophil"))
        young = sum(self.categories[c].count for c in ("promyelocyte", "myelocyte", "metamyelocyte"))
        return (young + self.blasts.by_lineage.get("myeloid", 0)) / mature if mature else None

    def percent(self, category: str) -> float:
        """Return the rounded percentage of an ICSH category; 0.0 for one that this specimen does not count."""
        share = self.categories.get(category)
        return share.percent if share else 0.0


def share(count: int, total: int) -> Share:
    """Return ``count`` of ``total`` cells with its percentage, rounded to 0.1, and its interval."""
    return Share(count, total, round(100 * count / total, 1) if total else 0.0, wilson_interval(count, total))


def differential(
    counts: Mapping[str, int],
    taxonomy: Taxonomy,
    *,
    specimen: Specimen | str = Specimen.BONE_MARROW,
    me_convention: MeConvention = MeConvention.ICSH,
    blast_equivalents: Collection[str] = (),
) -> Differential:
    """Return the differential of ``counts`` (cells per label of ``taxonomy``; labels without cells may be absent).

    ``blast_equivalents`` are labels that are counted with the blasts on top of their own category:
    promonocytes in monocytic leukaemia, abnormal promyelocytes in APL. UserError for a label that the
    taxonomy does not have, a count that is negative or no whole number, or an unknown specimen.
    """
    kind = _specimen(specimen)
    cells = _checked(counts, taxonomy)
    equivalents = _equivalents(blast_equivalents, taxonomy)
    nucleated_red = sum(n for c, n in cells if c.category == "erythroblast") if kind is Specimen.BLOOD else None
    counted = [(c, n) for c, n in cells if c.in_differential and not (nucleated_red is not None and c.in_me == "E")]
    total = sum(n for _, n in counted)
    categories = _categories(counted, taxonomy, total, with_erythroblasts=nucleated_red is None)
    return Differential(
        taxonomy=taxonomy.name,
        taxonomy_digest=taxonomy.digest,
        specimen=kind,
        total=total,
        categories=categories,
        blasts=_blasts(counted, categories["blast"], equivalents),
        myeloid=sum(n for c, n in counted if _is_myeloid(c, me_convention)),
        erythroid=sum(n for c, n in counted if c.in_me == "E"),
        me_convention=me_convention,
        excluded=_sums((c.excluded_as, n) for c, n in cells if c.excluded_as is not None),
        nrbc=nucleated_red,
        labels={c.label: n for c, n in cells},
    )


def _specimen(specimen: Specimen | str) -> Specimen:
    try:
        return Specimen(specimen)
    except ValueError as error:
        raise UserError(f"specimen must be one of {', '.join(Specimen)}; correct it in manifest.csv.") from error


def _checked(counts: Mapping[str, int], taxonomy: Taxonomy) -> list[tuple[CellClass, int]]:
    for label, count in counts.items():
        taxonomy.get(label)
        try:
            whole = operator.index(count)
        except TypeError as error:
            raise UserError(f"the count of {label} must be a whole number of cells, not {count!r}.") from error
        if whole < 0:
            raise UserError(f"the count of {label} is {whole}; a count of cells cannot be negative.")
    return [(c, operator.index(counts[c.label])) for c in taxonomy.classes if counts.get(c.label)]


def _equivalents(labels: Collection[str], taxonomy: Taxonomy) -> frozenset[str]:
    for label in labels:
        if taxonomy.get(label).blast != "equivalent":
            raise UserError(f"taxonomy {taxonomy.name}: {label} is not a blast equivalent.")
    return frozenset(labels)


def _categories(
    counted: list[tuple[CellClass, int]], taxonomy: Taxonomy, total: int, *, with_erythroblasts: bool
) -> dict[str, Share]:
    names = [c for c in taxonomy.categories if with_erythroblasts or c != "erythroblast"]
    sums = _sums((c.category, n) for c, n in counted if c.category is not None)
    counts = [sums.get(name, 0) for name in names]
    percents = rounded_percentages(counts)
    return {
        name: Share(count, total, percent, wilson_interval(count, total))
        for name, count, percent in zip(names, counts, percents, strict=True)
    }


def _blasts(counted: list[tuple[CellClass, int]], category: Share, chosen: frozenset[str]) -> Blasts:
    blasts = [(c, n) for c, n in counted if c.category == "blast" or c.label in chosen]
    equivalents = sum(n for c, n in blasts if c.blast == "equivalent")
    every = sum(n for _, n in blasts)
    return Blasts(
        # The same rounding as in the table of categories, wherever the two are the same cells.
        share=category if every == category.count else share(every, category.total),
        by_lineage=_sums((c.lineage, n) for c, n in blasts),
        physiological=sum(n for c, n in blasts if c.blast == "physiological"),
        equivalents=equivalents,
        equivalents_left_out=sum(n for c, n in counted if c.blast == "equivalent") - equivalents,
    )


def _is_myeloid(c: CellClass, convention: MeConvention) -> bool:
    return c.in_me == "M" and (convention is MeConvention.ICSH or c.lineage != "monocytic")


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, count in pairs:
        sums[name] = sums.get(name, 0) + count
    return sums
