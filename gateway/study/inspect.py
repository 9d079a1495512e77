"""What a study holds, what would be screened, and why: no inference, no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.exceptions import SeriesError
from gateway.instance import Instance
from gateway.settings import ScreeningSettings, Settings
from gateway.store.objects import ObjectReader
from gateway.study.attributes import age_years, contrast_hint, values
from gateway.study.choice import Choice, Requirement, choose_series
from gateway.study.decode import decode_series
from gateway.study.flags import Quality
from gateway.study.normalise import estimate_normalisation
from gateway.study.quality import header_quality, pixel_quality
from gateway.study.series import Series, group_series
from gateway.study.volume import Volume


def inspect_study(
    instances: Sequence[Instance],
    reader: ObjectReader,
    requirements: Mapping[str, Requirement],
    *,
    settings: Settings | None = None,
) -> tuple[dict[str, Any], Volume | None]:
    """Inspect one study.

    Parameters
    ----------
    instances : sequence of Instance
        All of it.
    reader : ObjectReader
        Opens the objects that hold the pixels.
    requirements : mapping
        Check → what it asks of a series.
    settings : Settings, optional
        Clinical policy and decode threads.

    Returns
    -------
    report : dict
        ``series``, ``chosen``, ``geometry``, ``quality`` and ``checks``, plain values.
    volume : Volume or None
        The chosen series in HU; None where none is fit or it does not decode.
    """
    every = group_series(instances)
    choices = {check: choose_series(every, need) for check, need in requirements.items()}
    overall = _overall(every, choices)
    report: dict[str, Any] = {
        "series": [_describe(one, overall) for one in every],
        "chosen": None,
        "geometry": None,
        "quality": None,
        "checks": {
            check: _fit(choice, requirements[check], settings) for check, choice in choices.items()
        },
    }
    if (series := overall.chosen) is None:
        return report, None
    report["chosen"] = {
        "series_instance_uid": series.uid,
        "key": series.key,
        "why": overall.explanation,
        "runner_up": overall.runner_up.key if overall.runner_up else None,
    }
    report["geometry"] = series.geometry.to_json()
    volume, quality, error = _measure(series, instances, reader, settings)
    report["quality"] = quality
    if error is not None:
        for check, choice in choices.items():
            if choice.chosen is series and report["checks"][check]["fit"] == "fit":
                report["checks"][check] |= {
                    "fit": "unfit",
                    "code": error.code,
                    "reason": str(error),
                }
    return report, volume


def inspect(
    instances: Sequence[Instance],
    reader: ObjectReader,
    requirements: Mapping[str, Requirement],
    *,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Give the report of `inspect_study` alone."""
    return inspect_study(instances, reader, requirements, settings=settings)[0]


def _overall(series: Sequence[Series], choices: Mapping[str, Choice]) -> Choice:
    """Take the choice that most checks make; the general one where there are no checks."""
    made = [choice for choice in choices.values() if choice.chosen is not None]
    if not made:
        lenient = Requirement(kernels=("soft", "standard", "unknown", "sharp"))
        return choose_series(series, lenient)
    keys = [choice.chosen.key for choice in made if choice.chosen]
    return max(made, key=lambda c: (keys.count(c.chosen.key if c.chosen else ""), -made.index(c)))


def _measure(
    series: Series, study: Sequence[Instance], reader: ObjectReader, settings: Settings | None
) -> tuple[Volume | None, dict[str, Any], SeriesError | None]:
    """Decode and judge; give the volume, the verdict as plain values, and what refuses it."""
    policy = settings.screening if settings else ScreeningSettings()
    quality = header_quality(
        series,
        study=study,
        adult_age_years=0.0 if series.is_image else policy.adult_age_years,
        missing_age=policy.missing_age,
    )
    geometry = series.geometry
    array = np.empty(geometry.shape, np.int16)
    threads = settings.worker.decode_threads if settings else 0
    try:
        decode_series(series, geometry, reader, array, threads=threads)
    except SeriesError as error:
        return None, _quality_json(quality, error), error
    if series.is_image:
        volume = Volume(array=array, affine=geometry.affine)
        return volume, _quality_json(quality, quality.error()), quality.error()
    position = "".join(values(series.attributes, "PatientPosition")[:1])
    quality += pixel_quality(array, geometry, patient_position=position)
    air, noise = (quality.measures[name] for name in ("air_hu", "noise_hu"))
    normalisation = estimate_normalisation(
        array,
        air_hu=air if isinstance(air, float) else None,
        noise_hu=noise if isinstance(noise, float) else None,
    )
    verdict = _quality_json(quality, quality.error())
    verdict["normalisation"] = normalisation.to_json()
    return Volume(array=array, affine=geometry.affine), verdict, quality.error()


def _quality_json(quality: Quality, error: SeriesError | None) -> dict[str, Any]:
    refused = {"code": error.code, "message": str(error)} if error else None
    return {**quality.to_json(), "refused": refused}


def _describe(series: Series, overall: Choice) -> dict[str, Any]:
    refusal = overall.refused.get(series.key)
    first = series.attributes
    return {
        "series_instance_uid": series.uid,
        "key": series.key,
        "description": "".join(values(first, "SeriesDescription")[:1]),
        "modality": series.modality,
        "manufacturer": "".join(values(first, "Manufacturer")[:1]),
        "image_type": list(series.image_type),
        "kernel": "\\".join(values(first, "ConvolutionKernel")) or None,
        "kernel_class": series.kernel,
        "thickness_mm": series.thickness_mm,
        "slices": len(series.frames),
        "transfer_syntax_uid": series.instances[0].transfer_syntax_uid,
        "contrast_hint": contrast_hint(first),
        "usable": refusal is None,
        "code": refusal.code if refusal else None,
        "reason": refusal.message if refusal else None,
        "score": overall.scores.get(series.key),
        "notes": list(series.notes),
    }


def _fit(choice: Choice, requirement: Requirement, settings: Settings | None) -> dict[str, Any]:
    """Say which series a check would take, and what it asks for."""
    asks = {
        "contrast": list(requirement.contrast),
        "kernels": list(requirement.kernels),
        "max_thickness_mm": requirement.max_thickness_mm,
        "min_age_years": requirement.min_age_years,
    }
    if choice.chosen is None:
        refusals = {refusal.code: refusal.message for refusal in choice.refused.values()}
        code, reason = (
            next(iter(refusals.items()))
            if len(refusals) == 1
            else ("series.none_suitable", str(choice.error()))
        )
        return {"series": None, "fit": "unfit", "code": code, "reason": reason, "asks": asks}
    series = choice.chosen
    verdict = {"series": series.key, "fit": "fit", "code": None, "reason": choice.explanation}
    adult = requirement.min_age_years
    if settings and adult >= settings.screening.adult_age_years:
        adult = max(adult, float(settings.screening.adult_age_years))
    age = age_years(series.attributes)
    if age is not None and age < adult:
        verdict |= {
            "fit": "unfit",
            "code": "series.patient_too_young",
            "reason": f"The patient is {age:g} years old, younger than {adult:g}.",
        }
    return {**verdict, "asks": asks}
