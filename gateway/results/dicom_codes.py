"""Codes of findings, places, measurements and states, from dictionaries or under our own scheme.

What has no code that could be verified is said under 99ONESCAN, never under a guessed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

OWN = "99ONESCAN"
"""Our coding scheme."""

OWN_UID = "2.25.330166463843187991192073662682493968742"
"""(0008,010C) of it; a UUID of our own."""

_MEANING_CHARACTERS = 64
_SHORT_CHARACTERS = 16


class Code(NamedTuple):
    """A coded concept."""

    value: str
    scheme: str
    meaning: str


def own_code(name: str, meaning: str = "") -> Code:
    """Make a code of ours, from a name of this software."""
    words = name.replace("_", " ").replace(".", " ")
    shown = meaning or words[:1].upper() + words[1:]
    return Code(name.upper(), OWN, shown[:_MEANING_CHARACTERS])


def code_of(values: Mapping[str, Any] | None) -> Code | None:
    """Read a code of a manifest."""
    if not values:
        return None
    return Code(values["value"], values["scheme"], values["meaning"][:_MEANING_CHARACTERS])


REPORT = Code("126000", "DCM", "Imaging Measurement Report")
CT = Code("25045-6", "LN", "CT unspecified body region")
IMAGING = Code("363679005", "SCT", "Imaging procedure")
ENGLISH = Code("en", "RFC5646", "English")
COMMENT = Code("121106", "DCM", "Comment")
IMPRESSION = Code("121073", "DCM", "Impression")
SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
LESION = Code("52988006", "SCT", "Lesion")
PROBABILITY = Code("122157", "DCM", "Probability")
SEGMENTATION = Code("113076", "DCM", "Segmentation")
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
ANATOMICAL = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")

STATES = {
    "positive": Code("10828004", "SCT", "Positive"),
    "negative": Code("260385009", "SCT", "Negative"),
    "indeterminate": Code("82334004", "SCT", "Indeterminate"),
    "not_evaluated": own_code("not_evaluated"),
    "failed": own_code("failed"),
}
"""State of a check → value of its evaluation."""

SUCCEEDED = Code("111241", "DCM", "All algorithms succeeded; without findings")
SUCCEEDED_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
PARTLY = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
PARTLY_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")

SIDES = {
    "left": Code("7771000", "SCT", "Left"),
    "right": Code("24028007", "SCT", "Right"),
}

_ORGANS = {
    "spleen": ("78961009", "Spleen"),
    "kidney": ("64033007", "Kidney"),
    "gallbladder": ("28231008", "Gallbladder"),
    "liver": ("10200004", "Liver"),
    "stomach": ("69695003", "Stomach"),
    "pancreas": ("15776009", "Pancreas"),
    "aorta": ("15825003", "Aorta"),
    "lung": ("39607008", "Lung"),
    "heart": ("80891009", "Heart"),
    "vertebrae": ("51282000", "Vertebra"),
    "other_bone": ("272673000", "Bone"),
    "inferior_vena_cava": ("64131007", "Inferior vena cava"),
}

LESION_MEASURES = {
    "long_diameter_mm": (Code("103339001", "SCT", "Long Axis"), "mm"),
    "short_diameter_mm": (Code("103340004", "SCT", "Short Axis"), "mm"),
    "mean_diameter_mm": (Code("81827009", "SCT", "Diameter"), "mm"),
    "volume_mm3": (Code("118565006", "SCT", "Volume"), "mm3"),
}

HU_MEASURES = {
    "mean": Code("112181", "DCM", "Mean Attenuation Coefficient"),
    "sd": Code("112183", "DCM", "Standard Deviation of Attenuation Coefficient"),
    "median": Code("112182", "DCM", "Median Attenuation Coefficient"),
    "min": Code("112179", "DCM", "Minimum Attenuation Coefficient"),
    "max": Code("112180", "DCM", "Maximum Attenuation Coefficient"),
}

_UNITS = {
    "1": "no units",
    "mm": "millimeter",
    "mm2": "square millimeter",
    "mm3": "cubic millimeter",
    "mL": "milliliter",
    "%": "percent",
    "[hnsf'U]": "Hounsfield unit",
    "{ratio}": "ratio",
    "a": "year",
    "mo": "month",
}


def unit_code(unit: str) -> Code:
    """Give the code of a UCUM unit."""
    return Code(unit, "UCUM", _UNITS.get(unit, unit.strip("{}") or unit))


def organ_code(name: str) -> tuple[Code, Code | None]:
    """Give the code of an organ of anatomy, and of its side where it has one."""
    for side, code in SIDES.items():
        if name.endswith(f"_{side}"):
            return organ_code(name.removesuffix(f"_{side}"))[0], code
    known = _ORGANS.get(name)
    return (Code(known[0], "SCT", known[1]) if known else own_code(name)), None


def all_codes() -> list[Code]:
    """List every code that this module takes from a dictionary."""
    found = [value for value in globals().values() if isinstance(value, Code)]
    found += [*STATES.values(), *SIDES.values(), *HU_MEASURES.values()]
    found += [code for code, _ in LESION_MEASURES.values()]
    found += [organ_code(name)[0] for name in _ORGANS]
    return [code for code in found if code.scheme != OWN]


def is_short(code: Code) -> bool:
    """Tell whether a code fits *Code Value*; else it is a *Long Code Value*."""
    return len(code.value) <= _SHORT_CHARACTERS
