"""`marrow models`: bring a model bundle in, and list those that a night can use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marrow_models.bundle import load_bundle, shipped_bundles
from marrow_models.bundle_archive import import_bundle
from marrow_models.bundle_lookup import find_bundle, installed_bundles
from marrow_models.errors import BundleError
from tasks.home import Home


def import_models(archive: Path, home: Path) -> str:
    """Install the bundle of a ZIP file; a sentence that says how to use it. BundleError when it is not sound."""
    bundle = import_bundle(archive, Home(home).models)
    what = f"{bundle.name} {bundle.version}, digest {bundle.digest[:12]}"
    return f"Installed {what}. Use it with --models {bundle.path.name}."


def models_report(home: Path) -> list[dict[str, Any]]:
    """One row a bundle; a damaged one says so instead of its version."""
    place = Home(home).models
    return [_row(name, "shipped", place) for name in shipped_bundles()] + [
        _row(name, "imported", place) for name in installed_bundles(place)
    ]


def _row(name: str, origin: str, place: Path) -> dict[str, Any]:
    try:
        bundle = load_bundle(name) if origin == "shipped" else find_bundle(name, place)
    except BundleError as error:
        return {
            "models": name,
            "from": origin,
            "version": "damaged",
            "classes": None,
            "digest": None,
            "note": str(error),
        }
    return {
        "models": name,
        "from": origin,
        "version": bundle.version,
        "classes": len(bundle.labels),
        "digest": bundle.digest[:12],
        "note": bundle.licence,
    }
