"""Quality control from the index alone: patient, identity, scan and spacing."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.instance import Instance
from gateway.study.attributes import (
    age_years,
    body_part_of,
    contrast_hint,
    number,
    side_of,
    values,
)
from gateway.study.flags import Flag, Quality
from gateway.study.geometry import SPREAD_WARNING_MM, SeriesGeometry
from gateway.study.series import Series

ADULT_AGE_YEARS = 18.0
"""Younger patients are refused: no check was made for children. Source: pipelines, "Input QC"."""

NOMINAL_KVP = 120.0
"""Tube voltage that HU rules are stated for."""

THICK_SLICES_MM = 5.0
"""Thicker slices are recorded; each check has its own limit."""

GAP_TOLERANCE_MM = 0.1
"""An increment larger than the thickness by more leaves tissue between slices unseen."""

PATIENT_KEYWORDS = ("PatientID", "PatientBirthDate")
"""What tells two patients apart. Names differ in spelling between the objects of one patient."""


def header_quality(
    series: Series,
    *,
    study: Iterable[Instance] | None = None,
    adult_age_years: float = ADULT_AGE_YEARS,
    missing_age: str = "accept",
) -> Quality:
    """Judge a series by its header.

    Parameters
    ----------
    series : Series
        With a geometry; one that has none was refused before.
    study : iterable of Instance, optional
        All of the study, to see whether it holds a second patient; the series' own by default.
    adult_age_years : float
        Younger patients are refused.
    missing_age : {'accept', 'refuse'}
        The site's policy for patients of unknown age.

    Returns
    -------
    Quality
    """
    geometry, attributes = series.geometry, series.attributes
    age = age_years(attributes)
    flags = [*_identity(series, study), *_age(age, adult_age_years, missing_age)]
    if series.is_image:
        flags += [*_image(series), *(Flag("series_note", "note", note) for note in series.notes)]
        return Quality(flags=tuple(flags), measures=_image_measures(series, age))
    flags += _spacing(geometry)
    kvp = number(attributes, "KVP")
    if kvp != NOMINAL_KVP:
        said = "is not given" if kvp is None else f"is {kvp:g}"
        flags.append(Flag("kvp", "note", f"KVP {said}, not {NOMINAL_KVP:g}.", kvp))
    if (hint := contrast_hint(attributes)) is not None:
        message = f"{hint}; the phase is told from organ HU."
        flags.append(Flag("contrast_header", "warn", message))
    if series.kernel is None:
        name = "\\".join(values(attributes, "ConvolutionKernel"))
        message = "The convolution kernel is not known by name."
        flags.append(Flag("kernel_unknown", "note", message, name or None))
    flags += [Flag("series_note", "note", note) for note in series.notes]
    return Quality(
        flags=tuple(flags),
        measures={
            "age_years": age,
            "kvp": kvp,
            "kernel_class": series.kernel,
            "thickness_mm": geometry.thickness_mm,
            "increment_mm": round(geometry.increment_mm, 4),
            "increment_spread_mm": round(geometry.increment_spread_mm, 4),
        },
    )


def _identity(series: Series, study: Iterable[Instance] | None) -> Iterable[Flag]:
    instances = list(study) if study is not None else series.instances
    for keyword in PATIENT_KEYWORDS:
        found = {"".join(values(i.attributes, keyword)[:1]) for i in instances} - {""}
        if len(found) > 1:
            message = f"The images have {len(found)} different values of {keyword}."
            yield Flag("identity_conflict", "refuse", message)
            break
    spaces = {"".join(values(i.attributes, "FrameOfReferenceUID")[:1]) for i in series.instances}
    if len(spaces - {""}) > 1:
        message = f"Slices lie in {len(spaces - {''})} different frames of reference."
        yield Flag("mixed_frame_of_reference", "refuse", message)


def _age(age: float | None, adult: float, missing: str) -> Iterable[Flag]:
    if age is None:
        severe = missing == "refuse"
        message = "The patient's age is not known."
        yield Flag("age_unknown", "refuse" if severe else "note", message)
    elif age < adult:
        message = f"The patient is {age:g} years old, younger than {adult:g}."
        yield Flag("patient_too_young", "refuse", message, round(age, 2))


def _spacing(geometry: SeriesGeometry) -> Iterable[Flag]:
    thickness, increment = geometry.thickness_mm, geometry.increment_mm
    if thickness is None or thickness <= 0:
        yield Flag("thickness_missing", "note", "Slice Thickness is not given.")
    elif increment > thickness + GAP_TOLERANCE_MM:
        message = f"Slices of {thickness:g} mm lie {increment:g} mm apart: there are gaps."
        yield Flag("slice_gap", "warn", message, round(increment - thickness, 3))
    if max(thickness or 0.0, increment) > THICK_SLICES_MM:
        thick = round(max(thickness or 0.0, increment), 3)
        message = f"Slices are thicker than {THICK_SLICES_MM:g} mm."
        yield Flag("thick_slices", "warn", message, thick)
    if geometry.increment_spread_mm > SPREAD_WARNING_MM:
        message = f"The increment varies by {geometry.increment_spread_mm:.2f} mm."
        value = round(geometry.increment_spread_mm, 3)
        yield Flag("increment_spread", "warn", message, value)
    if geometry.tilt_corrected:
        message = f"A gantry tilt of {geometry.shear_degrees:.1f}° was corrected."
        yield Flag("tilt_corrected", "warn", message, round(geometry.shear_degrees, 2))
    if geometry.orientation != "axial":
        message = f"The slices were {geometry.orientation}."
        yield Flag("not_axial", "note", message, geometry.orientation)


def _image(series: Series) -> Iterable[Flag]:
    """Record of a radiograph what its header leaves open."""
    if not values(series.attributes, "BodyPartExamined"):
        yield Flag("body_part_unknown", "note", "Body Part Examined is not given.")
    if not side_of(series.attributes):
        yield Flag("side_unknown", "note", "The side is not given.")
    if series.frames[0].pixel_spacing is None:
        message = "Pixel Spacing is not given; the detector's is used, so sizes are magnified."
        yield Flag("detector_spacing", "note", message, round(series.geometry.spacing_mm[1], 4))


def _image_measures(series: Series, age: float | None) -> dict[str, float | str | None]:
    return {
        "age_years": age,
        "kvp": number(series.attributes, "KVP"),
        "body_part": body_part_of(series.attributes) or None,
        "side": side_of(series.attributes) or None,
        "row_spacing_mm": round(series.geometry.spacing_mm[1], 4),
        "column_spacing_mm": round(series.geometry.spacing_mm[2], 4),
    }
