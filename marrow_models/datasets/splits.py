"""Training, validation and test without a patient or a picture on two sides.

What must stay together is a group: the pictures of one patient, and pictures that are stored twice, byte for byte.
Groups are shared out so that each class keeps its share as far as they allow. Nothing depends on the order in which
a file system lists its files, nor on where the data set lies.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from marrow_models.datasets.duplicates import identical_pictures
from marrow_models.datasets.records import SPLITS, DataSet, Picture
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shares = tuple[float, float, float]
"""Of training, validation and test."""

_ALL_CLASSES = 4
"""How much the share of all pictures weighs against that of a class of mean size."""


@dataclass(frozen=True, slots=True)
class Split:
    """Pictures by what they are for. No patient and no picture is in two of the parts."""

    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    test: tuple[Picture, ...]


def split_pictures(data_set: DataSet, *, seed: int, shares: Shares = (0.8, 0.1, 0.1), published: bool = True) -> Split:
    """Share out the pictures to training, validation and test, by patient where patients are known.

    Parameters
    ----------
    shares
        They add up to 1; a part of share 0 stays empty. The largest groups are placed first, each where most of
        its classes' share is still wanting; every part with a share gets a group.
    published
        Keep the authors' split. What they do not give (often the validation) is taken out of their training part,
        in the proportion of the two shares. False: as if nothing were published.

    Raises
    ------
    UserError
        The published split leaks, or there are fewer groups than parts.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or shares[0] <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"shares of training, validation and test are {shares}: they must add up to 1, with a training."
        )
    pictures = _in_order(data_set)
    if not published:
        pictures = [replace(picture, split=None) for picture in pictures]
    groups = _groups(pictures)
    sides = [_side_of(group, pictures) for group in groups]
    wanted = np.array(
        [0.0 if name in sides and name != "train" else share for name, share in zip(SPLITS, shares, strict=True)]
    )
    free = [i for i, side in enumerate(sides) if side in (None, "train")]
    placed = _shared_out([groups[i] for i in free], _strata(pictures), wanted / wanted.sum(), seed)
    for i, part in zip(free, placed, strict=True):
        sides[i] = SPLITS[part]
    of_picture = {n: side for group, side in zip(groups, sides, strict=True) for n in group}
    return Split(*(tuple(p for n, p in enumerate(pictures) if of_picture[n] == name) for name in SPLITS))


def k_folds(data_set: DataSet, k: int, seed: int, *, published: bool = True) -> tuple[Split, ...]:
    """``k`` splits without validation, in which each picture is tested once; groups and classes as above.

    The authors' folds where they give ``k`` of them (and ``published``); a test part that they give takes no part.
    UserError where published folds leak, or there are fewer groups than folds.
    """
    if k < 2:
        raise UserError(f"{k} folds: cross-validation needs 2 or more.")
    pictures = [p for p in _in_order(data_set) if not (published and p.split == "test")]
    folds = {p.fold for p in pictures}
    if published and None not in folds and len(folds) == k:
        numbers = [sorted(f for f in folds if f is not None).index(p.fold) for p in pictures if p.fold is not None]
    else:
        numbers = _fresh_folds(pictures, k, seed)
    splits = tuple(
        Split(
            train=tuple(p for p, number in zip(pictures, numbers, strict=True) if number != fold),
            val=(),
            test=tuple(p for p, number in zip(pictures, numbers, strict=True) if number == fold),
        )
        for fold in range(k)
    )
    for split in splits:
        check_no_leak(split.train, split.test)
    return splits


def check_no_leak(train: Iterable[Picture], test: Iterable[Picture]) -> None:
    """Refuse two sides of one data set that share a patient or a picture (the same stored bytes).

    UserError with an example. Pictures that are nearly alike are not found.
    """
    left, right = list(train), list(test)
    first = {p.patient: p.image.name for p in reversed(left) if p.patient is not None}
    for picture in right:
        if picture.patient is not None and picture.patient in first:
            raise _leak(f"patient {picture.patient}", first[picture.patient], picture.image.name)
    for group in identical_pictures([p.image for p in (*left, *right)]):
        if group[0] < len(left) <= group[-1]:
            a, b = left[group[0]].image.name, right[group[-1] - len(left)].image.name
            raise _leak("one picture", a, b)


def _leak(what: str, here: str, there: str) -> UserError:
    return UserError(
        f"the split leaks: {what} is on both sides ({here} and {there}). Make the split anew by patient, or take the "
        "picture out of one side; for a published split, ask for a new one (published = false)."
    )


def _in_order(data_set: DataSet) -> list[Picture]:
    def key(picture: Picture) -> tuple[str, str, tuple[int, ...]]:
        path, rect = picture.image.path, picture.image.rect_px
        inside = path.relative_to(data_set.path) if path.is_relative_to(data_set.path) else path
        return inside.as_posix(), picture.image.member or "", (rect.x, rect.y, rect.width, rect.height) if rect else ()

    if not data_set.pictures:
        raise UserError(f"{data_set.path}: no pictures to split.")
    return sorted(data_set.pictures, key=key)


