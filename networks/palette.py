"""Hounsfield units by tissue for training, drawn wider than any one patient's.

The phantoms' own painter draws a plausible patient. A network should rely on
it less than on shape and place, so training draws most tissues independently
of each other, native three times as often as with contrast.
Ranges follow pipelines.md §6.1–6.4 and textbook values at 120 kVp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from networks.phantoms.tissue import TISSUE_COUNT, Tissue

Floats = NDArray[np.float32]

CONTRAST_SHARE = 0.3
"""Share of samples painted in a contrast phase."""

ORAL_CONTRAST_SHARE = 0.1
"""Share of samples whose stomach and bowel hold positive oral contrast."""

NATIVE: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (-1010, -985, 3),
    Tissue.TABLE_SHELL: (-500, 60, 30),
    Tissue.TABLE_FOAM: (-985, -900, 8),
    Tissue.SKIN: (-20, 60, 8),
    Tissue.SUBCUTANEOUS_FAT: (-118, -88, 5),
    Tissue.VISCERAL_FAT: (-112, -82, 7),
    Tissue.MEDIASTINAL_FAT: (-110, -70, 8),
    Tissue.PERICARDIAL_FAT: (-112, -75, 8),
    Tissue.MUSCLE: (22, 66, 7),
    Tissue.PARASPINAL_MUSCLE: (5, 62, 14),
    Tissue.PSOAS: (28, 66, 6),
    Tissue.DIAPHRAGM: (15, 60, 6),
    Tissue.INTERMUSCULAR_FAT: (-100, -45, 12),
    Tissue.BREAST_GLAND: (-20, 50, 15),
    Tissue.LUNG_RIGHT: (-900, -700, 28),
    Tissue.LUNG_RIGHT_VESSEL: (-150, 45, 30),
    Tissue.AIRWAY_LUMEN: (-1000, -930, 5),
    Tissue.AIRWAY_WALL: (-350, 20, 30),
    Tissue.OESOPHAGUS: (10, 48, 10),
    Tissue.GALLBLADDER: (-2, 22, 3),
    Tissue.SPLEEN: (34, 59, 3),
    Tissue.KIDNEY_RIGHT_CORTEX: (22, 43, 3),
    Tissue.RENAL_SINUS: (-100, 0, 15),
    Tissue.RENAL_PELVIS: (-2, 18, 3),
    Tissue.ADRENAL: (-5, 42, 5),
    Tissue.STOMACH_WALL: (24, 52, 5),
    Tissue.STOMACH_FLUID: (-2, 28, 4),
    Tissue.STOMACH_FOOD: (-60, 65, 28),
    Tissue.STOMACH_GAS: (-1000, -860, 6),
    Tissue.BOWEL_WALL: (22, 52, 6),
    Tissue.BOWEL_FLUID: (-2, 40, 6),
    Tissue.BOWEL_GAS: (-1000, -820, 10),
    Tissue.STOOL: (-180, 80, 70),
    Tissue.BLADDER: (-3, 16, 3),
    Tissue.VERTEBRA_CORTEX: (230, 480, 40),
    Tissue.DISC: (55, 115, 8),
    Tissue.SPINAL_CANAL: (8, 42, 5),
    Tissue.BONE_CORTEX: (230, 620, 60),
    Tissue.COSTAL_CARTILAGE: (65, 150, 25),
    Tissue.UTERUS_OR_PROSTATE: (24, 55, 5),
}
"""Lowest and highest mean and the texture's SD, HU, of tissues drawn on their own."""

BLOOD = (
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
)
"""Tissues that share one draw of native blood."""

KIDNEYS = (
    Tissue.KIDNEY_RIGHT_CORTEX,
    Tissue.KIDNEY_RIGHT_MEDULLA,
    Tissue.KIDNEY_LEFT_CORTEX,
    Tissue.KIDNEY_LEFT_MEDULLA,
)

LIVER_HU_AT_NO_FAT = 65.9
LIVER_HU_PER_PERCENT = -1.72
"""Liver HU = 65.9 − 1.72 · PDFF at 120 kVp, pipelines.md §6.3."""

