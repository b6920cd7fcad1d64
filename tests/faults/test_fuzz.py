"""Manifests and what slides say of themselves, spoiled at random: rows that can be or an error that names the line, and
no text of a slide in its store.

F33-F40 and F20, F21. Bundles and taxonomies: test_fuzz_models. Slides whose bytes are overwritten: test_fuzzed_slides.
"""

from __future__ import annotations

import json
import math
import struct
import unicodedata
import warnings
from pathlib import Path, PurePosixPath

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from marrow_models.pyramid.ingest import ingest_slide
from marrow_models.pyramid.manifest import COMPLETE, MANIFEST
from tests.faults.spoiled import ended, normal, seldom, spoiled
from tests.unit.slide_files.sources import Dicom, Svs, picture, write_ome_tiff
from warehouse.manifest import MAX_AGE_YEARS, UM_PER_PX_RANGE, Manifest, read_manifest
from warehouse.manifest_values import SEXES, SPECIMENS, STAINS

# The manifest

GOOD = (
    b"file,patient_id,specimen,stain,age_years,sex,um_per_px,haemoglobin,Note\r\n"
    b'a.svs,0012,bm,MGG,61,f,"0,25",8.1,x\r\n'
    b"sub/b.svs,1e5,blood,Wright-Giemsa,,m,0.25,,\r\n"
    b'c.svs,"P, ""3""",,,n/a,,,"9,5",\r\n'
    b"a.svs,0012,bm,MGG,61,f,0.25,8.1,y\r\n"
)
PIECES = (
    b",", b";", b"\t", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"../", b"C:",
    b"\\", b"./", b"/", b"file", b"patient_id", b"age_years", b"1e400", b"-0", b"nan", b"131", b"\xe2\x80\xae",
    b"\xcc\x88", b"=1+1", b"'", b"x" * 140_000, b"\x1b[31m",
)  # fmt: skip


def read(folder: Path, data: bytes) -> Manifest | None:
    path = folder / "manifest.csv"
    path.write_bytes(data)
    manifest, text = ended(read_manifest, path)
    assert manifest is not None or text.startswith("manifest.csv, line ")
    return manifest


def check(manifest: Manifest) -> None:
    """Everything that whoever takes a row relies on."""
    assert len({row.file for row in manifest.rows}) == len(manifest.rows)
    for row in manifest.rows:
        path = PurePosixPath(row.file)
        assert path.parts
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert row.file == unicodedata.normalize("NFC", path.as_posix())
        assert row.patient_id == row.patient_id.strip() != ""
        assert not any(unicodedata.category(letter) == "Cc" for letter in row.file + row.patient_id)
        assert row.specimen in SPECIMENS.values()
        assert row.stain in {None, "other", *STAINS.values()}
        assert row.sex in {None, *SEXES.values()}
        assert row.age_years is None or 0 <= row.age_years <= MAX_AGE_YEARS
        assert row.um_per_px is None or UM_PER_PX_RANGE[0] <= row.um_per_px <= UM_PER_PX_RANGE[1]
        assert all(name.isascii() and name.isidentifier() and math.isfinite(v) for name, v in row.laboratory)
        assert manifest.row_of(row.file) is row
    assert not manifest.refused_files.keys() & {row.file for row in manifest.rows}


@normal
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_no_manifest_and_the_error_says_where(tmp_path: Path, data: bytes) -> None:
    """F34, F35."""
    manifest = read(tmp_path, data)
    assert manifest is None or not manifest.rows


@normal
@given(spoiled(GOOD, PIECES))
@example(GOOD.replace(b"Note", b"x" * 140_000))
@example(b"file,patient_id\n.,P1\n./,P2\n")
def test_a_spoiled_manifest_gives_rows_that_can_be_or_an_error_with_its_line(tmp_path: Path, data: bytes) -> None:
    """F33-F40."""
    manifest = read(tmp_path, data)
    if manifest is not None:
        check(manifest)
        told = " ".join([*manifest.warnings, *(refused.cause for refused in manifest.refused)])
        assert "0012" not in told, "a cell is repeated"


def test_the_manifest_that_is_spoiled_is_a_good_one(tmp_path: Path) -> None:
    manifest = read(tmp_path, GOOD)
    assert manifest is not None
    check(manifest)
    assert [(row.file, row.patient_id) for row in manifest.rows] == [
        ("a.svs", "0012"),
        ("sub/b.svs", "1e5"),
        ("c.svs", 'P, "3"'),
    ]


# What slides say of themselves

PIXELS = picture(64, 64, seed=3)
TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["Aperio", "|", "MPP", "AppMag", "=", "40", "-1", "1e999", "nan", "0,25", "Patient", "DOE^JANE", "\0", "\n",
             "<OME", "<Pixels ", "PhysicalSizeX", '"', "µm", ">", "\x1b[2J", "4711", "\\"]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip


