"""Phantom slides as files: opened by the readers that laboratories use, equal in every container."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from pydicom.encaps import generate_frames
from wsidicom import WsiDicom

from marrow_models.phantom.night import SLIDE_FORMATS, PhantomNight, SlideScale, make_phantom
from marrow_models.phantom.truth import CELL_COLUMNS, MANIFEST_COLUMNS
from marrow_models.taxonomy import ICSH_CATEGORIES

# Not a multiple of the tiles' size, so that the padding of the last ones is seen.
SCALE = SlideScale(1200, 900, cells=(14, 18))
CANARY = "Muster^Erika"
LEVELS = [(1200, 900), (300, 225), (75, 56)]


def make(out: Path, slide_format: str, **options: object) -> PhantomNight:
    arguments = {"seed": 21, "patients": 1, "slide_format": slide_format, "scale": SCALE} | options
    return make_phantom(out, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhantomNight]:
    return {name: make(tmp_path_factory.mktemp(name), name) for name in SLIDE_FORMATS}


@pytest.fixture(scope="module")
def canaries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhantomNight]:
    return {
        name: make(tmp_path_factory.mktemp(f"canary-{name}"), name, slides_per_patient=1, canary=CANARY)
        for name in SLIDE_FORMATS
    }


def first(night: PhantomNight) -> Path:
    return night.folder / night.slides[0].file


def bytes_of(night: PhantomNight) -> dict[str, bytes]:
    files = sorted(path for path in night.folder.rglob("*") if path.is_file())
    return {path.relative_to(night.folder).as_posix(): path.read_bytes() for path in files}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def slide(nights: dict[str, PhantomNight]) -> Iterator[openslide.OpenSlide]:
    with openslide.OpenSlide(first(nights["svs"])) as opened:
        yield opened


# --- SVS


def test_openslide_takes_the_svs_for_an_aperio_slide(slide: openslide.OpenSlide) -> None:
    assert slide.properties["openslide.vendor"] == "aperio"
    assert list(slide.level_dimensions) == LEVELS
    assert float(slide.properties["openslide.mpp-x"]) == 0.25
    assert float(slide.properties["openslide.mpp-y"]) == 0.25
    assert slide.properties["openslide.objective-power"] == "40"


def test_the_svs_carries_thumbnail_label_and_macro(slide: openslide.OpenSlide) -> None:
    assert set(slide.associated_images) == {"thumbnail", "label", "macro"}
    label = np.asarray(slide.associated_images["label"].convert("L"))
    assert (label < 60).mean() > 0.01  # something is written on it


def test_tifffile_takes_the_svs_for_one_pyramid(nights: dict[str, PhantomNight]) -> None:
    with tifffile.TiffFile(first(nights["svs"])) as tiff:
        assert tiff.is_svs
        assert [level.shape[1::-1] for level in tiff.series[0].levels] == LEVELS
        assert [series.name for series in tiff.series] == ["Baseline", "Thumbnail", "Label", "Macro"]
        assert "DateTime" not in {tag.name for page in tiff.pages for tag in page.tags}


# --- OME-TIFF


def test_the_ome_tiff_is_one_pyramid_with_a_pixel_size(nights: dict[str, PhantomNight]) -> None:
    with tifffile.TiffFile(first(nights["ome-tiff"])) as tiff:
        assert tiff.is_ome
        assert len(tiff.series) == 1
        assert [level.shape[1::-1] for level in tiff.series[0].levels] == LEVELS
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert pixels["PhysicalSizeX"] == pixels["PhysicalSizeY"] == 0.25
        assert pixels["PhysicalSizeXUnit"] == pixels["PhysicalSizeYUnit"] == "µm"


# --- DICOM


def instances(night: PhantomNight) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(first(night).glob("level-*.dcm"))]


def test_wsidicom_opens_the_series(nights: dict[str, PhantomNight]) -> None:
    with WsiDicom.open(first(nights["dicom"])) as wsi:
        assert [(level.size.width, level.size.height) for level in wsi.pyramid] == LEVELS
        assert wsi.mpp.width == pytest.approx(0.25)
        assert wsi.labels is not None
        assert np.asarray(wsi.read_label()).shape[:2] == (400, 384)


def test_every_level_is_a_tiled_full_instance_with_its_pixel_spacing(nights: dict[str, PhantomNight]) -> None:
    for index, (ds, (width, height)) in enumerate(zip(instances(nights["dicom"]), LEVELS, strict=True)):
        assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.77.1.6"
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
        assert ds.DimensionOrganizationType == "TILED_FULL"
        assert (ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixRows) == (width, height)
        assert ds.ImageType[2:] == (["VOLUME", "NONE"] if index == 0 else ["VOLUME", "RESAMPLED"])
        spacing = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        assert [float(value) for value in spacing] == pytest.approx([0.00025 * 4**index] * 2)
        assert ds.NumberOfFrames == -(-width // 256) * -(-height // 256)
        assert ds.pixel_array.reshape(-1, 256, 256, 3).shape[0] == ds.NumberOfFrames


def test_instances_of_a_slide_share_a_series_and_nothing_else_is_shared(nights: dict[str, PhantomNight]) -> None:
    night = nights["dicom"]
    sets = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(night.folder.rglob("*.dcm"))]
    assert len(sets) == 8
    assert len({ds.SOPInstanceUID for ds in sets}) == 8
    assert len({ds.SeriesInstanceUID for ds in sets}) == 2
    assert all(len(ds.SOPInstanceUID) <= 64 for ds in sets)


def test_the_label_is_an_instance_of_its_own(nights: dict[str, PhantomNight]) -> None:
    label = pydicom.dcmread(first(nights["dicom"]) / "label.dcm")
    assert label.ImageType[2] == "LABEL"
    assert label.BurnedInAnnotation == "YES"
    assert label.pixel_array.shape == (400, 384, 3)


# --- the same slide in every container


@pytest.mark.parametrize("level", range(3))
def test_pixels_are_identical_in_every_container(nights: dict[str, PhantomNight], level: int) -> None:
    width, height = LEVELS[level]
    with openslide.OpenSlide(first(nights["svs"])) as opened:
        aperio = np.asarray(opened.read_region((0, 0), level, (width, height)))[..., :3]
    with tifffile.TiffFile(first(nights["ome-tiff"])) as tiff:
        ome = tiff.series[0].levels[level].asarray()
    with tifffile.TiffFile(first(nights["svs"])) as tiff:
        svs = tiff.series[0].levels[level].asarray()
    with WsiDicom.open(first(nights["dicom"])) as wsi:  # numbers levels by the power of two
        dicom = np.asarray(wsi.read_region((0, 0), 2 * level, (width, height)))
    for other in (ome, svs, dicom):
        np.testing.assert_array_equal(other, aperio)


def test_tiles_are_the_same_bytes_in_every_container(nights: dict[str, PhantomNight]) -> None:
    found = {}
    for name in ("svs", "ome-tiff"):
        with tifffile.TiffFile(first(nights[name])) as tiff:
            page = tiff.pages[0]
            found[name] = [
                tiff.filehandle.read_array("u1", count, offset=offset).tobytes()
                for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
            ]
    frames = list(generate_frames(instances(nights["dicom"])[0].PixelData, number_of_frames=20))
    found["dicom"] = [frame[: frame.rindex(b"\xff\xd9") + 2] for frame in frames]
    assert found["svs"] == found["ome-tiff"] == found["dicom"]
    assert len(found["svs"]) == 20


def test_smaller_levels_are_means_of_the_larger_ones(nights: dict[str, PhantomNight]) -> None:
    with tifffile.TiffFile(first(nights["svs"])) as tiff:
        large, small = (tiff.series[0].levels[level].asarray().astype(float) for level in (0, 1))
    means = large[: 225 * 4, : 300 * 4].reshape(225, 4, 300, 4, 3).mean(axis=(1, 3))
    # Compressed each by itself, so equal but for the loss; a shift by one pixel would be seen.
    loss = np.abs(means - small).mean()
    assert loss < 5
    assert loss < 0.5 * np.abs(means[:, 1:] - small[:, :-1]).mean()


# --- same seed, same bytes


@pytest.mark.parametrize("slide_format", SLIDE_FORMATS)
def test_the_same_seed_writes_the_same_bytes(
    nights: dict[str, PhantomNight], tmp_path: Path, slide_format: str
) -> None:
    again = make(tmp_path, slide_format)
    assert bytes_of(again) == bytes_of(nights[slide_format])


def test_another_seed_writes_other_slides(nights: dict[str, PhantomNight], tmp_path: Path) -> None:
    other = bytes_of(make(tmp_path, "svs", seed=22))
    known = bytes_of(nights["svs"])
    assert set(other) == set(known)
    assert all(other[name] != known[name] for name in known if name.endswith(".svs"))


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(nights: dict[str, PhantomNight], tmp_path: Path) -> None:
    assert bytes_of(make(tmp_path, "svs", processes=2)) == bytes_of(nights["svs"])


# --- manifest and truth


@pytest.mark.parametrize("slide_format", SLIDE_FORMATS)
def test_the_manifest_lists_every_slide_and_tells_no_diagnosis(
    nights: dict[str, PhantomNight], slide_format: str
) -> None:
    night = nights[slide_format]
    rows = rows_of(night.manifest)
    assert tuple(rows[0]) == MANIFEST_COLUMNS
    assert [row["file"] for row in rows] == [slide.file for slide in night.slides]
    assert all((night.folder / row["file"]).exists() for row in rows)
    assert {row["patient_id"] for row in rows} == {"PHANTOM-0001"}
    assert not any(name.lower() in str(rows).lower() for name in ("normal", "leukaemia", "ALL'", "diagnosis"))


def test_the_truth_of_patients_follows_from_the_truth_of_cells(nights: dict[str, PhantomNight]) -> None:
    folder = nights["svs"].folder / "truth"
    cells, (patient,) = rows_of(folder / "cells.csv"), rows_of(folder / "patients.csv")
    assert tuple(cells[0]) == CELL_COLUMNS
    counts = Counter(row["category"] for row in cells if row["counted"] == "true")
    assert int(patient["cells"]) == sum(counts.values())
    assert 28 <= int(patient["cells"]) <= 36
    assert tuple(patient)[3:] == ICSH_CATEGORIES
    for category in ICSH_CATEGORIES:
        assert float(patient[category]) == pytest.approx(100 * counts[category] / sum(counts.values()), abs=1e-3)


def test_micrometres_and_pixels_of_the_truth_agree_and_the_cell_is_there(nights: dict[str, PhantomNight]) -> None:
    night = nights["svs"]
    image = tifffile.imread(first(night)).astype(int).sum(axis=2)
    background = np.median(image)
    rows = [row for row in rows_of(night.folder / "truth" / "cells.csv") if row["file"] == night.slides[0].file]
    for row in rows:
        for axis in ("x", "y", "width", "height"):
            assert float(row[f"{axis}_um"]) == pytest.approx(0.25 * float(row[f"{axis}_px"]), abs=1e-3)
        if row["readable"] == "true":
            x, y, w, h = (float(row[name]) for name in ("x_px", "y_px", "width_px", "height_px"))
            box = image[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)]
            assert np.percentile(box, 15) < background - 120


# --- the planted identity


def test_a_canary_is_where_scanners_put_names(canaries: dict[str, PhantomNight]) -> None:
    svs = first(canaries["svs"])
    assert svs.name.startswith("Muster_Erika-")
    with openslide.OpenSlide(svs) as opened:
        assert CANARY in opened.properties["tiff.ImageDescription"]
    with tifffile.TiffFile(first(canaries["ome-tiff"])) as tiff:
        assert CANARY in tiff.ome_metadata
    for path in first(canaries["dicom"]).glob("*.dcm"):
        assert pydicom.dcmread(path, stop_before_pixels=True).PatientName == CANARY


def test_a_canary_is_on_the_label_and_in_the_macro_but_not_on_the_slide(
    nights: dict[str, PhantomNight], canaries: dict[str, PhantomNight]
) -> None:
    with openslide.OpenSlide(first(nights["svs"])) as plain, openslide.OpenSlide(first(canaries["svs"])) as planted:
        for name in ("label", "macro"):
            pictures = [np.asarray(opened.associated_images[name]) for opened in (plain, planted)]
            assert not np.array_equal(*pictures)
        regions = [np.asarray(opened.read_region((0, 0), 0, (900, 900))) for opened in (plain, planted)]
        np.testing.assert_array_equal(*regions)


def test_without_a_canary_the_only_identity_is_the_invented_patient(nights: dict[str, PhantomNight]) -> None:
    for content in bytes_of(nights["dicom"]).values():
        assert b"Muster" not in content
    ds = pydicom.dcmread(io.BytesIO(bytes_of(nights["dicom"])["slide-0001-a/level-0.dcm"]))
    assert str(ds.PatientName) == ds.PatientID == "PHANTOM-0001"


# --- full size


@pytest.mark.slow
def test_a_patient_has_enough_cells_for_a_differential(tmp_path: Path) -> None:
    night = make_phantom(tmp_path, seed=2, patients=1)
    (patient,) = night.patients
    assert len(night.slides) == 2
    assert patient.cells >= 560
    assert all((tmp_path / slide.file).stat().st_size < 12e6 for slide in night.slides)
