"""The attributes that every instance of a phantom study shares."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import date, timedelta

from pydicom.dataset import Dataset
from pydicom.uid import UID

from networks.phantoms.patient import Patient
from networks.phantoms.profiles import ScannerProfile

NOTICE = "SYNTHETIC PHANTOM"
"""Stands in Study Description and Image Comments of everything written here."""

POSITIONS = ("HFS", "HFP", "FFS", "FFP")
"""(0018,5100) *Patient Position* values that can be written."""


class UidMaker:
    """UIDs of the 2.25 form that depend on nothing but what they are made from."""

    def __init__(self, *parts: object) -> None:
        self._root = repr(parts)

    def __call__(self, *parts: object) -> UID:
        """Return the UID of one object within the study."""
        digest = hashlib.sha256(f"{self._root}/{parts!r}".encode()).digest()[:16]
        # PS3.5 B.2 asks for a UUID; version 8 is the one for values made otherwise (RFC 9562)
        value = bytearray(digest)
        value[6] = (value[6] & 0x0F) | 0x80
        value[8] = (value[8] & 0x3F) | 0x80
        return UID(f"2.25.{uuid.UUID(bytes=bytes(value)).int}")


@dataclass(frozen=True, kw_only=True)
class StudyHeader:
    """What is the same in every instance of a study."""

    seed: int
    uid: UidMaker
    patient: Patient
    profile: ScannerProfile
    patient_age: str
    """(0010,1010), such as 058Y; empty leaves age and birth date out."""

    position: str
    phase: str
    contrast_agent: str
    """(0018,0010); empty leaves the module out."""

    body_part: str = "CHEST"

    @property
    def study_uid(self) -> UID:
        """Study Instance UID."""
        return self.uid("study")

    @property
    def frame_of_reference_uid(self) -> UID:
        """Frame of Reference UID of all series."""
        return self.uid("frame-of-reference")

    @property
    def study_date(self) -> date:
        """Day of the study, from the seed."""
        return date(2024, 1, 2) + timedelta(days=self.seed % 700)

    @property
    def time(self) -> str:
        """DICOM time of the study, from the seed."""
        return f"{8 + self.seed % 10:02d}{self.seed * 7 % 60:02d}{self.seed * 13 % 60:02d}"


def _birth_date(header: StudyHeader) -> str:
    unit = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}[header.patient_age[-1]]
    days = int((int(header.patient_age[:-1]) + 0.4) * unit)
    return (header.study_date - timedelta(days=days)).strftime("%Y%m%d")


def common_dataset(header: StudyHeader, *, modality: str = "CT") -> Dataset:
    """Return patient, study, equipment and contrast attributes of an instance."""
    ds = Dataset()
    profile, patient = header.profile, header.patient
    ds.SpecificCharacterSet = profile.character_set
    day = header.study_date.strftime("%Y%m%d")
    for keyword in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{keyword}Date", day)
        setattr(ds, f"{keyword}Time", header.time)
    ds.InstanceCreationDate, ds.InstanceCreationTime = day, header.time
    ds.StudyInstanceUID = header.study_uid
    ds.StudyID = str(header.seed % 10**10)
    ds.AccessionNumber = f"PH{header.seed:08d}"[:16]
    ds.StudyDescription = f"{NOTICE} chest abdomen"
    ds.ReferringPhysicianName = ""
    ds.PatientName = f"Phantom^Seed{header.seed}"
    ds.PatientID = f"PHANTOM-{header.seed}"
    ds.PatientSex = patient.sex
    if header.patient_age:
        ds.PatientAge = header.patient_age
        ds.PatientBirthDate = _birth_date(header)
    else:
        ds.PatientBirthDate = ""
    ds.PatientSize = f"{patient.height_cm / 100:.2f}"
    ds.PatientWeight = f"{patient.bmi * (patient.height_cm / 100) ** 2:.1f}"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Synthetic: there is no patient"
    ds.Modality = modality
    ds.BodyPartExamined = header.body_part
    ds.PatientPosition = header.position
    ds.Manufacturer = profile.manufacturer
    ds.ManufacturerModelName = profile.model
    ds.SoftwareVersions = profile.software
    ds.DeviceSerialNumber = f"PH{header.uid('device')[-6:]}"
    ds.StationName = f"PH-{profile.name[:12].upper()}"
    ds.InstitutionName = "OneScan 体模" if profile.character_set == "GB18030" else "OneScan"
    ds.FrameOfReferenceUID = header.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.ImageComments = f"{NOTICE}, not a patient"
    if header.contrast_agent:
        ds.ContrastBolusAgent = header.contrast_agent
        ds.ContrastBolusRoute = "IV"
        ds.ContrastBolusVolume = "80"
    if profile.private_creator:
        block = ds.private_block(profile.private_group, profile.private_creator, create=True)
        block.add_new(0xE0, "LO", NOTICE)
    return ds
