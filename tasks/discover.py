"""Discover: what lies in the inbox, whose it is, and what of it was seen before.

From here on a slide is its ``slide_id``: file names and patient ids stay in this process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from marrow_models.decoder.slides import look_apart
from marrow_models.errors import Reason, SlideRefused, UserError
from marrow_models.records import ManifestRow
from marrow_models.slides.identity import Expected, Stamp, slide_id_of, stamps
from marrow_models.slides.inbox import InboxEntry, RefusedEntry, content_digest, find_slides, is_stable
from marrow_models.slides.look import Looker
from tasks.ingest import decoder_limits
from tasks.night import Night, Slide
from tasks.plan import NightPlan
from tasks.remote import as_refusal
from tasks.stage import night_stage
from warehouse import dimensions, read
from warehouse.ledger import State
from warehouse.manifest import Manifest
from warehouse.quarantine import held
from warehouse.records import PatientRecord, SlideRecord

NOTED_SLIDES = 5
"""How many slides a warning names."""
WITHOUT_PATIENT = frozenset({Reason.MANIFEST_CONFLICT, Reason.UNLISTED})


@night_stage("discover")
def discover_slides(night: Night, manifest: Manifest, *, only: frozenset[str] | None = None) -> list[Slide]:
    """The slides of the inbox that can be taken through; all others are in the ledger with their reason.

    What is in quarantine for a cause that lies in the slide stays there under its earlier reason and is not read
    again, unless something it depends on changed. ``only`` names the slides and entries that alone are looked at,
    whatever became of them before.
    """
    if night.plan.inbox is None:
        raise UserError("No inbox is given. Use --inbox, MARROW_INBOX or `inbox` in marrow.toml.")
    entries, refused = find_slides(night.plan.inbox, looker(night.plan))
    listing = Listing(entries, manifest)
    for bad in refused:
        listing.was_seen(bad.relative_name)
    missing = listing.missing_files()
    left_alone = held(night.warehouse, night.run_id) if only is None else {}
    if only is not None:
        entries, refused, missing = _only(night, only, entries, refused, missing)
    night.progress.discovered(len(entries) + len(refused) + len(missing))
    for bad in refused:
        _refuse_by_name(night, bad.relative_name, SlideRefused(bad.reason, bad.detail))
    for row in missing:
        _refuse_by_name(night, row.file, SlideRefused(Reason.FILE_MISSING))
    found = _by_content(night, entries)
    _note_odd_names(found)
    slides = [_enter(night, slide_id, same, listing, left_alone) for slide_id, same in found.items()]
    return sorted((slide for slide in slides if slide is not None), key=lambda slide: slide.slide_id)


@night_stage("discover")
def stored_slides(night: Night, slide_ids: Sequence[str] | None) -> list[Slide]:
    """Slides that are ingested already, for a back-fill without the inbox: all that are not refused, or the named ones.

    Raises :class:`UserError` for a name that has no store, or whose patient is in question.
    """
    stored = {store.name.removesuffix(".ome.zarr") for store in night.home.slides.glob("s*.ome.zarr")}
    refused = {row.slide_id: row.reason for row in read.slide_states(night.warehouse) if row.reason is not None}
    wanted = sorted(stored - refused.keys() if slide_ids is None else set(slide_ids))
    for slide_id in wanted:
        if slide_id not in stored:
            raise UserError(f"{slide_id} is not ingested. `marrow status` lists the slides.")
        if refused.get(slide_id) in WITHOUT_PATIENT:
            raise UserError(f"{slide_id} is {refused[slide_id]}: correct the manifest and run the night first.")
    for slide_id in wanted:
        night.enter(slide_id, State.DISCOVERED, night.tried_with(None))
    night.progress.discovered(len(wanted))
    return [Slide(slide_id) for slide_id in wanted]


def looker(plan: NightPlan) -> Looker:
    """What looks into the files of the inbox: a decoder process, for nobody knows yet what they hold."""
    return partial(look_apart, limits=decoder_limits(plan))


class Listing:
    """Which rows of the manifest speak of which entry: by its name, one of its files', or its folder's."""

    def __init__(self, entries: Iterable[InboxEntry], manifest: Manifest) -> None:
        self._refused = set(manifest.refused_files)
        self._rows: dict[str, list[ManifestRow]] = {}
        for row in manifest.rows:
            self._rows.setdefault(row.file.strip("/"), []).append(row)
        self._present = {name for entry in entries for name in _names(entry)}

    def rows_of(self, entry: InboxEntry) -> list[ManifestRow]:
        """The rows that speak of an entry."""
        return [row for name in _names(entry) for row in self._rows.get(name, [])]

    def conflict(self, entry: InboxEntry) -> bool:
        """Whether the manifest had rows for this entry that could not be taken."""
        return not self._refused.isdisjoint(_names(entry))

    def missing_files(self) -> list[ManifestRow]:
        """A row for each name that is not in the inbox."""
        return [rows[0] for name, rows in self._rows.items() if name not in self._present]

    def was_seen(self, name: str) -> None:
        """An entry of this name is in the inbox, though it is no slide."""
        self._present.add(name)


def _names(entry: InboxEntry) -> tuple[str, ...]:
    return (entry.relative_name, *entry.aliases)


def settle(entries: Sequence[InboxEntry], settle_s: float) -> Iterable[tuple[InboxEntry, bool]]:
    """Each entry, and whether it stood still: entries touched within ``settle_s`` are watched for as long."""
    young = [entry for entry in entries if not is_stable(entry, now_ns=time.time_ns(), quiet_s=settle_s)]
    if young and settle_s:
        time.sleep(settle_s)
    moved = {entry.relative_name for entry in young if not _stood_still(entry)}
    return [(entry, entry.relative_name not in moved) for entry in entries]


def _stood_still(entry: InboxEntry) -> bool:
    try:
        stats = [member.lstat() for member in entry.members]
    except OSError:
        return False
    return sum(s.st_size for s in stats) == entry.size_bytes and max(s.st_mtime_ns for s in stats) == entry.mtime_ns


@dataclass(frozen=True, slots=True)
class _Source:
    """An entry, and its stamps from before its content was hashed; None where it was hashed in an earlier night."""

    entry: InboxEntry
    stamps: tuple[Stamp, ...] | None


def _by_content(night: Night, entries: Sequence[InboxEntry]) -> dict[str, list[_Source]]:
    """The entries that stood still and can be read, by what they hold; all others go to the ledger."""
    found: dict[str, list[_Source]] = {}
    for entry, stable in settle(entries, night.plan.settle_s):
        if not stable:
            _refuse_by_name(night, entry.relative_name, SlideRefused(Reason.STILL_COPYING))
            continue
        try:
            before = stamps(entry.members)
            slide_id, known = _slide_id(night, entry)
            found.setdefault(slide_id, []).append(_Source(entry, None if known else before))
        except (SlideRefused, OSError) as error:
            _refuse_by_name(night, entry.relative_name, as_refusal(error))
    return found


def _note_odd_names(found: Mapping[str, Sequence[_Source]]) -> None:
    odd = sorted(slide_id for slide_id, sources in found.items() if sources[0].entry.odd_name)
    if odd:
        some = ", ".join(odd[:NOTED_SLIDES]) + (", ..." if len(odd) > NOTED_SLIDES else "")
        logging.getLogger(__name__).warning("%d slides are named unlike what they are: %s", len(odd), some)


def _only(
    night: Night,
    only: frozenset[str],
    entries: Sequence[InboxEntry],
    refused: Sequence[RefusedEntry],
    missing: Sequence[ManifestRow],
) -> tuple[list[InboxEntry], list[RefusedEntry], list[ManifestRow]]:
    """What of the inbox is called by an id in ``only``: by its content, or by the keyed hash of its name."""

    def named(relative_name: str) -> bool:
        return night.pseudonyms.entry(relative_name) in only

    def called(entry: InboxEntry) -> bool:
        if named(entry.relative_name):
            return True
        try:
            return _slide_id(night, entry)[0] in only
        except (SlideRefused, OSError):
            return False

    return (
        [entry for entry in entries if called(entry)],
        [bad for bad in refused if named(bad.relative_name)],
        [row for row in missing if named(row.file)],
    )


def _enter(
    night: Night,
    slide_id: str,
    sources: list[_Source],
    listing: Listing,
    left_alone: Mapping[str, tuple[SlideRefused, str]],
) -> Slide | None:
    """One content, under one or several names, as a slide with its patient, or None when the ledger says why not.

    The manifest may speak of any of the names; a second file of the same content is a duplicate.
    """
    sources = sorted(sources, key=lambda source: not listing.rows_of(source.entry))
    same = [source.entry for source in sources]
    for copy in same[1:]:
        _refuse_by_name(night, copy.relative_name, SlideRefused(Reason.DUPLICATE_CONTENT, f"same as {slide_id}"))
    rows = [row for entry in same for row in listing.rows_of(entry)]
    patients = {row.patient_id for row in rows}
    conflict = len(patients) > 1 or any(listing.conflict(entry) for entry in same)
    key = night.pseudonyms.patient(rows[0].patient_id) if len(patients) == 1 and not conflict else None
    _remember(night, slide_id, same[0], rows if key else [], key)
    um_per_px = next((row.um_per_px for row in rows if row.um_per_px is not None), None)
    tried_with = night.tried_with(um_per_px)
    refusal, before = left_alone.get(slide_id, (None, ""))
    stays = refusal is not None and before == tried_with and key is not None
    night.enter(slide_id, State.DISCOVERED, "" if stays or key is None else tried_with)
    if conflict:
        night.refuse(slide_id, SlideRefused(Reason.MANIFEST_CONFLICT))
    elif key is None:
        night.refuse(slide_id, SlideRefused(Reason.UNLISTED))
    elif stays and refusal is not None:
        night.refuse(slide_id, refusal)
    else:
        expected = Expected(slide_id, None if night.plan.rehash_sources else sources[0].stamps)
        return Slide(slide_id, same[0].path, same[0].members, um_per_px, expected)
    return None


def _slide_id(night: Night, entry: InboxEntry) -> tuple[str, bool]:
    """The id from the content, and whether it was known: files that are as they were last time are not read again."""
    fingerprint = night.pseudonyms.fingerprint(entry.relative_name, entry.size_bytes, entry.mtime_ns)
    known = read.known_slide(night.warehouse, fingerprint)
    if known is not None:
        return known, True
    slide_id = slide_id_of(content_digest(entry))
    dimensions.remember_file(night.warehouse, fingerprint, slide_id)
    return slide_id, False


def _remember(night: Night, slide_id: str, entry: InboxEntry, rows: list[ManifestRow], key: str | None) -> None:
    if key is not None:
        dimensions.store_patient(night.warehouse, PatientRecord.of(key, tuple(rows)))
    first = rows[0] if rows else None
    dimensions.store_slide(
        night.warehouse,
        SlideRecord(
            slide_id,
            key,
            datetime.now(UTC),
            size_bytes=entry.size_bytes,
            specimen=first.specimen if first else None,
            stain=first.stain if first else None,
            format=entry.format,
        ),
    )


def _refuse_by_name(night: Night, relative_name: str, refusal: SlideRefused) -> None:
    """Refuse what has no content to be known by: it stands in the ledger under a keyed hash of its name."""
    entry_id = night.pseudonyms.entry(relative_name)
    while entry_id in night.entered:  # two names that only differ in how their letters are composed
        relative_name += "\0"
        entry_id = night.pseudonyms.entry(relative_name)
    night.enter(entry_id, State.DISCOVERED)
    night.refuse(entry_id, refusal)
