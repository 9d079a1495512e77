"""The fine tissue classes a phantom is made of, and the organ label each belongs to."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from networks.labels import ANATOMY_LABELS


class Tissue(IntEnum):
    """Value of a voxel of a phantom's tissue map."""

    AIR = 0
    TABLE_SHELL = 1
    TABLE_FOAM = 2
    SKIN = 3
    SUBCUTANEOUS_FAT = 4
    VISCERAL_FAT = 5
    MEDIASTINAL_FAT = 6
    PERICARDIAL_FAT = 7
    MUSCLE = 8
    PARASPINAL_MUSCLE = 9
    PSOAS = 10
    DIAPHRAGM = 11
    INTERMUSCULAR_FAT = 12
    BREAST_GLAND = 13
    LUNG_RIGHT = 14
    LUNG_LEFT = 15
    LUNG_RIGHT_VESSEL = 16
    LUNG_LEFT_VESSEL = 17
    AIRWAY_LUMEN = 18
    AIRWAY_WALL = 19
    OESOPHAGUS = 20
    RIGHT_HEART = 21
    LEFT_HEART = 22
    MYOCARDIUM = 23
    PULMONARY_ARTERY = 24
    CENTRAL_VEIN = 25
    AORTA = 26
    ARTERY = 27
    INFERIOR_VENA_CAVA = 28
    PORTAL_VEIN = 29
    MESENTERIC_VESSEL = 30
    LIVER = 31
    LIVER_VESSEL = 32
    GALLBLADDER = 33
    SPLEEN = 34
    KIDNEY_RIGHT_CORTEX = 35
    KIDNEY_RIGHT_MEDULLA = 36
    KIDNEY_LEFT_CORTEX = 37
    KIDNEY_LEFT_MEDULLA = 38
    RENAL_SINUS = 39
    RENAL_PELVIS = 40
    ADRENAL = 41
    PANCREAS = 42
    STOMACH_WALL = 43
    STOMACH_FLUID = 44
    STOMACH_FOOD = 45
    STOMACH_GAS = 46
    BOWEL_WALL = 47
    BOWEL_FLUID = 48
    BOWEL_GAS = 49
    STOOL = 50
    BLADDER = 51
    VERTEBRA_CORTEX = 52
    VERTEBRA_MARROW = 53
    DISC = 54
    SPINAL_CANAL = 55
    BONE_CORTEX = 56
    BONE_MARROW = 57
    COSTAL_CARTILAGE = 58
    UTERUS_OR_PROSTATE = 59


TISSUE_COUNT = 64
"""Length of every table indexed by tissue value; values above the last tissue are spare."""

_ORGAN: dict[str, tuple[Tissue, ...]] = {
    "spleen": (Tissue.SPLEEN,),
    "kidney_right": (Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_RIGHT_MEDULLA),
    "kidney_left": (Tissue.KIDNEY_LEFT_CORTEX, Tissue.KIDNEY_LEFT_MEDULLA),
    "gallbladder": (Tissue.GALLBLADDER,),
    "liver": (Tissue.LIVER, Tissue.LIVER_VESSEL),
    "stomach": (
        Tissue.STOMACH_WALL,
        Tissue.STOMACH_FLUID,
        Tissue.STOMACH_FOOD,
        Tissue.STOMACH_GAS,
    ),
    "pancreas": (Tissue.PANCREAS,),
    "aorta": (Tissue.AORTA,),
    "lung_right": (Tissue.LUNG_RIGHT, Tissue.LUNG_RIGHT_VESSEL),
    "lung_left": (Tissue.LUNG_LEFT, Tissue.LUNG_LEFT_VESSEL),
    "heart": (Tissue.RIGHT_HEART, Tissue.LEFT_HEART, Tissue.MYOCARDIUM),
    "vertebrae": (Tissue.VERTEBRA_CORTEX, Tissue.VERTEBRA_MARROW),
    "other_bone": (Tissue.BONE_CORTEX, Tissue.BONE_MARROW),
    "inferior_vena_cava": (Tissue.INFERIOR_VENA_CAVA,),
}


def organ_table() -> npt.NDArray[np.uint8]:
    """Return the (TISSUE_COUNT,) uint8 table from tissue value to anatomy label value."""
    table = np.zeros(TISSUE_COUNT, dtype=np.uint8)
    for name, tissues in _ORGAN.items():
        table[list(tissues)] = ANATOMY_LABELS.index(name)
    return table
