"""Pictures that are stored twice, byte for byte: found without reading every picture as a whole."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING

from marrow_models.datasets.images import archive_index, content_digest
from marrow_models.errors import UserError

if TYPE_CHECKING:
    from marrow_models.datasets.records import ImageRef, Picture

_PROBE_BYTES = 4096
"""Read from the middle of a file, where the pixels are: headers and directories at the ends are often alike."""
_NAMED = 3
"""Examples in a note."""


def identical_pictures(refs: Sequence[ImageRef]) -> tuple[tuple[int, ...], ...]:
    """Groups of two or more positions in ``refs`` that hold the same picture, in the order of ``refs``.

    The same stored bytes (SHA-256), or the same part of the same slide. A file is read as a whole only where
    another one has its size and the bytes of its middle. UserError for a picture that is not there.
    """
    groups: list[list[int]] = [list(range(len(refs)))]
    keys: tuple[Callable[[ImageRef], Hashable], ...] = (_place_or_size, _middle, _content)
    for key in keys:
        groups = [part for group in groups for part in _parted(group, refs, key)]
    return tuple(sorted(tuple(group) for group in groups))


def without_conflicts(pictures: Sequence[Picture]) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    """The pictures less those stored twice with different classes, and notes on what was found.

    A picture that is stored twice with one class stays: a split keeps its copies together (:mod:`.splits`).
    """
    groups = identical_pictures([p.image for p in pictures])
    conflicting = [g for g in groups if len({_class_of(pictures[i]) for i in g}) > 1]
    agreeing = [g for g in groups if g not in set(conflicting)]
    out = {i for group in conflicting for i in group}
    notes = []
    if agreeing:
        notes.append(
            f"{_counted(agreeing)} stored more than once with the same class "
            f"({_examples(agreeing, pictures)}): kept; a split keeps the copies together."
        )
    if conflicting:
        notes.append(
            f"{_counted(conflicting)} stored more than once with different classes "
            f"({_examples(conflicting, pictures)}): the {len(out)} files are kept out."
        )
    return tuple(p for i, p in enumerate(pictures) if i not in out), tuple(notes)


def _parted(group: Iterable[int], refs: Sequence[ImageRef], key: Callable[[ImageRef], Hashable]) -> list[list[int]]:
    parts: defaultdict[Hashable, list[int]] = defaultdict(list)
    for i in group:
        parts[key(refs[i])].append(i)
    return [part for part in parts.values() if len(part) > 1]


def _place_or_size(ref: ImageRef) -> Hashable:
    if ref.rect_px is not None:
        return str(ref.path), ref.rect_px.x, ref.rect_px.y, ref.rect_px.width, ref.rect_px.height
    return _span(ref)[1]


def _middle(ref: ImageRef) -> Hashable:
    if ref.rect_px is not None:
        return None  # the place has said it all
    offset, size = _span(ref)
    with ref.path.open("rb") as file:
        return os.pread(file.fileno(), _PROBE_BYTES, offset + max(0, size - _PROBE_BYTES) // 2)[: size or None]


def _content(ref: ImageRef) -> Hashable:
    return None if ref.rect_px is not None else content_digest(ref)


def _span(ref: ImageRef) -> tuple[int, int]:
    """Where the bytes of a picture begin in its file, and how many they are."""
    try:
        return (0, ref.path.stat().st_size) if ref.member is None else archive_index(ref.path)[ref.member]
    except (FileNotFoundError, KeyError) as error:
        raise UserError(
            f"{ref.path}: {ref.name} is not there any more. Check that the data set is complete."
        ) from error


def _class_of(picture: Picture) -> Hashable:
    return picture.label, tuple(cell.label for cell in picture.cells)


def _counted(groups: Sequence[tuple[int, ...]]) -> str:
    return f"{len(groups)} picture{' is' if len(groups) == 1 else 's are'}"


def _examples(groups: Sequence[tuple[int, ...]], pictures: Sequence[Picture]) -> str:
    named = ["=".join(pictures[i].image.name for i in group) for group in groups[:_NAMED]]
    return ", ".join(named) + (", ..." if len(groups) > _NAMED else "")
