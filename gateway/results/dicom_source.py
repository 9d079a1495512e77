"""What the objects that we make take over from the images that they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from gateway.instance import Frame
from gateway.results.dicom_text import Copied, copy_attributes
from gateway.screening.mask import Mask

Floats = npt.NDArray[np.float64]
ReadValues = Callable[[Frame], npt.NDArray[np.float32]]

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
"""Of the Patient module, type 2."""

PATIENT_MORE = ("IssuerOfPatientID", "OtherPatientIDs", "PatientComments")
PATIENT_STUDY = ("PatientAge", "PatientSize", "PatientWeight")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID")
STUDY_MORE = ("StudyDescription",)
ALWAYS = (*PATIENT, *STUDY, "AccessionNumber")
SOMETIMES = (*PATIENT_MORE, *PATIENT_STUDY, *STUDY_MORE)


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """A series that was screened."""

    uid: str
    key: str
    """`uid`, with ``#part`` where the series holds several volumes."""

    header: Dataset
    """Of its first instance, without pixels."""

    frames: tuple[Frame, ...]
    """Of the volume, in any order."""

    sop_classes: Mapping[str, str]
    """SOP Instance UID → SOP Class UID."""

    multi_frame: bool = False
    """Whether frames have to be named by number too."""

    @property
    def frame_of_reference_uid(self) -> str:
        """(0020,0052); empty where there is none, as of a radiograph."""
        return str(self.header.get("FrameOfReferenceUID") or "")

    @cached_property
    def copied(self) -> Copied:
        """Patient and study."""
        found = [name for name in SOMETIMES if name in self.header]
        return copy_attributes(self.header, (*ALWAYS, *found))

    @cached_property
    def placed(self) -> tuple[Frame, ...]:
        """Frames with a place in space, in the order of growing position along their normal."""
        frames = [f for f in self.frames if f.image_position_patient and f.pixel_spacing]
        if not frames or frames[0].image_orientation_patient is None:
            return ()
        normal = normal_of(frames[0])
        return tuple(
            sorted(
                frames,
                key=lambda f: (
                    round(float(np.dot(f.image_position_patient or (0, 0, 0), normal)), 4),
                    f.sop_instance_uid,
                    f.frame_number,
                ),
            )
        )

    def frame_of(self, lesion: Mapping[str, Any]) -> Frame | None:
        """Give the frame that a lesion names, or else the one nearest to its centre.

        A lesion that a reader added may name none; None where frames have no place either.
        """
        named = (lesion["sop_instance_uid"], lesion["frame_number"] or 1)
        for frame in self.frames:
            if (frame.sop_instance_uid, frame.frame_number) == named:
                return frame
        if not self.placed or not lesion["centre_mm"]:
            return None
        normal = normal_of(self.placed[0])
        centre = np.asarray(lesion["centre_mm"], np.float64)

        def away(frame: Frame) -> float:
            return abs(float((centre - np.array(frame.image_position_patient)) @ normal))

        return min(self.placed, key=away)


def normal_of(frame: Frame) -> Floats:
    """Give the unit vector across a frame, right-handed with its rows and columns, LPS."""
    cosines = np.array(frame.image_orientation_patient)
    across: Floats = np.cross(cosines[:3], cosines[3:])
    return across


def plane_affine(frame: Frame) -> Floats:
    """Give (row, column, 1) of a frame → LPS mm, a (3, 3) array (PS3.3, C.7.6.2.1.1)."""
    assert frame.image_orientation_patient is not None
    assert frame.image_position_patient is not None
    assert frame.pixel_spacing is not None
    cosines = np.array(frame.image_orientation_patient, np.float64)
    between_rows, between_columns = frame.pixel_spacing
    return np.column_stack(
        [cosines[3:] * between_rows, cosines[:3] * between_columns, frame.image_position_patient]
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelMap:
    """A kept mask, and what its values are."""

    check: str
    """Whose lesions it outlines; `gateway.screening.manifest.ANATOMY` for organs."""

    series_key: str
    mask: Mask
    names: Mapping[int, str]
    """Value → organ; empty for lesions, which name their value themselves."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screened:
    """A finished screening with all that its forms are made of."""

    tenant: str
    result: Mapping[str, Any]
    """The reference form."""

    series: Sequence[SourceSeries]
    """At least one, the first of which describes patient and study."""

    label_maps: Sequence[LabelMap] = ()
    read_values: ReadValues | None = None
    """Gives the HU, or grey values, of a frame; asked only for the Secondary Capture."""

    def series_of(self, lesion: Mapping[str, Any]) -> SourceSeries | None:
        """Find the volume in which a lesion lies."""
        of_series = [one for one in self.series if one.uid == lesion["series_instance_uid"]]
        instance = lesion["sop_instance_uid"]
        holding = [one for one in of_series if instance in one.sop_classes]
        return next(iter(holding or of_series), None)
