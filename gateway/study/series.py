"""Series of a study, each one volume: instances are grouped, and split where one UID holds more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gateway.exceptions import (
    DerivedImagesError,
    LocalizerError,
    LossyCompressionError,
    NoSuitableSeriesError,
    SecondaryCaptureError,
    SeriesError,
    WrongModalityError,
)
from gateway.instance import Frame, Instance
from gateway.study.attributes import values
from gateway.study.geometry import (
    DUPLICATE_TOLERANCE_MM,
    MINIMUM_SLICES,
    ORIENTATION_TOLERANCE,
    SeriesGeometry,
    geometry_of,
)
from gateway.study.image import MODALITIES, SOP_CLASSES, check_image, image_geometry
from gateway.study.kernels import KernelClass, kernel_class
from gateway.study.stored import check_decodable, check_storable

CT_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image Storage
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image Storage
    }
)
"""Modality CT is not enough: Philips' "Exam Summary" screens say CT and are Secondary Captures."""

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage; its multi-frame kinds are .7.1 to .7.4."""

_REFORMATS = ("MPR", "MIP", "MINIP", "MINMIP", "CPR", "VRT", "VR", "SSD", "3D", "REFORMATTED")
_SCREENS = ("REF_SURVIEW", "SCREEN_SAVE", "SCREENSAVE", "CSA_REPORT", "CSA_RESULT")
_SHEETS = ("DOSE", "DOSE_INFO", "PATIENT_INFO", "RESULTS")
_MAPS = ("PERFUSION", "IODINE", "IODINE_MAP", "VNC", "EFF_Z", "RHO_Z", "Z_EFF")

NOT_ACQUIRED = frozenset((*_REFORMATS, *_SCREENS, *_SHEETS, *_MAPS))
"""(0008,0008) *Image Type* values of what is no acquired HU slice. DERIVED alone is not among them:
Canon writes DERIVED\\SECONDARY\\AXIAL for plain axial slices. Spaces are read as underscores."""

_POSITION_DIGITS = 3


@dataclass(frozen=True, eq=False)
class Series:
    """The frames of one volume, or of what is none, under one Series Instance UID."""

    uid: str
    """(0020,000E) *Series Instance UID*."""

    instances: tuple[Instance, ...]
    """In the order of Instance Number."""

    frames: tuple[Frame, ...]
    """Those of the volume; others of the same instances may be another part."""

    part: int = 1
    parts: int = 1
    """Which of how many volumes of the same UID."""

    notes: tuple[str, ...] = ()
    """What was left out or split, in sentences."""

    @property
    def key(self) -> str:
        """Name within the study: the UID, with ``#part`` where the UID holds several volumes."""
        return self.uid if self.parts == 1 else f"{self.uid}#{self.part}"

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the first instance."""
        return self.instances[0].attributes

    @property
    def modality(self) -> str:
        """(0008,0060) *Modality*."""
        return "".join(values(self.attributes, "Modality")[:1])

    @property
    def sop_class_uid(self) -> str:
        """(0008,0016) *SOP Class UID* of most of its instances."""
        return Counter(i.sop_class_uid for i in self.instances).most_common(1)[0][0]

    @property
    def is_image(self) -> bool:
        """Whether it is a projection radiograph, of grey values and not of HU."""
        return self.sop_class_uid in SOP_CLASSES

    @property
    def image_type(self) -> tuple[str, ...]:
        """(0008,0008) *Image Type* in capitals."""
        return tuple(v.upper() for v in values(self.attributes, "ImageType"))

    @property
    def kernel(self) -> KernelClass | None:
        """Class of the convolution kernel; None where the name is not known."""
        return kernel_class(
            values(self.attributes, "ConvolutionKernel"),
            "".join(values(self.attributes, "Manufacturer")[:1]),
        )

    @property
    def thickness_mm(self) -> float | None:
        """Nominal slice thickness of the first frame."""
        return self.frames[0].slice_thickness if self.frames else None

    @property
    def geometry(self) -> SeriesGeometry:
        """Geometry of the volume; raises the SeriesError that says why there is none."""
        if isinstance(self._assessed, SeriesError):
            raise self._assessed
        return self._assessed

    @property
    def refusal(self) -> SeriesError | None:
        """Why the series can be no volume for any check; None where it can."""
        return self._assessed if isinstance(self._assessed, SeriesError) else None

    @cached_property
    def _assessed(self) -> SeriesGeometry | SeriesError:
        try:
            _check_kind(self)
            if self.is_image:
                return image_geometry(self.frames, self.attributes)
            return geometry_of(self.frames)
        except SeriesError as error:
            return error.with_traceback(None)


def group_series(instances: Iterable[Instance]) -> list[Series]:
    """Group instances by Series Instance UID and split what holds several volumes.

    A localizer among the slices is dropped with a note. A series is split by orientation, by
    matrix and pixel spacing, and, where planes lie at the same place, by temporal position or
    acquisition, but only where every part has slices enough to be a volume; otherwise it stays
    whole and its geometry says what is wrong. Of radiographs, each image is a part.

    Parameters
    ----------
    instances : iterable of Instance
        Of one study, in any order.

    Returns
    -------
    list of Series
        In the order of UID and part; independent of the order of `instances`.
    """
    by_uid: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_uid[instance.series_instance_uid].append(instance)
    out: list[Series] = []
    for uid in sorted(by_uid):
        members = sorted(by_uid[uid], key=_instance_order)
        groups, notes = _without_strays(members)
        volumes = [(group, frames) for group in groups for frames in _volumes(group)]
        if len(volumes) > 1:
            kind = "images" if all(i.sop_class_uid in SOP_CLASSES for i in members) else "volumes"
            notes = (*notes, f"The series holds {len(volumes)} {kind}.")
        for part, (group, frames) in enumerate(volumes, start=1):
            uids = {f.sop_instance_uid for f in frames}
            kept = tuple(i for i in group if i.sop_instance_uid in uids) or tuple(group)
            out.append(Series(uid, kept, tuple(frames), part, len(volumes), notes))
    return out


def _instance_order(instance: Instance) -> tuple[float, str]:
    number = values(instance.attributes, "InstanceNumber")
    try:
        return float(number[0]), instance.sop_instance_uid
    except (IndexError, ValueError):
        return float("inf"), instance.sop_instance_uid


def _without_strays(members: list[Instance]) -> tuple[list[list[Instance]], tuple[str, ...]]:
    """Set localizers and objects of other classes apart from CT slices."""
    slices = [i for i in members if i.sop_class_uid in CT_SOP_CLASSES and not _is_localizer(i)]
    if not slices or len(slices) == len(members):
        return [members], ()
    localizers = [i for i in members if i.sop_class_uid in CT_SOP_CLASSES and _is_localizer(i)]
    others = [i for i in members if i.sop_class_uid not in CT_SOP_CLASSES]
    notes = (f"{len(localizers)} localizer(s) in the series were left out.",) if localizers else ()
    return [slices, *([others] if others else [])], notes


def _is_localizer(instance: Instance) -> bool:
    return "LOCALIZER" in (v.upper() for v in values(instance.attributes, "ImageType"))


def _volumes(group: Sequence[Instance]) -> list[list[Frame]]:
    """Split CT frames into volumes; every part has at least MINIMUM_SLICES or nothing is split."""
    parts = [[frame for instance in group for frame in instance.frames]]
    if parts[0] and all(i.sop_class_uid in SOP_CLASSES for i in group):
        return [[frame] for frame in parts[0]]
    if not parts[0] or any(i.sop_class_uid not in CT_SOP_CLASSES for i in group):
        return parts
    orientations: list[np.ndarray[Any, Any]] = []

    def orientation(frame: Frame) -> Hashable:
        if frame.image_orientation_patient is None:
            return None
        cosines = np.asarray(frame.image_orientation_patient)
        for number, seen in enumerate(orientations):
            if np.abs(cosines - seen).max() <= ORIENTATION_TOLERANCE:
                return number
        orientations.append(cosines)
        return len(orientations) - 1

    def matrix(frame: Frame) -> Hashable:
        spacing = frame.pixel_spacing or (0.0, 0.0)
        return frame.rows, frame.columns, *(round(x, _POSITION_DIGITS) for x in spacing)

    by_uid = {i.sop_instance_uid: i.attributes for i in group}

    def attribute(keyword: str) -> Callable[[Frame], Hashable]:
        return lambda frame: tuple(values(by_uid[frame.sop_instance_uid], keyword))

    key: Callable[[Frame], Hashable]
    for key in (orientation, matrix):
        parts = [piece for part in parts for piece in _split(part, key)]
    apart: tuple[Callable[[Frame], Hashable], ...] = (
        lambda frame: frame.temporal_position,
        attribute("AcquisitionNumber"),
    )
    for key in apart:
        parts = [
            piece
            for part in parts
            for piece in (_split(part, key, apart=True) if _coplanar(part) else [part])
        ]
    return parts


def _split(
    frames: list[Frame], key: Callable[[Frame], Hashable], *, apart: bool = False
) -> list[list[Frame]]:
    """Split by a key; `apart` asks that no part has two planes at one place."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    parts = list(groups.values())
    if len(parts) < 2 or min(map(len, parts)) < MINIMUM_SLICES:
        return [frames]
    if apart and any(_coplanar(part) for part in parts):
        return [frames]
    return parts


