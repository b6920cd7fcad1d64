"""F69, F70 and F71: a model bundle from elsewhere, in a ZIP file that means no good."""

import json
import os
import pickle
import stat
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load_file

from marrow_models.bundle import CLASSIFIER, DETECTOR, METADATA, SHIPPED
from marrow_models.bundle_archive import MOST_FILES, SMALL_BYTES, import_bundle
from marrow_models.bundle_lookup import find_bundle, installed_bundles
from marrow_models.errors import BundleError
from tests.unit.cell_models import factories
from tests.unit.cell_models.test_bundle import Canary, edit, rewrite, spoil_tensors


@pytest.fixture
def made(tmp_path):
    """A bundle with small networks of its own to spoil."""
    diagnosis = SHIPPED / "phantom" / "diagnosis"
    return factories.bundle(tmp_path / "made", name="ours", version="2.0", diagnosis=diagnosis)


def packed(bundle, tmp_path, *, root="", extra=()):
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for path in sorted(bundle.path.rglob("*")):
            if path.is_file():
                out.write(path, root + path.relative_to(bundle.path).as_posix())
        for name, data in extra:
            out.writestr(name, data)
    return archive


def refused(archive, tmp_path):
    """The refusal; nothing is installed, nothing is left, nothing lies beside."""
    before = {path for path in tmp_path.rglob("*") if "installed" not in path.parts}
    with pytest.raises(BundleError) as error:
        import_bundle(archive, tmp_path / "installed")
    assert list((tmp_path / "installed").iterdir()) == []
    assert {path for path in tmp_path.rglob("*") if "installed" not in path.parts} - before <= {tmp_path / "installed"}
    return str(error.value)


@pytest.mark.parametrize("root", ["", "ours/"])
def test_a_sound_bundle_is_installed_under_its_name_and_version_and_found_by_both(made, tmp_path, root):
    home = tmp_path / "installed"
    bundle = import_bundle(packed(made, tmp_path, root=root), home)

    assert bundle.path == home / "ours-2.0"
    assert bundle.digest == made.digest
    assert installed_bundles(home) == ("ours-2.0",)
    assert {find_bundle(name, home).digest for name in ("ours", "ours-2.0")} == {made.digest}
    assert find_bundle("phantom", home).path == SHIPPED / "phantom"
    assert not [p for p in bundle.path.rglob("*") if p.is_file() and p.stat().st_mode & stat.S_IXUSR]


def test_the_same_bundle_twice_is_one_and_another_of_its_name_is_refused(made, tmp_path):
    home = tmp_path / "installed"
    import_bundle(packed(made, tmp_path), home)
    assert import_bundle(packed(made, tmp_path), home).digest == made.digest
    edit(made, lambda content: content.update(copyright="another"))
    with pytest.raises(BundleError, match="Give this one another version"):
        import_bundle(packed(made, tmp_path), home)
    edit(made, lambda content: content.update(version="2.1"))
    import_bundle(packed(made, tmp_path), home)
    with pytest.raises(BundleError, match=r"choose one of ours-2\.0, ours-2\.1"):
        find_bundle("ours", home)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "docs/../../outside",
        "/tmp/outside",
        "docs\\..\\..\\outside",
        "C:/outside",
        "./docs/x",
        "docs//x",
        "docs/x\n",
        ".hidden",
    ],
)
def test_f71_a_name_that_leads_outside_is_refused(made, tmp_path, name):
    assert "file name" in refused(packed(made, tmp_path, extra=[(name, b"x")]), tmp_path)