def taken(source: Path, store: Path) -> dict[str, object] | None:
    """Everything in the store of a slide but what the allow-list lets through; None for a slide that is refused."""
    receipt, text = ended(ingest_slide, source, (source,), store, um_per_px=0.25)
    if receipt is None:
        assert source.name not in text
        return None
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(store))] = path.read_bytes()
    group = json.loads(found["zarr.json"], parse_constant=_no_number)
    power = group["attributes"]["marrow"].pop("objective_power")
    assert power is None or 0 < power <= 1000
    manifest = json.loads(found.pop(MANIFEST), parse_constant=_no_number)
    manifest["request"].pop("source_bytes")
    manifest["receipt"].pop("size_bytes")
    manifest["files"].pop("zarr.json")  # its digest
    found.pop(COMPLETE)  # the digest of the manifest
    return found | {"zarr.json": group, MANIFEST: manifest}


def _no_number(name: str) -> float:
    raise AssertionError(f"{name} in a store")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object] | None]:
    """The stores of the same pixels in files that say nothing else."""
    folder = tmp_path_factory.mktemp("plain")
    described(folder / "a.svs", b"Aperio")
    write_ome_tiff(folder / "a.ome.tif", PIXELS, compression="zlib")
    attributes(folder / "a.dcm", {})
    return {path.suffix: taken(path, folder / f"store{path.suffix}") for path in sorted(folder.glob("a.*"))}


def described(path: Path, text: bytes) -> None:
    """An SVS whose description is ``text``."""
    Svs(PIXELS, factors=(), tile=64).write(path)
    point_description(path, text)


def point_description(path: Path, text: bytes) -> None:
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry) == (270,):
            struct.pack_into("<II", data, entry + 4, len(text), len(data))
    path.write_bytes(bytes(data) + text)


FREE_TEXT = {
    "PatientName": "PN", "PatientID": "LO", "AccessionNumber": "SH", "InstitutionName": "LO", "SeriesDescription": "LO",
    "ImageComments": "LT", "StudyDate": "DA", "ContainerIdentifier": "LO", "Manufacturer": "LO",
}  # fmt: skip


def attributes(path: Path, values: dict[str, str], power: str | None = None) -> None:
    """A DICOM slide with these values, written as they are and checked by nobody."""
    Dicom(PIXELS, tile=64).write(path)
    with warnings.catch_warnings(), pydicom.config.disable_value_validation():
        warnings.simplefilter("ignore")
        data = pydicom.dcmread(path)
        data.SpecificCharacterSet = "ISO_IR 192"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        for name in FREE_TEXT:
            if name in data:
                delattr(data, name)
        for name, value in values.items():
            data.add(pydicom.DataElement(pydicom.datadict.tag_for_keyword(name), FREE_TEXT[name], value))
        if power is not None:
            optics = pydicom.Dataset()
            optics.add(pydicom.DataElement(0x00480112, "LO", power))
            data.OpticalPathSequence = pydicom.Sequence([optics])
        data.save_as(path)


@seldom
@given(TEXT, st.sampled_from(["utf-8", "utf-16", "latin-1"]))
def test_no_text_of_an_aperio_slide_reaches_its_store(
    tmp_path_factory: pytest.TempPathFactory, plain, text: str, code: str
) -> None:
    """F20, F21: the store is that of the same pixels without the text, byte for byte."""
    folder = tmp_path_factory.mktemp("text")
    described(folder / "a.svs", b"Aperio Image Library|" + text.encode(code, "replace") + b"\0")
    found = taken(folder / "a.svs", folder / "store")
    assert found is not None
    assert found == plain[".svs"]


@seldom
@given(TEXT)
def test_no_text_of_an_ome_tiff_reaches_its_store(tmp_path_factory: pytest.TempPathFactory, plain, text: str) -> None:
    """F21."""
    folder = tmp_path_factory.mktemp("text")
    path = write_ome_tiff(folder / "a.ome.tif", PIXELS, compression="zlib")
    point_description(path, f'<OME xmlns="http://www.openmicroscopy.org/"><Pixels {text}'.encode("utf-8", "replace"))
    found = taken(path, folder / "store")
    if found is not None:
        assert found == plain[".tif"]


@seldom
@given(st.dictionaries(st.sampled_from(sorted(FREE_TEXT)), TEXT, max_size=5), st.none() | TEXT)
@example({}, "nan")
@example({}, "1e999")
@example({}, "-40")
def test_no_attribute_of_a_dicom_slide_reaches_its_store(
    tmp_path_factory: pytest.TempPathFactory, plain, values: dict[str, str], power: str | None
) -> None:
    """F21."""
    folder = tmp_path_factory.mktemp("text")
    try:
        attributes(folder / "a.dcm", values, power)
    except (ValueError, TypeError):  # pydicom does not write every text
        return
    found = taken(folder / "a.dcm", folder / "store")
    if found is not None:
        assert found == plain[".dcm"]


def test_the_slides_that_are_described_are_good_ones(plain) -> None:
    assert [suffix for suffix, store in plain.items() if store is None] == []