def _groups(pictures: Sequence[Picture]) -> list[list[int]]:
    """Positions that must stay together, in order: joined by a patient, by content, or by both in a chain."""
    root = list(range(len(pictures)))

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    first: dict[str, int] = {}
    links = [(i, first.setdefault(p.patient, i)) for i, p in enumerate(pictures) if p.patient is not None]
    links += [(i, group[0]) for group in identical_pictures([p.image for p in pictures]) for i in group[1:]]
    for a, b in links:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    members: defaultdict[int, list[int]] = defaultdict(list)
    for i in range(len(pictures)):
        members[find(i)].append(i)
    return list(members.values())


def _side_of(group: Sequence[int], pictures: Sequence[Picture]) -> str | None:
    """The published side of a group; UserError where it is on two."""
    by_side: defaultdict[str, list[Picture]] = defaultdict(list)
    for i in group:
        if (side := pictures[i].split) is not None:
            by_side[side].append(pictures[i])
    if len(by_side) > 1:
        left, right = list(by_side.values())[:2]
        check_no_leak(left, right)
        # A chain over a picture of no side: neither a patient nor a picture is on both by itself.
        raise _leak("one group of a patient's and equal pictures", left[0].image.name, right[0].image.name)
    return next(iter(by_side), None)


def _strata(pictures: Sequence[Picture]) -> NDArray[np.int64]:
    """A number for the class of each picture: its own, or the rarest of its cells."""
    labels = [[p.label] if p.label else [c.label for c in p.cells if c.label and not c.ignored] for p in pictures]
    counts = Counter(label for found in labels for label in found)
    chosen = [min(found, key=lambda label: (counts[label], label)) if found else "" for found in labels]
    return np.unique(np.array(chosen), return_inverse=True)[1].astype(np.int64)


def _shared_out(
    groups: Sequence[Sequence[int]], strata: NDArray[np.int64], wanted: NDArray[np.float64], seed: int
) -> list[int]:
    """The part of each group, greedily: the squared distance of every class from its shares grows least."""
    parts = np.flatnonzero(wanted > 0)
    if len(groups) < len(parts):
        raise UserError(
            f"{len(groups)} groups (patients, or different pictures) cannot fill {len(parts)} parts. Give a share of 0 "
            "to validation or test, or add data."
        )
    classes = int(strata.max()) + 1
    counts = np.stack([np.bincount(strata[list(group)], minlength=classes) for group in groups]).astype(np.float64)
    sizes = counts.sum(axis=1)
    # The last column is all classes together: many rare classes, each rounded towards the training, would else
    # leave the other parts nearly empty.
    filled = np.column_stack([counts / np.maximum(counts.sum(axis=0), 1), sizes / sizes.sum()])
    weights = filled * np.append(np.ones(classes), _ALL_CLASSES * classes)
    missing = np.repeat(wanted[parts, None], classes + 1, axis=1)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    placed = np.zeros(len(groups), np.int64)
    for g in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part = int((missing * weights[g]).sum(axis=1).argmax())  # too small for a threaded product
        missing[part] -= filled[g]
        placed[g] = part
    for part in range(len(parts)):
        if not (placed == part).any():
            most = int(np.argmax(np.bincount(placed, minlength=len(parts))))
            mine = shuffled[placed[shuffled] == most]
            placed[mine[np.argmin(sizes[mine])]] = part
    return [int(parts[part]) for part in placed]


def _fresh_folds(pictures: Sequence[Picture], k: int, seed: int) -> list[int]:
    groups = _groups(pictures)
    if len(groups) < k:
        raise UserError(f"{len(groups)} groups (patients, or different pictures) cannot fill {k} folds. Ask for fewer.")
    of_picture = np.zeros(len(pictures), np.int64)
    for number, group in enumerate(groups):
        of_picture[group] = number
    strata = _strata(pictures)
    first = np.array([group[0] for group in groups])
    by_patient = any(picture.patient is not None for picture in pictures)
    members = strata if by_patient else strata[first]
    if np.bincount(members).max() < k:  # no class could be in every fold: groups alone count
        members = np.zeros_like(members)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # as far as the groups allow
        if by_patient:
            folds = StratifiedGroupKFold(k, shuffle=True, random_state=seed).split(members, members, of_picture)
        else:  # copies of a picture have its class: each group is one member, and this is much quicker
            folds = StratifiedKFold(k, shuffle=True, random_state=seed).split(members, members)
        tested = [test for _, test in folds]
    numbers = np.zeros(len(members), np.int64)
    for number, test in enumerate(tested):
        numbers[test] = number
    return [int(number) for number in (numbers if by_patient else numbers[of_picture])]