def test_f71_a_name_that_is_cut_at_a_null_character_is_refused(made, tmp_path):
    archive = packed(made, tmp_path, extra=[("docs/x~y", b"x")])
    archive.write_bytes(archive.read_bytes().replace(b"docs/x~y", b"docs/x\0y"))
    assert "file name" in refused(archive, tmp_path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_f71_a_link_or_device_is_refused(made, tmp_path, kind):
    link = zipfile.ZipInfo("docs/link")
    link.external_attr = (kind | 0o777) << 16
    assert "links and devices" in refused(packed(made, tmp_path, extra=[(link, b"/etc/passwd")]), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["docs/README.md", "DOCS/readme.md"])
def test_a_file_that_is_there_twice_is_refused(made, tmp_path, name):
    assert "twice" in refused(packed(made, tmp_path, extra=[(name, b"x")]), tmp_path)


def test_a_bomb_is_cut_whatever_its_directory_says(made, tmp_path):
    archive = packed(made, tmp_path, extra=[("docs/bomb", bytes(300 * SMALL_BYTES))])
    assert "unpacks to more" in refused(archive, tmp_path)


def test_too_many_files_are_refused(made, tmp_path):
    extra = [(f"docs/{number}", b"") for number in range(MOST_FILES)]
    assert "at most" in refused(packed(made, tmp_path, extra=extra), tmp_path)


def test_a_file_without_a_digest_is_refused(made, tmp_path):
    assert "not among the files" in refused(packed(made, tmp_path, extra=[("docs/more.md", b"x")]), tmp_path)


def test_files_beside_the_folder_of_the_bundle_are_refused(made, tmp_path):
    assert "beside" in refused(packed(made, tmp_path, root="ours/", extra=[("other/x", b"x")]), tmp_path)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" + bytes(100), b"not a zip"])
def test_what_is_no_zip_file_is_refused(tmp_path, data):
    (tmp_path / "bundle.zip").write_bytes(data)
    assert "no ZIP file" in refused(tmp_path / "bundle.zip", tmp_path)


def test_a_truncated_zip_file_is_refused(made, tmp_path):
    archive = packed(made, tmp_path)
    archive.write_bytes(archive.read_bytes()[:-200])
    assert "no ZIP file" in refused(archive, tmp_path)


def test_a_zip_file_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as out:
        out.writestr("readme.txt", "hello")
    assert "no bundle" in refused(tmp_path / "bundle.zip", tmp_path)


@pytest.mark.parametrize("name", ["../ours", "a/b", "", ".hidden", "o" * 70])
def test_a_bundle_cannot_choose_where_it_is_installed(made, tmp_path, name):
    edit(made, lambda content: content.update(name=name))
    said = refused(packed(made, tmp_path), tmp_path)
    assert "letters, digits" in said or "name must be a text" in said


@pytest.mark.parametrize("by_name", [True, False])
def test_f69_a_pickle_is_refused_by_name_and_by_content_and_never_run(made, tmp_path, by_name):
    canary = tmp_path / "canary"
    data = pickle.dumps(Canary(canary))
    if by_name:
        said = refused(packed(made, tmp_path, extra=[("models/detector.pt", data)]), tmp_path)
    else:
        rewrite(made, DETECTOR, data)
        said = refused(packed(made, tmp_path), tmp_path)

    assert "pickles are not loaded" in said if by_name else "detector.safetensors" in said
    assert not canary.exists()


def test_f70_a_wrong_digest_is_refused(made, tmp_path):
    path = made.path / CLASSIFIER
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "not the file it was made with" in refused(packed(made, tmp_path), tmp_path)


def _first(tensors, change):
    key = next(key for key in sorted(tensors) if tensors[key].ndim == 4)
    tensors[key] = change(tensors[key])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "does not fit the network at extra"),
        (lambda tensors: _first(tensors, lambda t: t[:-1].clone()), "does not fit"),
        (lambda tensors: _first(tensors, lambda t: t * float("nan")), "not finite"),
        (lambda tensors: _first(tensors, lambda t: t.double()), "does not fit"),
    ],
    ids=["extra key", "shape", "NaN", "type"],
)
def test_f70_weights_that_are_not_those_of_the_network_are_refused_and_the_old_model_stays(
    made, tmp_path, change, said
):
    home = tmp_path / "installed"
    old = import_bundle(packed(made, tmp_path), home)
    edit(made, lambda content: content.update(version="3.0"))
    spoil_tensors(made, change)
    with pytest.raises(BundleError, match=said):
        import_bundle(packed(made, tmp_path), home)

    assert installed_bundles(home) == ("ours-2.0",)
    assert find_bundle("ours", home).digest == old.digest


def test_f70_a_header_of_100_000_entries_is_refused(made, tmp_path):
    entries = {f"k{i}": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i in range(100_000)}
    header = json.dumps(entries).encode()
    rewrite(made, DETECTOR, struct.pack("<Q", len(header)) + header + bytes(len(entries)))
    assert "header larger than any" in refused(packed(made, tmp_path), tmp_path)


def test_metadata_are_still_the_only_file_without_a_digest(made):
    present = {p.relative_to(made.path).as_posix() for p in made.path.rglob("*") if p.is_file()}
    assert present - set(made.files) == {METADATA}
    assert load_file(made.path / CLASSIFIER)
    assert os.access(made.path / METADATA, os.R_OK)
