"""From the votes of several raters to one label, by the rule of BoneMarrowWSI-PediatricLeukemia.

Experts label an object one after the other until two or more have done so and the most frequent label has at
least half of the votes (Höfener et al., arXiv 2509.15895). A label that shares the first place is not the most
frequent one: otherwise two votes would always do, and the published third to fifth sessions would not exist.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from marrow_models.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from marrow_models.taxonomy import Taxonomy

OTHER = "other"
"""A vote for something that is no class of the taxonomy, or one that was lost."""
NO_CONSENSUS = "no_consensus_found"
UNLABELLED = "haematological_structure"
"""An object that somebody boxed and nobody classified."""
MIN_VOTES = 2
MIN_SHARE = 0.5
_FREE = "other:"

FREE_TEXT: Mapping[str, str] = MappingProxyType(
    {
        "annotation_error": "technically_unfit",
        "heamatological_structure": UNLABELLED,
        "other:basophiler erythroblast": "basophilic_erythroblast",
        "other:degranulierter promyelozyt": "degranulated_neutrophilic_myelocyte",
        "other:dichter zellhaufen": "technically_unfit",
        "other:granula der kaputten zelle": "damaged_cell",
        "other:hämophagozytose": "phagocytosis",
        "other:kernreste": "damaged_cell",
        "other:makrothrombozyt": "giant_platelet",
        "other:mikrogerinsel": "thrombocyte_aggregate",
        "other:plasma eines megakaryozyten": "damaged_cell",
        "other:riesenthrombozyt": "giant_platelet",
        "other:zellhaufen": "technically_unfit",
    }
)
"""What raters typed instead of choosing, in lower case, as the authors' conversion reads it. One entry of theirs
is left out: an osteoblast is a bone cell and no blast of unknown lineage, so that such a vote stays ``other``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the raters of one object agreed on."""

    label: str | None
    raw_label: str
    votes: tuple[str, ...] = ()
    """Labels of the taxonomy or ``other``, in the order of the sessions."""
    recomputed: bool = False
    """Not as published, but from the votes."""


def label_of(raw: str, taxonomy: Taxonomy) -> str | None:
    """Label for what a file says of an object; None for "no class" and for ``other:`` with a text of its own.

    UserError for anything else that the taxonomy does not know.
    """
    text = raw.strip()
    known = FREE_TEXT.get(text.casefold())
    if known is None and text.casefold().startswith(_FREE):
        return None
    return taxonomy.resolve(known or text)


def vote_of(raw: str | None, taxonomy: Taxonomy) -> str:
    """Label for one rater's vote; ``other`` for a vote that is missing or that names no class."""
    try:
        return (label_of(raw, taxonomy) if raw else None) or OTHER
    except UserError:
        return OTHER


def consensus_of(votes: Sequence[str]) -> str | None:
    """The label that the rule gives; None where there is none, and for agreement on ``other``."""
    if len(votes) < MIN_VOTES:
        return None
    (label, count), *rest = Counter(votes).most_common(2)
    if count < MIN_SHARE * len(votes) or (rest and rest[0][1] == count) or label == OTHER:
        return None
    return label


def settle(votes: Sequence[str | None], published: str | None, taxonomy: Taxonomy, *, trusted: bool = True) -> Verdict:
    """The verdict on an object from the raw votes and the raw consensus (None: it lacks one).

    The published consensus counts; where there is none, it is made from the votes. Votes that are not ``trusted``
    (see :func:`are_copies`) still serve for that, as copies of the label that is lost, but are not passed on.
    UserError for a published label that is no class.
    """
    given = tuple(vote_of(vote, taxonomy) for vote in votes)
    kept = given if trusted else ()
    if published is not None:
        return Verdict(label_of(published, taxonomy), published, kept)
    label = consensus_of(given)
    return Verdict(label, label or NO_CONSENSUS, kept, recomputed=True)


def are_copies(votes: Iterable[Sequence[str | None]]) -> bool:
    """Whether the votes on the objects of a slide are copies of their consensus, as in an early release.

    Nobody is asked a third time about an object on which two agree, and nobody votes "no consensus". A slide
    where one of these happened, and on which no two votes on an object ever differ, holds copies.
    """
    impossible = False
    for of_object in votes:
        named = [vote for vote in of_object if vote]
        if len(set(named)) > 1:
            return False
        impossible = impossible or len(named) > MIN_VOTES or NO_CONSENSUS in named
    return impossible


def soft_labels(votes: Sequence[str], taxonomy: Taxonomy) -> Mapping[str, float]:
    """Share of the votes of each label, summing to 1, in the order of the taxonomy; empty where none is a class.

    Votes are labels (or spellings) of the taxonomy; ``other`` and what it does not know have no share.
    """
    known = [label for label in (vote_of(vote, taxonomy) for vote in votes) if label != OTHER]
    counts = Counter(known)
    return MappingProxyType({label: counts[label] / len(known) for label in taxonomy.labels if label in counts})
