"""What is known of a patient beside the images: blood values, build and a report, for a liver.

Chosen so that the blood rules tell stages apart about as well as they do in life: FIB-4 and APRI
with an AUC of about .75 to .85. Synthetic; no patient's values were used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from networks.phantoms.patient import Patient
from networks.phantoms.report import draw_report

UNITS: Mapping[str, str] = {
    "age_years": "a",
    "bmi": "kg/m2",
    "ast": "U/L",
    "alt": "U/L",
    "ggt": "U/L",
    "ast_upper_limit": "U/L",
    "platelets": "10*9/L",
    "albumin": "g/L",
    "glucose": "mmol/L",
}
"""Number of a chart → its unit, UCUM: the default units of docs/clinical.md."""

UPPER_LIMITS_AST = (35.0, 37.0, 40.0)
"""Of laboratories, U/L."""

SEVERITY_SD = 0.7
"""Scatter of what blood shows about the stage, in stages."""

ENZYME_SD = 0.34
"""Of the logarithm of AST and ALT, in common: whatever else hurts liver cells."""

PLATELETS_FALL = (0.0, 0.02, 0.07, 0.17, 0.36)
"""Fall of the logarithm of platelets by stage, without what a large spleen takes."""

SPLEEN_POWER = -0.22
"""Platelets go with this power of spleen volume against a middle one."""

MIDDLE_SPLEEN_ML = 170.0

ALBUMIN_FALL = (0.0, 0.2, 0.7, 2.0, 5.5)
"""g/L by stage."""

MISSING = {
    ("ast", "alt", "ggt", "albumin", "ast_upper_limit"): 0.12,
    ("platelets",): 0.12,
    ("ggt",): 0.25,
    ("albumin",): 0.1,
    ("glucose",): 0.2,
    ("bmi",): 0.3,
    ("ast_upper_limit",): 0.3,
}
"""Chance that what is measured, or asked, together is missing."""

DIABETES_UNKNOWN = 0.25


@dataclass(frozen=True, slots=True)
class Chart:
    """Clinical inputs of a patient.

    Attributes
    ----------
    values : dict
        Number of `UNITS` → value in its unit; what is missing is left out.
    sex : str
        M or F.
    diabetes : bool or None
        None where nobody says.
    report : str
        Of an earlier image; empty where there is none.
    """

    values: dict[str, float]
    sex: str
    diabetes: bool | None
    report: str

    def inputs(self) -> dict[str, Any]:
        """Return what ``onescan screen --clinical`` reads, each number with its unit."""
        told: dict[str, Any] = {
            name: {"value": value, "unit": UNITS[name]} for name, value in self.values.items()
        }
        told["sex"] = self.sex
        if self.diabetes is not None:
            told["diabetes"] = self.diabetes
        if self.report:
            told["report"] = self.report
        return told


def draw_chart(
    rng: np.random.Generator, patient: Patient, pdff_percent: float, stage: int
) -> Chart:
    """Draw clinical inputs that go with fat and fibrosis, with the scatter of life.

    Parameters
    ----------
    rng : Generator
        Draws everything.
    patient : Patient
        Age, sex, build and spleen.
    pdff_percent : float
        Proton density fat fraction of the liver.
    stage : int
        Of fibrosis, 0 to 4.
    """
    severity = float(np.clip(stage + rng.normal(0, SEVERITY_SD), 0, 4))
    diabetic = bool(rng.random() < _diabetes_chance(patient, pdff_percent, severity))
    values = _values(rng, patient, pdff_percent, severity, diabetic)
    for names, chance in MISSING.items():
        if rng.random() < chance:
            for name in names:
                values.pop(name, None)
    told = bool(rng.random() >= DIABETES_UNKNOWN)
    report = draw_report(rng, patient, pdff_percent, stage)
    return Chart(values, patient.sex, diabetic if told else None, report)


def _values(
    rng: np.random.Generator,
    patient: Patient,
    pdff_percent: float,
    severity: float,
    diabetic: bool,
) -> dict[str, float]:
    """Draw every number; rounded as laboratories print them."""
    male = patient.sex == "M"
    hurt = rng.normal(0, ENZYME_SD)
    ast = math.log(22) + 0.1 * male + 0.008 * pdff_percent + 0.13 * severity
    alt = math.log(20) + 0.2 * male + 0.02 * pdff_percent + 0.04 * severity
    ggt = math.log(22) + 0.3 * male + 0.016 * pdff_percent + 0.17 * severity
    stages = range(len(PLATELETS_FALL))
    spleen = math.log(max(patient.volume_ml["spleen"], 20.0) / MIDDLE_SPLEEN_ML)
    platelets = (
        math.log(238)
        - 0.08 * male
        - 0.0015 * (patient.age_years - 50)
        - float(np.interp(severity, stages, PLATELETS_FALL))
        + SPLEEN_POWER * spleen
    )
    albumin = 45.0 - 0.06 * (patient.age_years - 50)
    albumin -= float(np.interp(severity, stages, ALBUMIN_FALL))
    glucose = math.log(5.1) + 0.004 * pdff_percent + 0.008 * (patient.bmi - 24)
    if diabetic:
        glucose += abs(rng.normal(0.28, 0.2))
    drawn = {
        "age_years": float(patient.age_years),
        "bmi": patient.bmi,
        "ast": round(math.exp(ast + hurt + rng.normal(0, 0.17))),
        "alt": round(math.exp(alt + 1.1 * hurt + rng.normal(0, 0.25))),
        "ggt": round(math.exp(ggt + 0.6 * hurt + rng.normal(0, 0.5))),
        "ast_upper_limit": float(rng.choice(UPPER_LIMITS_AST)),
        "platelets": round(math.exp(platelets + rng.normal(0, 0.2))),
        "albumin": round(albumin + rng.normal(0, 2.8), 1),
        "glucose": round(math.exp(glucose + rng.normal(0, 0.08)), 1),
    }
    low_high = {"ast": (8, 900), "alt": (5, 900), "ggt": (5, 1500), "platelets": (20, 700),
                "albumin": (18, 55), "glucose": (3.2, 30)}  # fmt: skip
    return {
        name: float(np.clip(value, *low_high[name])) if name in low_high else float(value)
        for name, value in drawn.items()
    }


def _diabetes_chance(patient: Patient, pdff_percent: float, severity: float) -> float:
    odds = (
        -2.6
        + 0.035 * (patient.age_years - 55)
        + 0.07 * (patient.bmi - 25)
        + 0.03 * pdff_percent
        + 0.2 * severity
    )
    return 1 / (1 + math.exp(-odds))
