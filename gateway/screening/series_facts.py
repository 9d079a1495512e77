"""What is known of a chosen series beside its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.study.attributes import number, values
from gateway.study.series import Series

UNKNOWN_MODEL = "unknown"
"""Scanner model of a series that names none."""


@dataclass(frozen=True, slots=True)
class FrameName:
    """How a slice of the volume is named in DICOM."""

    sop_instance_uid: str
    number: int
    """1-based; 1 for a single-frame instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """Of the series that a volume was decoded from."""

    series_instance_uid: str = ""
    kvp: float | None = None
    """(0018,0060) *KVP*, kV."""

    thickness_mm: float | None = None
    increment_mm: float | None = None
    """Between the centres of slices."""

    kernel: str | None = None
    """Class of the convolution kernel; None where its name is not known."""

    gated: bool | None = None
    """Whether the scan was triggered by the ECG; None where the header does not say."""

    scanner_model: str = UNKNOWN_MODEL
    """Manufacturer and model name."""

    frames: tuple[FrameName, ...] = ()
    """Of each slice of the volume, in its order."""

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """Of the instances, in the order of the slices."""
        return tuple(dict.fromkeys(frame.sop_instance_uid for frame in self.frames))


def facts_of(series: Series) -> SeriesFacts:
    """Read the facts of a series that has a geometry."""
    geometry = series.geometry
    return SeriesFacts(
        series_instance_uid=series.uid,
        kvp=number(series.attributes, "KVP"),
        thickness_mm=series.thickness_mm,
        increment_mm=round(geometry.increment_mm, 3),
        kernel=series.kernel,
        gated=is_gated(series.attributes),
        scanner_model=scanner_model(series.attributes),
        frames=tuple(
            FrameName(frame.sop_instance_uid, frame.frame_number) for frame in geometry.frames
        ),
    )


def scanner_model(attributes: dict[str, Any]) -> str:
    """Give manufacturer and model name in one way of writing, as thresholds are kept by it."""
    words = [
        " ".join("".join(values(attributes, keyword)[:1]).split())
        for keyword in ("Manufacturer", "ManufacturerModelName")
    ]
    return " ".join(filter(None, words)).upper() or UNKNOWN_MODEL


def is_gated(attributes: dict[str, Any]) -> bool | None:
    """Say whether the ECG triggered the scan; None where the header does not tell.

    (0018,9037) *Cardiac Synchronization Technique*, else what only gated scans have, else words
    of (0018,0022) *Scan Options*, which vendors write as they like.
    """
    technique = "".join(values(attributes, "CardiacSynchronizationTechnique")[:1]).upper()
    if technique:
        return technique != "NONE"
    if any(values(attributes, keyword) for keyword in _ONLY_GATED):
        return True
    options = " ".join(values(attributes, "ScanOptions")).upper().replace("_", " ").split()
    return True if _GATED_WORDS.intersection(options) else None


_ONLY_GATED = ("NominalPercentageOfCardiacPhase", "TriggerTime", "HeartRate")
_GATED_WORDS = frozenset({"ECG", "GATED", "GATING", "CARDIAC", "ECGGATED"})
