"""A whole night on the real files: each ends as done or in quarantine with the right reason."""

import shutil

import pytest

from tests.end_to_end.nights import cells_of, published, run_night
from tests.real_data.test_real_slides import WSI

pytestmark = [
    pytest.mark.skipif(not WSI.is_dir(), reason="the real slide files are not beside the project"),
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

EXPECTED = {
    "blood-composite.svs": ("done", None),
    "cmu-1-small-region.svs": ("quarantined", "MPP_OUT_OF_RANGE"),
    "camelyon-jpeg.dcm": ("quarantined", "MPP_OUT_OF_RANGE"),
    "camelyon-jpeg2000.dcm": ("quarantined", "MPP_OUT_OF_RANGE"),
    "hamamatsu-dapi.ndpi": ("quarantined", "PIXEL_FORMAT"),
    "cells.ome.tif": ("done", None),
    "plain.tif": ("quarantined", "PIXEL_FORMAT"),
    "small.svs": ("quarantined", "MPP_OUT_OF_RANGE"),
    "broken/broken.svs": ("quarantined", "WRONG_TYPE"),
    "broken/unopenable.tiff": ("quarantined", "PIXEL_FORMAT"),
    "broken/unreadable.svs": ("quarantined", "TILE_ERRORS"),
}
NEEDLES = (b"CANARY", b"DOE JANE", b"99-CANARY-1234567", "CANARY".encode("utf-16-le"))


@pytest.fixture(scope="module")
def real_night(services, tmp_path_factory):
    """(home, {file: row}) of a night over copies of the real files, a patient each."""
    root = tmp_path_factory.mktemp("real")
    shutil.copytree(WSI, root / "inbox", copy_function=shutil.copyfile)
    for folder in (root / "inbox", root / "inbox" / "broken"):
        folder.chmod(0o755)
    lines = [f"{name},R{number},blood" for number, name in enumerate(EXPECTED)]
    (root / "manifest.csv").write_text("\n".join(["file,patient_id,specimen", *lines]) + "\n")
    result = run_night(root / "inbox", root / "home", "--manifest", root / "manifest.csv", expect=3)
    return root, result


def _by_file(root, result):
    from marrow_models.slides.identity import slide_id_of
    from marrow_models.slides.inbox import content_digest, find_slides
    from tasks.pseudonym import load_pseudonyms

    keys = load_pseudonyms(root / "home" / "keys" / "pseudonym.key")
    entries, refused = find_slides(root / "inbox")
    ids = {entry.relative_name: slide_id_of(content_digest(entry)) for entry in entries}
    ids |= {bad.relative_name: keys.entry(bad.relative_name) for bad in refused}
    rows = {row["slide_id"]: (row["state"], row["reason"]) for row in result["table"]}
    return {name: rows[slide_id] for name, slide_id in ids.items()}


def test_each_real_file_ends_with_the_right_state_and_reason(real_night):
    assert _by_file(*real_night) == EXPECTED


def test_the_identity_planted_in_the_real_slide_is_nowhere_under_home(real_night):
    root, _ = real_night
    files = [path for path in (root / "home").rglob("*") if path.is_file()]

    assert [p.name for p in files if any(needle in p.read_bytes() for needle in NEEDLES)] == []


def test_the_blood_slide_has_cells_but_no_marrow_suggestion(real_night):
    root, _ = real_night

    assert len(cells_of(root / "home")) > 0
    with published(root / "home") as database:
        statuses = {row[0] for row in database.execute("SELECT status FROM patient_diagnoses").fetchall()}
    assert statuses == {"not_applicable"}
