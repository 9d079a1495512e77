"""Write single-frame CT Image instances, the localizer and a dose screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from networks.phantoms.acquire import Acquisition
from networks.phantoms.header import StudyHeader, common_dataset
from networks.phantoms.planes import PlaneGeometry, stored_values
from networks.phantoms.profiles import ScannerProfile

UNCOMPRESSED = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
)


def decimal(value: float) -> str:
    """Return a DS value of at most 16 characters."""
    text = f"{value:.10g}"
    return text if len(text) <= 16 else f"{value:.7g}"


def save(ds: Dataset, path: Path, transfer_syntax_uid: str) -> None:
    """Write a dataset as a Part 10 file, compressed if the transfer syntax asks for it."""
    syntax = UID(transfer_syntax_uid)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "ONESCANPHANTOM"
    meta.TransferSyntaxUID = syntax if syntax in UNCOMPRESSED else ExplicitVRLittleEndian
    ds.file_meta = meta
    if syntax not in UNCOMPRESSED:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(path, enforce_file_format=True)


def add_pixel_module(ds: Dataset, profile: ScannerProfile, rows: int, columns: int) -> None:
    """Add the Image Pixel attributes of a profile, without the pixels."""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored = 16, profile.bits_stored
    ds.HighBit = profile.bits_stored - 1
    ds.PixelRepresentation = profile.pixel_representation
    if profile.padding_declared is not None:
        ds.add_new("PixelPaddingValue", "SS" if profile.pixel_representation else "US",
                   profile.padding_declared)  # fmt: skip


def ct_instance(
    header: StudyHeader,
    scan: Acquisition,
    geometry: PlaneGeometry,
    n: int,
    *,
    series_uid: str,
    series_number: int,
    description: str,
    slope: float,
    kvp: float,
    orientation: npt.NDArray[np.float64] | None = None,
) -> Dataset:
    """Return the CT Image instance of the n-th plane in writing order."""
    profile = header.profile
    ds = common_dataset(header)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = header.uid("instance", series_number, n)
    ds.SeriesInstanceUID = series_uid
    ds.SeriesNumber = series_number
    ds.SeriesDescription = description
    ds.InstanceNumber = n + 1
    ds.AcquisitionNumber = 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP = decimal(kvp)
    ds.XRayTubeCurrent = "220"
    ds.ExposureTime = "500"
    ds.Exposure = "110"
    ds.DataCollectionDiameter = "500"
    ds.ReconstructionDiameter = decimal(scan.spacing_mm[2] * scan.hu.shape[2])
    ds.GantryDetectorTilt = decimal(scan.tilt_degrees)
    ds.TableHeight = "160"
    ds.RotationDirection = "CW"
    ds.FilterType = "WEDGE_2"
    ds.ScanOptions = "HELICAL MODE"
    kernel = profile.kernels[scan.kernel]
    ds.ConvolutionKernel = list(kernel) if len(kernel) > 1 else kernel[0]
    ds.SliceThickness = decimal(scan.thickness_mm)
    ds.SpacingBetweenSlices = decimal(geometry.between_slices_mm)
    place = geometry.positions[n]
    ds.ImagePositionPatient = [decimal(v) for v in place]
    direction = geometry.orientation if orientation is None else orientation
    ds.ImageOrientationPatient = [decimal(v) for v in direction]
    ds.PixelSpacing = [decimal(v) for v in geometry.pixel_spacing_mm]
    ds.SliceLocation = decimal(float(place[2]))
    add_pixel_module(ds, profile, *scan.hu.shape[1:])
    ds.RescaleIntercept = decimal(profile.rescale_intercept)
    ds.RescaleSlope = decimal(slope)
    ds.RescaleType = "HU"
    ds.WindowCenter, ds.WindowWidth = "40", "400"
    ds.LossyImageCompression = "00"
    values = stored_values(scan.hu[geometry.order[n]], geometry, profile, scan.circle, slope=slope)
    ds.PixelData = values.tobytes()
    return ds


def write_localizer(
    path: Path,
    header: StudyHeader,
    hu: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64],
    *,
    series_number: int,
) -> Dataset:
    """Write a frontal localizer: the phantom's attenuation summed from front to back."""
    voxel = float(affine[2, 0])
    through = np.clip(hu + 1000, 0, 2500).sum(axis=1)[::-1] * voxel / 1000
    image = np.clip(through * 4 - 400, -1000, 3000)
    profile = header.profile
    ds = common_dataset(header)
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = header.uid("instance", series_number, 0)
    ds.SeriesInstanceUID = header.uid("series", series_number)
    ds.SeriesNumber = series_number
    ds.SeriesDescription = "Topogram" if profile.vendor == "SIEMENS" else "Scout"
    ds.InstanceNumber = 1
    ds.AcquisitionNumber = 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    ds.KVP = "120"
    ds.ScanOptions = "SCOUT MODE"
    ds.SliceThickness = decimal(voxel * hu.shape[1])
    top = affine @ np.array([hu.shape[0] - 1, 0.5 * (hu.shape[1] - 1), 0, 1.0])
    ds.ImagePositionPatient = [decimal(v) for v in top[:3]]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]
    ds.PixelSpacing = [decimal(voxel), decimal(voxel)]
    add_pixel_module(ds, profile, *image.shape)
    if "PixelPaddingValue" in ds:
        del ds.PixelPaddingValue
    ds.RescaleIntercept = decimal(profile.rescale_intercept)
    ds.RescaleSlope = "1"
    ds.WindowCenter, ds.WindowWidth = "400", "1600"
    stored = np.rint(image - profile.rescale_intercept)
    kind = np.int16 if profile.pixel_representation else np.uint16
    ds.PixelData = np.clip(stored, 0 if kind is np.uint16 else -32768, 32767).astype(kind).tobytes()
    save(ds, path, ExplicitVRLittleEndian)
    return ds


def write_dose_screen(path: Path, header: StudyHeader, *, series_number: int) -> Dataset:
    """Write a Secondary Capture screen that calls itself CT, as some scanners do."""
    ds = common_dataset(header)
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = header.uid("instance", series_number, 0)
    ds.SeriesInstanceUID = header.uid("series", series_number)
    ds.SeriesNumber = series_number
    ds.SeriesDescription = "Exam Summary"
    ds.InstanceNumber = 1
    ds.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    ds.ConversionType = "WSD"
    ds.PatientOrientation = ""
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        delattr(ds, keyword)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = 256, 384
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    screen = np.zeros((256, 384), dtype=np.uint8)
    screen[24:232:16, 24:300] = 200
    ds.PixelData = screen.tobytes()
    save(ds, path, ExplicitVRLittleEndian)
    return ds