def _coplanar(frames: list[Frame]) -> bool:
    """Say whether two planes of one orientation lie at the same place along their normal."""
    if any(f.image_position_patient is None or not f.image_orientation_patient for f in frames):
        return False
    cosines = np.asarray(frames[0].image_orientation_patient, dtype=np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    along = np.sort(np.array([f.image_position_patient for f in frames]) @ normal)
    return len(frames) > 1 and bool(np.diff(along).min() < DUPLICATE_TOLERANCE_MM)


def _check_kind(series: Series) -> None:
    """Refuse what is neither acquired CT slices nor a radiograph, whatever its geometry.

    Source: pipelines, "Input QC and series selection".
    """
    sop_class = series.sop_class_uid
    if sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        raise SecondaryCaptureError
    if series.is_image or series.modality in MODALITIES:
        check_image(series.modality, sop_class)
    elif series.modality != "CT" or sop_class not in CT_SOP_CLASSES:
        said = series.modality or "empty"
        raise WrongModalityError(f"Modality is {said} and SOP Class {sop_class}: not a CT image.")
    if "LOCALIZER" in series.image_type:
        raise LocalizerError
    for value in series.image_type:
        if value.replace(" ", "_") in NOT_ACQUIRED:
            raise DerivedImagesError(f"Image Type says {value}: not acquired slices.")
    if not series.frames:
        raise NoSuitableSeriesError("The series has no pixels.")
    for instance in series.instances:
        if "01" in values(instance.attributes, "LossyImageCompression"):
            # An undecodable syntax is named first: it is what the sender can change.
            for frame in instance.frames:
                (check_decodable if series.is_image else check_storable)(frame)
            raise LossyCompressionError
