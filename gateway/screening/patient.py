"""A study's patient, and whether he may be screened at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.instance import Instance
from gateway.screening.clinical import numbers
from gateway.screening.manifest import Manifest
from gateway.settings import ScreeningSettings
from gateway.study.attributes import age_months, age_years, values
from gateway.study.header_quality import PATIENT_KEYWORDS

ADULT_YEARS = 18
"""From here on a manifest's lowest age means adults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What the image headers say of the patient."""

    age_years: float | None = None
    """At the study."""

    sex: str | None = None
    """``F`` or ``M``; None for any other value."""

    age_months: float | None = None
    """At the study; None where only whole years are known."""


def patient_of(instances: Sequence[Instance]) -> Patient:
    """Read the patient of a study."""
    attributes = instances[0].attributes
    sex = "".join(values(attributes, "PatientSex")[:1]).upper()
    return Patient(
        age_years=age_years(attributes),
        sex=sex if sex in ("F", "M") else None,
        age_months=age_months(attributes),
    )


def known_of(patient: Patient) -> dict[str, float]:
    """Give what the headers say as clinical inputs, for what a partner did not send."""
    kept: dict[str, object] = {
        "age_years": patient.age_years,
        "age_months": patient.age_months,
        "sex": patient.sex,
    }
    return numbers({name: value for name, value in kept.items() if value is not None})


def identity_reason(instances: Sequence[Instance]) -> str | None:
    """Refuse a study that holds more than one patient; empty values contradict nothing."""
    for keyword in PATIENT_KEYWORDS:
        found = {"".join(values(instance.attributes, keyword)[:1]) for instance in instances}
        if len(found - {""}) > 1:
            return "identity_conflict"
    return None


def age_reason(
    instances: Sequence[Instance], manifest: Manifest, policy: ScreeningSettings
) -> str | None:
    """Refuse a patient who is too young or too old for a check.

    The site's adult age holds for checks that ask for adults. A patient of unknown age
    follows the site's policy.
    """
    lowest = manifest.needs.min_age_years
    highest = manifest.needs.max_age_years
    if not lowest and highest is None:
        return None
    lowest = max(lowest, policy.adult_age_years) if lowest >= ADULT_YEARS else lowest
    age = age_years(instances[0].attributes)
    if age is None:
        return "age_unknown" if policy.missing_age == "refuse" else None
    if age < lowest:
        return "age_under_18"
    if highest is not None and age > highest:
        return "age_over_limit"
    return None
