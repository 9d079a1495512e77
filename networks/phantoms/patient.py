"""What is drawn per seed before anything is built: who the patient is and how large each organ."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np


def _clipped(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


@dataclass(frozen=True)
class Patient:
    """One patient of the population; lengths in mm, volumes in ml."""

    sex: str
    """M or F."""
    age_years: int
    height_cm: float
    bmi: float
    """kg/m²."""
    arms_up: bool
    size: tuple[float, float, float]
    """Scale of z, y, x against the standard torso."""
    subcutaneous_mm: tuple[float, float, float]
    """Thickness of the fat rim of the abdomen in front, at the side and behind."""
    visceral_fat_mm: float
    """How far visceral fat pushes out the abdominal wall."""
    muscle: float
    """Muscle thickness against the standard."""
    breath_mm: float
    """Shift of the diaphragm and what hangs on it; positive is expiration (higher)."""
    bottom_mm: float
    """Lower end of the field of view, body mm."""
    top_mm: float
    """Upper end of the field of view, body mm."""
    organ_shift_mm: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    organ_rotation_degrees: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    volume_ml: dict[str, float] = field(default_factory=dict)
    pancreas_fat: float = 0.2
    """Fat share of the pancreas, 0 to 0.6."""
    pdff_percent: float = 4.0
    """Proton density fat fraction of the liver."""
    marrow_hu: float = 150.0
    """Mean HU of vertebral marrow; falls with age."""
    table_top_mm: float = 8.0
    """Gap between the back and the table top."""
    fibrosis_stage: int = 0
    """Stage of liver fibrosis, F0 to F4; what follows is its mark on the anatomy."""
    caudate: float = 0.0
    """How far the caudate lobe has grown: 0 normal, about 1 in cirrhosis."""
    right_lobe: float = 1.0
    """Width of the right lobe against a normal one; the left lobe makes up for it in part."""
    portal_vein: float = 1.0
    """Calibre of the portal vein against a normal one."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for truth.json."""
        return asdict(self)


_SHIFTED = {
    # organ: SD of its centre in z, y, x [mm]
    "liver": (9.0, 6.0, 10.0),
    "spleen": (15.0, 9.0, 6.0),
    "kidney_right": (17.0, 8.0, 7.0),
    "kidney_left": (17.0, 8.0, 7.0),
    "stomach": (15.0, 10.0, 14.0),
    "pancreas": (13.0, 7.0, 9.0),
    "gallbladder": (13.0, 9.0, 13.0),
    "heart": (8.0, 5.0, 8.0),
    "colon": (14.0, 8.0, 8.0),
    "bowel": (10.0, 6.0, 10.0),
}


FIBROSIS_STAGES = range(5)
"""F0 to F4."""

_FIBROSIS = {
    # stage: logarithm of the spleen's growth, growth of the caudate, width of the right lobe,
    # calibre of the portal vein, liver volume; each as mean and SD
    1: ((0.03, 0.15), (0.08, 0.12), (0.99, 0.03), (1.02, 0.07), (1.0, 0.05)),
    2: ((0.10, 0.18), (0.22, 0.16), (0.97, 0.04), (1.07, 0.08), (1.0, 0.06)),
    3: ((0.27, 0.22), (0.45, 0.20), (0.93, 0.05), (1.16, 0.10), (0.97, 0.08)),
    4: ((0.58, 0.28), (0.85, 0.25), (0.86, 0.06), (1.32, 0.13), (0.88, 0.11)),
}
"""Chosen so that neighbouring stages overlap and the spleen of F4 is about 1.8 times that of F0."""

LARGEST_SPLEEN_ML = 1100.0


