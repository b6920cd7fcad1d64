"""Bundles from elsewhere: a ZIP file, unpacked within limits, checked like any bundle, installed whole or not at all.

The archive is hostile until proven otherwise: nothing of it is written outside the folder that is made for it, no
size in its directory is believed, and a bundle is only installed when its networks load.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from marrow_models.bundle import METADATA, PICKLE_SUFFIXES, Bundle, load_bundle
from marrow_models.diagnosis.model_files import load_model
from marrow_models.errors import BundleError, MarrowError
from marrow_models.networks.loading import load_networks

MOST_FILES = 200
LARGEST_FILE_BYTES = 1 << 30
LARGEST_BUNDLE_BYTES = 2 << 30
LARGEST_RATIO = 200
"""Unpacked over packed bytes of a file: weights hardly shrink, texts shrink ten times."""
SMALL_BYTES = 1 << 20
"""Below this a file may shrink as it likes."""
_PIECE_BYTES = 1 << 20
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,99}", re.ASCII)


def import_bundle(archive: Path, installed: Path) -> Bundle:
    """Install the bundle in a ZIP file as ``installed/<name>-<version>`` and return it. The same one twice is no error.

    Raises
    ------
    BundleError
        The file is no ZIP file, holds what it must not, is no sound bundle, or another bundle has its place.
    """
    installed.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".import-", dir=installed))
    try:
        _unpack(archive, staging / "bundle")
        bundle = _checked(staging / "bundle", archive.name)
        place = installed / _folder_name(bundle)
        if place.exists():
            return _same(place, bundle)
        (staging / "bundle").rename(place)
        return load_bundle(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(opened)
            room = LARGEST_BUNDLE_BYTES
            for name, member in members.items():
                room -= _extract(opened, member, folder / name, room)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError) as error:
        raise BundleError(f"{archive.name} is no ZIP file that can be unpacked ({type(error).__name__}).") from None
    except zipfile.LargeZipFile:
        raise BundleError(f"{archive.name} is larger than any bundle.") from None


def _members(opened: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files of the archive by their name within the bundle, each checked."""
    infos = [info for info in opened.infolist() if not info.is_dir()]
    if len(infos) > MOST_FILES:
        raise BundleError(f"the archive holds {len(infos)} files; a bundle has at most {MOST_FILES}.")
    for info in infos:
        _check_member(info)
    roots = [i.filename.removesuffix(METADATA) for i in infos if i.filename.endswith(METADATA)]
    if len(roots) != 1 or roots[0].count("/") > 1:
        raise BundleError(f"the archive holds no bundle: {METADATA} must be there once, at the top or in one folder.")
    stray = [i for i in infos if not i.filename.startswith(roots[0])]
    names = [i.filename.removeprefix(roots[0]) for i in infos]
    if stray:
        raise BundleError("the archive holds files beside the folder of the bundle.")
    if len({name.casefold() for name in names}) != len(names):
        raise BundleError("the archive holds a file twice.")
    return dict(zip(names, infos, strict=True))


def _check_member(info: zipfile.ZipInfo) -> None:
    path = PurePosixPath(info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.orig_filename != info.filename or not all(_PART.fullmatch(part) for part in info.filename.split("/")):
        raise BundleError("the archive holds a file name that leads outside of it, or one that no bundle has.")
    if kind not in (0, stat.S_IFREG):
        raise BundleError(f"{path.name}: links and devices are not unpacked.")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BundleError(f"{path.name}: pickles are not loaded, whatever they promise. Convert it to safetensors.")
    if info.flag_bits & 1:
        raise BundleError("the archive is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError("the archive is packed by another method than deflate.")


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, room: int) -> int:
    """Unpack one file, counting what really comes out; its size in bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    limit = min(room, LARGEST_FILE_BYTES, max(SMALL_BYTES, LARGEST_RATIO * member.compress_size))
    written = 0
    with opened.open(member) as source, target.open("xb") as out:
        while piece := source.read(_PIECE_BYTES):
            written += len(piece)
            if written > limit:
                raise BundleError(f"{target.name} unpacks to more than a bundle may hold.")
            out.write(piece)
        out.flush()
        os.fsync(out.fileno())
    return written


def _checked(folder: Path, archive_name: str) -> Bundle:
    bundle = load_bundle(folder)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    unknown = sorted(present - bundle.files.keys() - {METADATA})
    if unknown:
        raise BundleError(f"{archive_name}: {unknown[0]} is not among the files that its metadata promise.")
    load_networks(bundle)
    try:
        load_model(bundle.diagnosis_path)
    except MarrowError as error:
        raise BundleError(f"{archive_name}: {error}") from None
    return bundle


def _folder_name(bundle: Bundle) -> str:
    name = f"{bundle.name}-{bundle.version}"
    if not _FOLDER_NAME.fullmatch(name):
        raise BundleError("name and version of the bundle must be letters, digits, points, dashes and underscores.")
    return name


def _same(place: Path, bundle: Bundle) -> Bundle:
    there = load_bundle(place)
    if there.digest != bundle.digest:
        raise BundleError(f"another bundle {place.name} is installed. Give this one another version.")
    return there
