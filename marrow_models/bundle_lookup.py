"""Bundles by name: shipped with Marrow, imported under HOME/models, or any folder. Light: loads no network."""

from __future__ import annotations

from pathlib import Path

from marrow_models.bundle import METADATA, Bundle, load_bundle, shipped_bundles
from marrow_models.errors import BundleError


def installed_bundles(installed: Path) -> tuple[str, ...]:
    """Names, with version, of the bundles that were imported."""
    return tuple(
        sorted(p.parent.parent.name for p in installed.glob(f"*/{METADATA}") if not p.parts[-3].startswith("."))
    )


def find_bundle(name_or_path: str, installed: Path) -> Bundle:
    """A shipped bundle by its name, an imported one by its name (with version where there are several), or a folder's.

    BundleError as from :func:`marrow_models.bundle.load_bundle`, or when the name fits several versions.
    """
    if name_or_path in shipped_bundles():
        return load_bundle(name_or_path)
    known = installed_bundles(installed)
    fitting = [name for name in known if name == name_or_path] or [
        name for name in known if name.rpartition("-")[0] == name_or_path
    ]
    if len(fitting) > 1:
        raise BundleError(f"There are several bundles {name_or_path!r}: choose one of {', '.join(fitting)}.")
    return load_bundle((installed / fitting[0]).absolute() if fitting else name_or_path)
