"""A chosen series becomes a volume in shared memory that may be measured; all of it blocks."""

from __future__ import annotations

from gateway.store.objects import ObjectReader
from gateway.study.attributes import values
from gateway.study.decode import decode_series
from gateway.study.normalise import Normalisation, estimate_normalisation
from gateway.study.quality import Quality, header_quality, pixel_quality
from gateway.study.series import Series
from gateway.triton.shared_memory import SharedVolume


def header_verdict(series: Series) -> Quality:
    """Judge a series by its header, for every check alike.

    Age is not judged here: each check has its own limit (`gateway.screening.patient`).
    """
    return header_quality(series, adult_age_years=0.0, missing_age="accept")


def decode_volume(
    series: Series, volume: SharedVolume, objects: ObjectReader, *, threads: int
) -> None:
    """Decode a series into its region of shared memory.

    Raises
    ------
    SeriesError
        When a slice does not decode.
    """
    decode_series(
        series, series.geometry, objects, volume.array, threads=threads, region=volume.name
    )


def pixel_verdict(series: Series, volume: SharedVolume) -> Quality:
    """Judge a decoded volume."""
    position = "".join(values(series.attributes, "PatientPosition")[:1])
    return pixel_quality(volume.array, series.geometry, patient_position=position)


def scanner_offset(
    volume: SharedVolume, quality: Quality, *, blood_hu: float | None
) -> Normalisation:
    """Estimate how far the scanner's HU are off; it is recorded with the result, not applied.

    Parameters
    ----------
    blood_hu : float or None
        Median HU of the aorta in a native scan.
    """

    def measured(name: str) -> float | None:
        value = quality.measures.get(name)
        return value if isinstance(value, float) else None

    return estimate_normalisation(
        volume.array, air_hu=measured("air_hu"), blood_hu=blood_hu, noise_hu=measured("noise_hu")
    )