_ADDED: dict[str, dict[tuple[Tissue, ...], tuple[float, float]]] = {
    "arterial": {
        (Tissue.AORTA, Tissue.ARTERY, Tissue.LEFT_HEART): (160, 360),
        (Tissue.RIGHT_HEART, Tissue.PULMONARY_ARTERY, Tissue.CENTRAL_VEIN): (60, 350),
        (Tissue.MYOCARDIUM,): (30, 80),
        (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VESSEL): (10, 90),
        (Tissue.INFERIOR_VENA_CAVA, Tissue.LIVER_VESSEL): (0, 60),
        (Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_LEFT_CORTEX): (90, 180),
        (Tissue.KIDNEY_RIGHT_MEDULLA, Tissue.KIDNEY_LEFT_MEDULLA): (10, 70),
        (Tissue.SPLEEN,): (35, 90),
        (Tissue.LIVER,): (0, 25),
        (Tissue.PANCREAS, Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (20, 65),
    },
    "venous": {
        (Tissue.AORTA, Tissue.ARTERY, Tissue.LEFT_HEART): (85, 145),
        (Tissue.RIGHT_HEART, Tissue.PULMONARY_ARTERY, Tissue.CENTRAL_VEIN): (80, 145),
        (Tissue.MYOCARDIUM,): (50, 80),
        (Tissue.PORTAL_VEIN, Tissue.MESENTERIC_VESSEL, Tissue.LIVER_VESSEL): (95, 160),
        (Tissue.INFERIOR_VENA_CAVA,): (60, 130),
        KIDNEYS: (115, 185),
        (Tissue.SPLEEN,): (50, 85),
        (Tissue.LIVER,): (35, 65),
        (Tissue.PANCREAS, Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (35, 65),
        (Tissue.MUSCLE, Tissue.PSOAS, Tissue.PARASPINAL_MUSCLE): (5, 22),
        (Tissue.VERTEBRA_MARROW, Tissue.BONE_MARROW): (5, 30),
    },
    "delayed": {
        (*BLOOD, Tissue.MYOCARDIUM): (25, 60),
        KIDNEYS: (50, 90),
        (Tissue.RENAL_PELVIS,): (150, 900),
        (Tissue.BLADDER,): (0, 500),
        (Tissue.SPLEEN, Tissue.LIVER): (15, 40),
        (Tissue.PANCREAS, Tissue.STOMACH_WALL, Tissue.BOWEL_WALL): (15, 40),
        (Tissue.MUSCLE, Tissue.PSOAS, Tissue.PARASPINAL_MUSCLE): (5, 20),
    },
}
"""HU added to the native value in a contrast phase; one draw for the tissues of a line."""


def draw_palette(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw the mean and the texture of every tissue.

    Returns
    -------
    mean, texture : (TISSUE_COUNT,) ndarray of float32
        Mean HU and SD of the correlated texture, HU.
    """
    mean = np.full(TISSUE_COUNT, 30.0, np.float32)
    texture = np.full(TISSUE_COUNT, 4.0, np.float32)
    for tissue, (low, high, grain) in NATIVE.items():
        mean[tissue] = rng.uniform(low, high)
        texture[tissue] = grain * rng.uniform(0.5, 1.5)
    _related(rng, mean, texture)
    if rng.random() < CONTRAST_SHARE:
        mean[[Tissue.LUNG_RIGHT_VESSEL, Tissue.LUNG_LEFT_VESSEL]] += rng.uniform(20, 250)
        phase = ("arterial", "venous", "delayed")[rng.integers(3)]
        for tissues, (low, high) in _ADDED[phase].items():
            mean[list(tissues)] += rng.uniform(low, high)
    if rng.random() < ORAL_CONTRAST_SHARE:
        mean[[Tissue.STOMACH_FLUID, Tissue.BOWEL_FLUID]] += rng.uniform(60, 400, 2)
    return mean, texture


def _related(rng: np.random.Generator, mean: Floats, texture: Floats) -> None:
    """Draw the tissues that depend on one another, in place."""
    blood = rng.uniform(27, 50)
    mean[list(BLOOD)] = blood + rng.normal(0, 1.5, len(BLOOD))
    mean[Tissue.MYOCARDIUM] = blood + rng.uniform(-2, 8)
    mean[Tissue.LUNG_LEFT] = mean[Tissue.LUNG_RIGHT] + rng.normal(0, 12)
    texture[[Tissue.LUNG_LEFT, Tissue.LUNG_RIGHT]] = rng.uniform(12, 45)
    mean[Tissue.LUNG_LEFT_VESSEL] = mean[Tissue.LUNG_RIGHT_VESSEL]
    texture[Tissue.LUNG_LEFT_VESSEL] = texture[Tissue.LUNG_RIGHT_VESSEL]
    mean[list(KIDNEYS)] = mean[Tissue.KIDNEY_RIGHT_CORTEX] + rng.normal(0, 1.5, 4)
    fat_percent = rng.uniform(1, 8) if rng.random() < 0.6 else rng.uniform(8, 36)
    mean[Tissue.LIVER] = LIVER_HU_AT_NO_FAT + LIVER_HU_PER_PERCENT * fat_percent
    mean[Tissue.LIVER] += rng.normal(0, 3)
    if rng.random() < 0.1:
        mean[Tissue.GALLBLADDER] = rng.uniform(20, 60)
    fat_share = rng.uniform(0, 0.6)
    mean[Tissue.PANCREAS] = rng.uniform(34, 48) * (1 - fat_share) - 95 * fat_share
    texture[Tissue.PANCREAS] = 4 + 45 * fat_share * rng.uniform(0.5, 1.2)
    marrow = rng.uniform(50, 290)
    mean[Tissue.VERTEBRA_MARROW] = marrow
    mean[Tissue.BONE_MARROW] = marrow * rng.uniform(0.3, 1.0)
    texture[[Tissue.VERTEBRA_MARROW, Tissue.BONE_MARROW]] = rng.uniform(18, 40, 2)
