"""Write a hand radiograph as a DICOM study (DX or CR), with ``truth.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from networks.phantoms.hand import Hand, draw_hand
from networks.phantoms.hand_exposure import (
    Exposure,
    collimate,
    draw_exposure,
    expose,
    mark_side,
)
from networks.phantoms.hand_growth import Child, draw_child
from networks.phantoms.hand_xray import View, attenuation, frame_hand
from networks.phantoms.header import NOTICE, UidMaker
from networks.phantoms.instance_writer import decimal, save

MODALITIES: dict[str, UID] = {
    "DX": DigitalXRayImageStorageForPresentation,
    "CR": ComputedRadiographyImageStorage,
}
"""(0008,0060) *Modality* → SOP class."""

SIDES = ("L", "R")

CODES = {
    "hand": ("SCT", "85562004", "Hand"),
    "left": ("SCT", "7771000", "Left"),
    "right": ("SCT", "24028007", "Right"),
    "frontal": ("SCT", "272479007", "Postero-anterior projection"),
}


class System(NamedTuple):
    """An X-ray system: how it fills in headers, and its pixels.

    The names stand for that and say nothing about the real devices.
    """

    manufacturer: str
    model: str
    software: str
    dx_mm: float
    """*Imager Pixel Spacing* of its flat panel."""

    cr_mm: float
    """Of its plate reader."""

    character_set: str = "ISO_IR 100"


SYSTEMS = (
    System("GE Healthcare", "Definium 656", "dm_656.10", 0.2, 0.2),
    System("SIEMENS", "Ysio Max", "VE10N", 0.148, 0.175),
    System("Philips Medical Systems", "DigitalDiagnost", "4.3", 0.143, 0.15),
    System("CANON", "CXDI-710C", "8.2", 0.125, 0.175),
    System("UIH", "uDR 780i", "R001", 0.139, 0.15, "GB18030"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Radiograph:
    """An image and how it came about."""

    stored: npt.NDArray[np.uint16]
    """(R, C) stored values, as the photometric interpretation says."""

    exposure: Exposure
    view: View


def take(
    hand: Hand,
    spacing_mm: float,
    *,
    mirrored: bool = False,
    exposure: Exposure | None = None,
) -> Radiograph:
    """X-ray a hand; the same hand gives the same image.

    Parameters
    ----------
    hand : Hand
    spacing_mm : float
        Of the detector.
    mirrored : bool
        The right hand, which is the left one's mirror image.
    exposure : Exposure, optional
        Over what the seed draws.
    """
    rng = np.random.default_rng([hand.child.seed, 2])
    view = frame_hand(hand, spacing_mm, rng, mirrored=mirrored)
    drawn = draw_exposure(rng)
    exposure = exposure or drawn
    image = expose(attenuation(hand, view, rng), view, exposure, rng)
    if exposure.marker:
        mark_side(image, view, SIDES[mirrored], rng)
    collimate(image, view, exposure)
    top = (1 << exposure.bits) - 1
    stored = np.rint(image * top).astype(np.uint16)
    return Radiograph(
        stored=(top - stored) if exposure.monochrome1 else stored, exposure=exposure, view=view
    )


def make_hand_study(
    out: Path,
    *,
    seed: int,
    modality: str = "DX",
    sex: str | None = None,
    bone_age_months: float | None = None,
    deviation_sds: float | None = None,
    right_hand: bool = False,
    bits: int | None = None,
    monochrome1: bool | None = None,
    patient_sex: str | None = None,
    patient_age: str | None = None,
    body_part: str = "HAND",
    laterality: str | None = None,
    lossy: bool = False,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> dict[str, Any]:
    """Write a study of one hand radiograph and ``truth.json`` into a folder.

    Parameters
    ----------
    out : Path
        Folder; made if need be.
    seed : int
        Child, system, exposure, noise and UIDs.
    modality : str
        DX (Digital X-Ray Image, For Presentation) or CR (Computed Radiography Image).
    sex, bone_age_months, deviation_sds
        Of the child; see `networks.phantoms.hand_growth.draw_child`.
    right_hand : bool
        X-ray the right hand instead of the left.
    bits : int, optional
        Bits Stored, 10 to 14.
    monochrome1 : bool, optional
        Whether the smallest stored value is white.
    patient_sex, patient_age : str, optional
        (0010,0040) and (0010,1010) over the child's; "" leaves sex empty, or age and birth date
        out.
    body_part : str
        (0018,0015).
    laterality : str, optional
        (0020,0062) over the true one; "" leaves it empty.
    lossy : bool
        Say that the image went through lossy compression.
    transfer_syntax_uid : str

    Returns
    -------
    dict
        What is written to ``truth.json``.

    Raises
    ------
    ValueError
        For an unknown modality, sex, or a bone age out of range.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality must be {' or '.join(MODALITIES)}, not {modality!r}")
    child = draw_child(seed, sex=sex, bone_age_months=bone_age_months, deviation_sds=deviation_sds)
    exposure = draw_exposure(np.random.default_rng([seed, 3]))
    if bits is not None:
        exposure = replace(exposure, bits=bits)
    if monochrome1 is not None:
        exposure = replace(exposure, monochrome1=monochrome1)
    system = SYSTEMS[int(np.random.default_rng([seed, 4]).integers(len(SYSTEMS)))]
    spacing = system.dx_mm if modality == "DX" else system.cr_mm
    taken = take(draw_hand(child), spacing, mirrored=right_hand, exposure=exposure)
    said = (child.truth(), modality, right_hand, bits, monochrome1, patient_sex, patient_age,
            body_part, laterality, lossy)  # fmt: skip
    uid = UidMaker("hand", seed, said)
    ds = _patient_and_study(child, system, uid, sex=patient_sex, age=patient_age)
    side = SIDES[right_hand]
    _series(ds, modality, uid, body_part, side if laterality is None else laterality)
    _image(ds, taken, modality)
    if lossy:
        ds.LossyImageCompression = "01"
        ds.LossyImageCompressionRatio = "12"
        ds.LossyImageCompressionMethod = "ISO_10918_1"
    folder = out / "hand"
    folder.mkdir(parents=True, exist_ok=True)
    save(ds, folder / "0001.dcm", transfer_syntax_uid)
    truth = {
        "version": 1,
        "notice": "synthetic phantom, not a patient",
        "seed": seed,
        "study_instance_uid": str(ds.StudyInstanceUID),
        "modality": modality,
        "side": side,
        **child.truth(),
        "spacing_mm": taken.view.spacing_mm,
        "bits_stored": taken.exposure.bits,
        "photometric_interpretation": ds.PhotometricInterpretation,
        "series": [{"kind": "hand", "series_instance_uid": str(ds.SeriesInstanceUID)}],
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    return truth


def _patient_and_study(
    child: Child, system: System, uid: UidMaker, *, sex: str | None, age: str | None
) -> Dataset:
    day = date(2024, 1, 2) + timedelta(days=child.seed % 700)
    ds = Dataset()
    ds.SpecificCharacterSet = system.character_set
    for keyword in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{keyword}Date", day.strftime("%Y%m%d"))
        setattr(ds, f"{keyword}Time", f"{8 + child.seed % 10:02d}3000")
    ds.StudyInstanceUID = uid("study")
    ds.StudyID = str(child.seed % 10**10)
    ds.AccessionNumber = f"HA{child.seed:08d}"[:16]
    ds.StudyDescription = f"{NOTICE} hand"
    ds.ReferringPhysicianName = ""
    ds.PatientName = f"Phantom^Seed{child.seed}"
    ds.PatientID = f"PHANTOM-{child.seed}"
    ds.PatientSex = child.sex if sex is None else sex
    born = day - timedelta(days=round(child.age_months * 365.25 / 12))
    ds.PatientBirthDate = born.strftime("%Y%m%d") if age is None else ""
    if age is None:
        ds.PatientAge = f"{int(child.age_months):03d}M"
    elif age:
        ds.PatientAge = age
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic: there is no patient"
    ds.Manufacturer = system.manufacturer
    ds.ManufacturerModelName = system.model
    ds.SoftwareVersions = system.software
    ds.DeviceSerialNumber = f"PH{uid('device')[-6:]}"
    ds.InstitutionName = "OneScan 体模" if system.character_set == "GB18030" else "OneScan"
    ds.ImageComments = f"{NOTICE}, not a patient"
    return ds


def _series(ds: Dataset, modality: str, uid: UidMaker, body_part: str, side: str) -> None:
    ds.SOPClassUID = MODALITIES[modality]
    ds.SOPInstanceUID = uid("instance")
    ds.SeriesInstanceUID = uid("series")
    ds.Modality = modality
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, 1, 1
    ds.SeriesDescription = "Hand PA"
    ds.BodyPartExamined = body_part
    ds.ViewPosition = "PA"
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    # from the back, fingers up: the thumb of a left hand, the fifth finger of a right one
    ds.PatientOrientation = ["L", "H"]
    ds.KVP, ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "52", "16", "200", "3"
    if modality == "CR":
        ds.Laterality = side
        ds.PlateID = ""
        return
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageLaterality = side or "U"
    ds.DetectorType = "SCINTILLATOR"
    ds.DistanceSourceToDetector = "1100"
    ds.PositionerType = "NONE"
    ds.AcquisitionContextSequence = []
    ds.ViewCodeSequence = [_code("frontal")]
    ds.AnatomicRegionSequence = [_code("hand")]


def _image(ds: Dataset, taken: Radiograph, modality: str) -> None:
    exposure, step = taken.exposure, decimal(taken.view.spacing_mm)
    ds.ImagerPixelSpacing = [step, step]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if exposure.monochrome1 else "MONOCHROME2"
    ds.Rows, ds.Columns = taken.stored.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, exposure.bits, exposure.bits - 1
    ds.PixelRepresentation = 0
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.WindowCenter = str(1 << (exposure.bits - 1))
    ds.WindowWidth = str(1 << exposure.bits)
    if modality == "DX":
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
        ds.PixelIntensityRelationship = "LOG"
        ds.PixelIntensityRelationshipSign = 1 if exposure.monochrome1 else -1
        ds.PresentationLUTShape = "INVERSE" if exposure.monochrome1 else "IDENTITY"
    ds.PixelData = taken.stored.tobytes()


def _code(name: str) -> Dataset:
    scheme, value, meaning = CODES[name]
    item = Dataset()
    item.CodingSchemeDesignator, item.CodeValue, item.CodeMeaning = scheme, value, meaning
    return item
