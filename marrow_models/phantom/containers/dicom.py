"""DICOM VL Whole Slide Microscopy (PS3.3 A.32.8): a folder with one instance a level and one for the label."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import imagecodecs
from PIL import ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import JPEGBaseline8Bit, VLWholeSlideMicroscopyImageStorage

from marrow_models.phantom.containers.identity import SlideIdentity, label_picture
from marrow_models.phantom.containers.tiles import QUALITY, SUBSAMPLING, TILE_PX, EncodedLevel, EncodedPyramid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Slides are not dated: the same seed must give the same bytes on any day.
_DATE, _TIME = "20250101", "000000"
_ICC_DATE = slice(24, 36)
_ORIENTATION = [0.0, -1.0, 0.0, -1.0, 0.0, 0.0]


def write_dicom(folder: Path, pyramid: EncodedPyramid, identity: SlideIdentity) -> None:
    """Write the slide's instances into ``folder``; the same arguments give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    base = pyramid.levels[0]
    size_mm = (base.width_px * pyramid.um_per_px / 1000, base.height_px * pyramid.um_per_px / 1000)
    for index, level in enumerate(pyramid.levels):
        kind = (
            ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if index == 0 else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        )
        spacing_mm = pyramid.um_per_px * level.downsample / 1000
        instance = _instance(identity, level, index + 1, kind, spacing_mm, size_mm)
        _save(folder / f"level-{index}.dcm", instance)
    label = _label_level(label_picture(identity))
    spacing_mm = 25.0 / label.width_px  # a slide is about 25 mm wide
    instance = _instance(
        identity, label, len(pyramid.levels) + 1, ["ORIGINAL", "PRIMARY", "LABEL", "NONE"], spacing_mm, (25.0, 26.0)
    )
    instance.LabelText = f"{identity.name} {identity.patient_id} {identity.slide_name}"
    instance.BarcodeValue = identity.slide_name
    _save(folder / "label.dcm", instance)


def _label_level(picture: NDArray[np.uint8]) -> EncodedLevel:
    stream = bytes(imagecodecs.jpeg8_encode(picture, level=QUALITY, subsampling=SUBSAMPLING))
    return EncodedLevel(picture.shape[1], picture.shape[0], 1, (stream,))


def _save(path: Path, instance: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = instance.SOPClassUID
    meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    instance.file_meta = meta
    instance.save_as(path, enforce_file_format=True)


def _instance(
    identity: SlideIdentity,
    level: EncodedLevel,
    number: int,
    image_type: list[str],
    spacing_mm: float,
    size_mm: tuple[float, float],
) -> Dataset:
    is_label = image_type[2] == "LABEL"
    ds = Dataset()
    ds.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    ds.SOPInstanceUID = identity.uid(f"instance-{number}")
    ds.ImageType = image_type
    ds.InstanceNumber = number
    _add_patient_and_study(ds, identity)
    _add_specimen(ds, identity)
    _add_pixels(ds, level, is_label=is_label)
    _add_matrix(ds, level, spacing_mm, size_mm, image_type)
    ds.SpecimenLabelInImage = "YES" if is_label else "NO"
    ds.BurnedInAnnotation = "YES" if is_label else "NO"
    return ds


def _add_patient_and_study(ds: Dataset, identity: SlideIdentity) -> None:
    ds.PatientName = identity.name
    ds.PatientID = identity.patient_id
    ds.PatientBirthDate, ds.PatientSex = "", ""
    ds.StudyInstanceUID = identity.uid("study")
    ds.SeriesInstanceUID = identity.uid("series")
    ds.FrameOfReferenceUID = identity.uid("frame-of-reference")
    ds.PyramidUID = identity.uid("pyramid")
    ds.PositionReferenceIndicator = "SLIDE_CORNER"
    ds.StudyID, ds.SeriesNumber = "1", 1
    ds.AccessionNumber, ds.ReferringPhysicianName = "", ""
    ds.StudyDate = ds.ContentDate = _DATE
    ds.StudyTime = ds.ContentTime = _TIME
    ds.AcquisitionDateTime = _DATE + _TIME
    ds.Modality = "SM"
    ds.Manufacturer, ds.ManufacturerModelName = "Marrow", "phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"
    ds.AcquisitionContextSequence = Sequence()


def _add_specimen(ds: Dataset, identity: SlideIdentity) -> None:
    ds.ContainerIdentifier = identity.slide_name
    ds.IssuerOfTheContainerIdentifierSequence = Sequence()
    ds.ContainerTypeCodeSequence = Sequence([_code("433466003", "SCT", "Microscope slide")])
    specimen = Dataset()
    specimen.SpecimenIdentifier = identity.slide_name
    specimen.SpecimenUID = identity.uid("specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = Sequence()
    specimen.SpecimenPreparationSequence = Sequence()
    ds.SpecimenDescriptionSequence = Sequence([specimen])


def _add_pixels(ds: Dataset, level: EncodedLevel, *, is_label: bool) -> None:
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.Rows, ds.Columns = (level.height_px, level.width_px) if is_label else (TILE_PX, TILE_PX)
    ds.NumberOfFrames = len(level.tiles)
    ds.LossyImageCompression = "01"
    raw, stored = level.width_px * level.height_px * 3, sum(map(len, level.tiles))
    ds.LossyImageCompressionRatio = f"{raw / stored:.2f}"
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.VolumetricProperties = "VOLUME"
    ds.PixelData = encapsulate(list(level.tiles))
    ds["PixelData"].VR = "OB"


def _add_matrix(
    ds: Dataset, level: EncodedLevel, spacing_mm: float, size_mm: tuple[float, float], image_type: list[str]
) -> None:
    ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixRows = level.width_px, level.height_px
    ds.TotalPixelMatrixFocalPlanes, ds.NumberOfOpticalPaths = 1, 1
    ds.ImagedVolumeWidth, ds.ImagedVolumeHeight = size_mm
    ds.ImagedVolumeDepth = 0.001
    ds.FocusMethod, ds.ExtendedDepthOfField = "AUTO", "NO"
    ds.ImageOrientationSlide = _ORIENTATION
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 20.0, 40.0
    ds.TotalPixelMatrixOriginSequence = Sequence([origin])
    ds.DimensionOrganizationType = "TILED_FULL"
    organization = Dataset()
    organization.DimensionOrganizationUID = ds.FrameOfReferenceUID + ".1"
    ds.DimensionOrganizationSequence = Sequence([organization])
    measures, frame_type, path = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [spacing_mm, spacing_mm]
    measures.SliceThickness = 0.001
    frame_type.FrameType = image_type
    path.OpticalPathIdentifier = "0"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([frame_type])
    shared.OpticalPathIdentificationSequence = Sequence([path])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.OpticalPathSequence = Sequence([_optical_path()])


def _optical_path() -> Dataset:
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    path.IlluminationTypeCodeSequence = Sequence([_code("111744", "DCM", "Brightfield illumination")])
    path.IlluminationColorCodeSequence = Sequence([_code("414298005", "SCT", "Full Spectrum")])
    path.ObjectiveLensPower = 40.0
    path.ICCProfile = _srgb()
    path.ColorSpace = "SRGB"
    return path


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


@cache
def _srgb() -> bytes:
    """Return an sRGB profile without the date on which it was made."""
    buffer = BytesIO(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = bytearray(buffer.getvalue())
    profile[_ICC_DATE] = (2025).to_bytes(2, "big") + (1).to_bytes(2, "big") * 2 + bytes(6)
    return bytes(profile)
