"""Hounsfield units of every tissue, per patient and contrast phase.

Native values sit around those of real native scans (liver 47, spleen 35, aorta 42, muscle 25–39,
vertebra 109–119, fat −100); the phases follow pipelines.md §6.4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from networks.phantoms.patient import Patient
from networks.phantoms.tissue import TISSUE_COUNT, Tissue

PHASES = ("native", "arterial", "venous", "delayed")
"""Contrast phases a phantom can be in."""

LIVER_HU_AT_ZERO_FAT = 65.9
"""HU of a liver without fat at 120 kVp (pipelines.md §6.3)."""

LIVER_HU_PER_PERCENT = -1.72
"""Change of liver HU per percent of proton density fat fraction at 120 kVp."""

_NATIVE: dict[Tissue, tuple[float, float, float]] = {
    # mean HU, SD between patients, SD of the texture within
    Tissue.AIR: (-1000, 0, 0),
    Tissue.TABLE_SHELL: (-90, 60, 8),
    Tissue.TABLE_FOAM: (-920, 30, 6),
    Tissue.SKIN: (5, 15, 12),
    Tissue.SUBCUTANEOUS_FAT: (-104, 4, 5),
    Tissue.VISCERAL_FAT: (-101, 5, 11),
    Tissue.MEDIASTINAL_FAT: (-95, 6, 10),
    Tissue.PERICARDIAL_FAT: (-95, 6, 9),
    Tissue.MUSCLE: (44, 6, 13),
    Tissue.PARASPINAL_MUSCLE: (38, 8, 15),
    Tissue.PSOAS: (46, 6, 8),
    Tissue.DIAPHRAGM: (38, 6, 7),
    Tissue.INTERMUSCULAR_FAT: (-72, 12, 14),
    Tissue.BREAST_GLAND: (15, 12, 20),
    Tissue.LUNG_RIGHT: (-850, 25, 25),
    Tissue.LUNG_LEFT: (-850, 25, 25),
    Tissue.LUNG_RIGHT_VESSEL: (30, 5, 8),
    Tissue.LUNG_LEFT_VESSEL: (30, 5, 8),
    Tissue.AIRWAY_LUMEN: (-985, 8, 4),
    Tissue.AIRWAY_WALL: (20, 10, 8),
    Tissue.OESOPHAGUS: (32, 7, 12),
    Tissue.RIGHT_HEART: (40, 0, 4),
    Tissue.LEFT_HEART: (41, 0, 4),
    Tissue.MYOCARDIUM: (46, 4, 5),
    Tissue.PULMONARY_ARTERY: (40, 0, 4),
    Tissue.CENTRAL_VEIN: (39, 0, 4),
    Tissue.AORTA: (42, 0, 4),
    Tissue.ARTERY: (42, 0, 5),
    Tissue.INFERIOR_VENA_CAVA: (40, 0, 5),
    Tissue.PORTAL_VEIN: (40, 0, 4),
    Tissue.MESENTERIC_VESSEL: (38, 0, 6),
    Tissue.LIVER: (60, 0, 4),
    Tissue.LIVER_VESSEL: (41, 0, 4),
    Tissue.GALLBLADDER: (9, 7, 4),
    Tissue.SPLEEN: (47, 5, 4),
    Tissue.KIDNEY_RIGHT_CORTEX: (33, 3, 5),
    Tissue.KIDNEY_RIGHT_MEDULLA: (31, 3, 5),
    Tissue.KIDNEY_LEFT_CORTEX: (33, 3, 5),
    Tissue.KIDNEY_LEFT_MEDULLA: (31, 3, 5),
    Tissue.RENAL_SINUS: (-80, 15, 20),
    Tissue.RENAL_PELVIS: (6, 5, 5),
    Tissue.ADRENAL: (16, 12, 6),
    Tissue.PANCREAS: (42, 4, 7),
    Tissue.STOMACH_WALL: (38, 5, 7),
    Tissue.STOMACH_FLUID: (8, 8, 5),
    Tissue.STOMACH_FOOD: (35, 22, 28),
    Tissue.STOMACH_GAS: (-990, 5, 5),
    Tissue.BOWEL_WALL: (36, 6, 8),
    Tissue.BOWEL_FLUID: (20, 9, 11),
    Tissue.BOWEL_GAS: (-985, 6, 6),
    Tissue.STOOL: (-10, 40, 85),
    Tissue.BLADDER: (5, 4, 3),
    Tissue.VERTEBRA_CORTEX: (320, 40, 60),
    Tissue.VERTEBRA_MARROW: (140, 0, 32),
    Tissue.DISC: (75, 10, 8),
    Tissue.SPINAL_CANAL: (28, 6, 8),
    Tissue.BONE_CORTEX: (420, 60, 60),
    Tissue.BONE_MARROW: (110, 0, 35),
    Tissue.COSTAL_CARTILAGE: (95, 14, 14),
    Tissue.UTERUS_OR_PROSTATE: (42, 5, 6),
}

_BLOOD = (
    Tissue.RIGHT_HEART,
    Tissue.LEFT_HEART,
    Tissue.PULMONARY_ARTERY,
    Tissue.CENTRAL_VEIN,
    Tissue.AORTA,
    Tissue.ARTERY,
    Tissue.INFERIOR_VENA_CAVA,
    Tissue.PORTAL_VEIN,
    Tissue.MESENTERIC_VESSEL,
    Tissue.LIVER_VESSEL,
    Tissue.LUNG_RIGHT_VESSEL,
    Tissue.LUNG_LEFT_VESSEL,
)

_CORTEX = (Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_LEFT_CORTEX)
_MEDULLA = (Tissue.KIDNEY_RIGHT_MEDULLA, Tissue.KIDNEY_LEFT_MEDULLA)

_RISE: dict[str, dict[tuple[Tissue, ...], tuple[float, float]]] = {
    # what contrast adds to the native HU: lowest, highest
    "arterial": {
        (Tissue.AORTA, Tissue.ARTERY, Tissue.LEFT_HEART): (170, 350),
        (Tissue.RIGHT_HEART, Tissue.PULMONARY_ARTERY): (150, 330),
        (Tissue.LUNG_RIGHT_VESSEL, Tissue.LUNG_LEFT_VESSEL): (150, 300),
        (Tissue.CENTRAL_VEIN,): (20, 120),
        (Tissue.INFERIOR_VENA_CAVA,): (5, 60),
        (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VESSEL): (10, 70),
        (Tissue.LIVER,): (5, 22),
        (Tissue.LIVER_VESSEL,): (5, 40),
        (Tissue.SPLEEN,): (45, 95),
        _CORTEX: (100, 170),
        _MEDULLA: (15, 50),
        (Tissue.PANCREAS,): (35, 70),
        (Tissue.MYOCARDIUM,): (40, 80),
        (Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (15, 50),
        (Tissue.ADRENAL,): (20, 50),
        (Tissue.MUSCLE, Tissue.PARASPINAL_MUSCLE, Tissue.PSOAS, Tissue.DIAPHRAGM): (3, 12),
    },
    "venous": {
        (Tissue.AORTA, Tissue.ARTERY, Tissue.LEFT_HEART): (90, 138),
        (Tissue.RIGHT_HEART, Tissue.PULMONARY_ARTERY): (85, 135),
        (Tissue.LUNG_RIGHT_VESSEL, Tissue.LUNG_LEFT_VESSEL): (85, 130),
        (Tissue.CENTRAL_VEIN, Tissue.INFERIOR_VENA_CAVA): (55, 120),
        (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VESSEL): (95, 145),
        (Tissue.LIVER,): (35, 55),
        (Tissue.LIVER_VESSEL,): (90, 140),
        (Tissue.SPLEEN,): (55, 80),
        (*_CORTEX, *_MEDULLA): (120, 185),
        (Tissue.PANCREAS,): (40, 65),
        (Tissue.MYOCARDIUM,): (45, 75),
        (Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (30, 60),
        (Tissue.ADRENAL,): (30, 55),
        (Tissue.UTERUS_OR_PROSTATE,): (30, 60),
        (Tissue.MUSCLE, Tissue.PARASPINAL_MUSCLE, Tissue.PSOAS, Tissue.DIAPHRAGM): (12, 25),
    },
    "delayed": {
        (Tissue.AORTA, Tissue.ARTERY, Tissue.LEFT_HEART): (22, 46),
        (Tissue.RIGHT_HEART, Tissue.PULMONARY_ARTERY): (22, 46),
        (Tissue.LUNG_RIGHT_VESSEL, Tissue.LUNG_LEFT_VESSEL): (22, 46),
        (Tissue.CENTRAL_VEIN, Tissue.INFERIOR_VENA_CAVA): (22, 46),
        (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VESSEL): (22, 46),
        (Tissue.LIVER,): (18, 32),
        (Tissue.LIVER_VESSEL,): (24, 46),
        (Tissue.SPLEEN,): (22, 42),
        (*_CORTEX, *_MEDULLA): (50, 86),
        (Tissue.RENAL_PELVIS,): (260, 800),
        (Tissue.BLADDER,): (60, 400),
        (Tissue.PANCREAS,): (18, 35),
        (Tissue.MYOCARDIUM,): (25, 45),
        (Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (20, 40),
        (Tissue.MUSCLE, Tissue.PARASPINAL_MUSCLE, Tissue.PSOAS, Tissue.DIAPHRAGM): (10, 20),
    },
}


class TissueHu(NamedTuple):
    """Hounsfield units by tissue value, as drawn for one patient and one phase."""

    mean: npt.NDArray[np.float32]
    """(TISSUE_COUNT,) HU."""

    sd: npt.NDArray[np.float32]
    """(TISSUE_COUNT,) SD in HU of the texture (correlated over about 3 mm)."""


def liver_hu(pdff_percent: float, *, kvp: float = 120) -> float:
    """Return the native HU of a liver of a given proton density fat fraction.

    Parameters
    ----------
    pdff_percent : float
        0 to 60.
    kvp : float
        Tube voltage; fat darkens the liver more at a lower one (about 0.45 % per kV, proposed).

    Notes
    -----
    65.9 − 1.72 p at 120 kVp: 3, 12, 20 and 30 % give 60.7, 45.3, 31.5 and 14.3 HU
    (pipelines.md §6.3).
    """
    slope = LIVER_HU_PER_PERCENT * (1 + 0.0045 * (120 - kvp))
    return LIVER_HU_AT_ZERO_FAT + slope * pdff_percent


def tissue_hu(
    patient: Patient,
    rng: np.random.Generator,
    *,
    phase: str = "native",
    pdff_percent: float | None = None,
    kvp: float = 120,
) -> TissueHu:
    """Draw the HU of every tissue of one patient.

    Parameters
    ----------
    patient : Patient
        Gives age, marrow density, pancreatic and liver fat.
    rng : Generator
        Draws the differences between patients.
    phase : str
        One of `PHASES`.
    pdff_percent : float, optional
        Liver fat fraction; the patient's own by default.
    kvp : float
        Tube voltage; bone and contrast brighten at a lower one.

    Raises
    ------
    ValueError
        For an unknown phase or a fat fraction outside 0 to 60 %.
    """
    if phase not in PHASES:
        raise ValueError(f"phase must be one of {', '.join(PHASES)}, not {phase!r}")
    pdff = patient.pdff_percent if pdff_percent is None else float(pdff_percent)
    if not 0 <= pdff <= 60:
        raise ValueError(f"pdff_percent must lie between 0 and 60, not {pdff}")
    mean = np.zeros(TISSUE_COUNT)
    sd = np.zeros(TISSUE_COUNT)
    for tissue, (centre, between, within) in _NATIVE.items():
        mean[tissue] = centre + between * float(np.clip(rng.standard_normal(), -2.5, 2.5))
        sd[tissue] = within
    for right, left in ((14, 15), (16, 17), (35, 37), (36, 38)):
        mean[left] = mean[right]
    blood = float(np.clip(rng.normal(0, 4.5), -10, 9))
    for tissue in _BLOOD:
        mean[tissue] += blood
    # lean and aged muscle differ by the fat within
    myosteatosis = 0.22 * (patient.age_years - 55) + 0.45 * (patient.bmi - 24.5)
    for tissue in (Tissue.MUSCLE, Tissue.PARASPINAL_MUSCLE, Tissue.PSOAS):
        mean[tissue] -= np.clip(myosteatosis, -8, 26) * (1.3 if tissue == 9 else 0.8)
    mean[Tissue.VERTEBRA_MARROW] = patient.marrow_hu
    mean[Tissue.BONE_MARROW] = 0.62 * patient.marrow_hu
    mean[Tissue.VERTEBRA_CORTEX] += 0.6 * (patient.marrow_hu - 140)
    mean[Tissue.BONE_CORTEX] += 0.5 * (patient.marrow_hu - 140)
    mean[Tissue.PANCREAS] += 3 - patient.pancreas_fat * 90
    sd[Tissue.PANCREAS] += 34 * patient.pancreas_fat
    mean[Tissue.LIVER] = liver_hu(pdff, kvp=kvp)
    rise = np.zeros(TISSUE_COUNT)
    for tissues, (low, high) in _RISE.get(phase, {}).items():
        rise[list(tissues)] = rng.uniform(low, high)
    mean += rise * (1 + 0.008 * (120 - kvp))
    dense = mean > 100
    mean[dense] *= 1 + 0.0025 * (120 - kvp)
    return TissueHu(mean.astype(np.float32), sd.astype(np.float32))