def draw_patient(rng: np.random.Generator, *, fibrosis_stage: int = 0) -> Patient:
    """Draw a patient.

    Parameters
    ----------
    rng : Generator
        Draws everything. With any stage it draws the same patient before fibrosis.
    fibrosis_stage : int
        One of `FIBROSIS_STAGES`: from 1 on the spleen grows, the liver's lobes change.

    Notes
    -----
    Organ volumes follow pipelines.md §6.1 (liver 1,500 ± 350 ml, spleen 180 ± 80, kidney 160 ± 35,
    pancreas 75 ± 25, stomach 50 to 600) and grow with body size.
    """
    if fibrosis_stage not in FIBROSIS_STAGES:
        raise ValueError(f"fibrosis_stage must lie between 0 and 4, not {fibrosis_stage}")
    male = bool(rng.random() < 0.52)
    age = int(np.clip(rng.normal(58, 15), 20, 90))
    height = _clipped(rng, 171 if male else 159, 7, 145, 195)
    bmi = float(np.clip(24.5 * np.exp(rng.normal(0, 0.17)), 16.5, 42))
    frame = _clipped(rng, 1.0, 0.05, 0.88, 1.14)
    tall = height / 170
    size = (
        float(tall**0.9 * _clipped(rng, 1, 0.03, 0.93, 1.07)),
        float(tall**0.7 * frame * _clipped(rng, 1, 0.05, 0.9, 1.13)),
        float(tall**0.7 * frame * _clipped(rng, 1, 0.03, 0.93, 1.07)),
    )
    over = max(bmi - 18.0, 0.0)
    rim = (1.35 if not male else 0.85) * np.exp(rng.normal(0, 0.25))
    subcutaneous = (
        float(3 + 1.55 * over * rim * np.exp(rng.normal(0, 0.2))),
        float(3 + 1.1 * over * rim * np.exp(rng.normal(0, 0.2))),
        float(4 + 1.2 * over * rim * np.exp(rng.normal(0, 0.2))),
    )
    visceral = float(
        np.clip((bmi - 21) * (2.2 if male else 1.3) + rng.normal(0, 5) + (age - 55) * 0.1, -10, 45)
    )
    body = float(np.prod(size)) * (0.85 + 0.15 * bmi / 24.5)
    kidney = _clipped(rng, 160, 30, 80, 240) * body**0.5
    volume = {
        "liver": _clipped(rng, 1530, 320, 850, 2500) * body**0.6,
        "spleen": float(np.clip(180 * np.exp(rng.normal(-0.08, 0.42)), 60, 480)),
        "kidney_right": kidney * _clipped(rng, 0.98, 0.07, 0.8, 1.2),
        "kidney_left": kidney * _clipped(rng, 1.02, 0.07, 0.8, 1.2),
        "pancreas": _clipped(rng, 82 - 0.25 * max(age - 45, 0), 23, 32, 140),
        "stomach": float(50 + 550 * rng.beta(0.9, 1.6)) * min(body, 1.0),
        "gallbladder": float(np.clip(30 * np.exp(rng.normal(0, 0.5)), 8, 90)),
        "heart": _clipped(rng, 660 if male else 560, 90, 400, 950) * body**0.4,
    }
    if rng.random() < 0.08:
        volume["gallbladder"] = 0.0
    shifts = {
        name: (
            float(rng.normal(0, sd[0])),
            float(rng.normal(0, sd[1])),
            float(rng.normal(0, sd[2])),
        )
        for name, sd in _SHIFTED.items()
    }
    turns = {
        name: (float(rng.normal(0, 9)), float(rng.normal(0, 9)), float(rng.normal(0, 9)))
        for name in _SHIFTED
    }
    steatosis = rng.random()
    pdff = (
        rng.uniform(1.5, 6.0)
        if steatosis < 0.62
        else rng.uniform(6.4, 17.0)
        if steatosis < 0.87
        else rng.uniform(17.4, 35.0)
    )
    fat_mean = np.clip(0.12 + 0.006 * (age - 50) + 0.008 * (bmi - 24), 0.04, 0.45)
    patient = Patient(
        sex="M" if male else "F",
        age_years=age,
        height_cm=round(height, 1),
        bmi=round(bmi, 1),
        arms_up=bool(rng.random() < 0.8),
        size=size,
        subcutaneous_mm=subcutaneous,
        visceral_fat_mm=visceral,
        muscle=_clipped(rng, 1.08 if male else 0.9, 0.12, 0.6, 1.4),
        breath_mm=float(np.clip(rng.normal(0, 13), -28, 32)),
        bottom_mm=float(
            rng.uniform(-255, -150) if rng.random() < 0.75 else rng.uniform(-320, -255)
        ),
        top_mm=float(rng.uniform(290, 335)),
        organ_shift_mm=shifts,
        organ_rotation_degrees=turns,
        volume_ml={name: round(float(value), 1) for name, value in volume.items()},
        pancreas_fat=float(np.clip(fat_mean + rng.normal(0, 0.15), 0, 0.6)),
        pdff_percent=round(float(pdff), 1),
        marrow_hu=float(np.clip(248 - 2.2 * age + rng.normal(0, 28), 50, 290)),
        table_top_mm=float(rng.uniform(2, 16)),
    )
    return _with_fibrosis(patient, fibrosis_stage, rng) if fibrosis_stage else patient


def _with_fibrosis(patient: Patient, stage: int, rng: np.random.Generator) -> Patient:
    """Draw what a stage of fibrosis does to the anatomy."""
    spleen, caudate, right, portal, volume = (
        mean + sd * float(np.clip(rng.standard_normal(), -2.2, 2.2))
        for mean, sd in _FIBROSIS[stage]
    )
    volumes = dict(patient.volume_ml)
    volumes["spleen"] = round(min(volumes["spleen"] * np.exp(spleen), LARGEST_SPLEEN_ML), 1)
    volumes["liver"] = round(volumes["liver"] * volume, 1)
    return replace(
        patient,
        volume_ml=volumes,
        fibrosis_stage=stage,
        caudate=round(max(caudate, 0.0), 3),
        right_lobe=round(right, 3),
        portal_vein=round(max(portal, 0.9), 3),
    )
