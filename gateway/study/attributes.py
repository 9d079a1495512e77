"""Reads what series choice and quality control need from an instance's indexed attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

Attributes = Mapping[str, Any]
"""DICOM keyword → plain value, as `gateway.instance.Instance.attributes`."""

_NOT_AN_AGENT = frozenset(
    {"", "NONE", "NO", "N", "0", "NIL", "NA", "N/A", "OHNE", "NATIV", "NATIVE"}
)
_STUDY_DATES = ("StudyDate", "AcquisitionDate", "SeriesDate", "ContentDate")
"""When the patient was as old as is asked; the first that can be read."""

_DAYS_PER_MONTH = 365.25 / 12

_NOT_INTRAVENOUS = ("ORAL", "RECTAL", "PO")

_NATIVE_WORDS = re.compile(
    r"\b(?:NATIVE?|NCCT|PLAIN|UNENHANCED|W/?O|WITHOUT|NON[- ]?CONTRAST|NO CONTRAST)\b|\bC-|平扫"
)
_CONTRAST_WORDS = re.compile(
    r"\b(?:CECT|CTA|ARTERIAL|ART|PORTAL|VENOUS|VEN|NEPHRO\w*|DELAYED|POST ?CONTRAST|"
    r"WITH CONTRAST|CONTRAST|KM)\b|\bC\+|增强|动脉期|静脉期|延迟期"
)


def values(attributes: Attributes, keyword: str) -> list[str]:
    """Give an attribute's values as text, however many there are."""
    found = attributes.get(keyword)
    if found is None:
        return []
    return [str(v).strip() for v in found] if isinstance(found, list) else [str(found).strip()]


def number(attributes: Attributes, keyword: str) -> float | None:
    """Give an attribute's first value as a number; None where there is none."""
    try:
        return float(values(attributes, keyword)[0])
    except (IndexError, ValueError):
        return None


def contrast_hint(attributes: Attributes) -> str | None:
    """Say what in the header hints at intravenous contrast; None where nothing does.

    A hint only: headers are copied from protocols, so the phase is told from organ HU.
    """
    agent = " ".join(values(attributes, "ContrastBolusAgent"))
    route = " ".join(values(attributes, "ContrastBolusRoute")).upper()
    if agent.upper() not in _NOT_AN_AGENT and not route.startswith(_NOT_INTRAVENOUS):
        return "Contrast/Bolus Agent is given"
    for keyword in ("SeriesDescription", "ProtocolName"):
        text = " ".join(values(attributes, keyword)).upper().replace("_", " ")
        if _CONTRAST_WORDS.search(_NATIVE_WORDS.sub(" ", text)) and not _NATIVE_WORDS.search(text):
            return f"{keyword} speaks of contrast"
    return None


def age_years(attributes: Attributes) -> float | None:
    """Give the patient's age at the study.

    (0010,1010) *Patient's Age*, otherwise (0010,0030) *Birth Date* and the study's or
    acquisition's date; None where neither can be read.
    """
    text = "".join(values(attributes, "PatientAge")[:1])
    if match := re.fullmatch(r"(\d{1,3})([YMWD])", text.upper()):
        return int(match[1]) / {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}[match[2]]
    born = _date(attributes, "PatientBirthDate")
    for keyword in _STUDY_DATES:
        at = _date(attributes, keyword)
        if born and at and at >= born:
            return float(at.year - born.year - ((at.month, at.day) < (born.month, born.day)))
    return None


def age_months(attributes: Attributes) -> float | None:
    """Give the patient's age at the study in months, for children.

    From birth and study dates, else from (0010,1010) *Patient's Age* where it counts months,
    weeks or days; None where only whole years are known.
    """
    born = _date(attributes, "PatientBirthDate")
    for keyword in _STUDY_DATES:
        at = _date(attributes, keyword)
        if born and at and at >= born:
            return (at - born).days / _DAYS_PER_MONTH
    text = "".join(values(attributes, "PatientAge")[:1])
    if match := re.fullmatch(r"(\d{1,3})([MWD])", text.upper()):
        return (
            int(match[1]) * {"M": 1.0, "W": 7 / _DAYS_PER_MONTH, "D": 1 / _DAYS_PER_MONTH}[match[2]]
        )
    return None


def body_part_of(attributes: Attributes) -> str:
    """Give (0018,0015) *Body Part Examined* in capitals; empty where it is not said."""
    return "".join(values(attributes, "BodyPartExamined")[:1]).upper()


def side_of(attributes: Attributes) -> str:
    """Give the side of a paired part: ``L``, ``R``, ``B`` for both; empty where it is not said.

    (0020,0062) *Image Laterality*, else (0020,0060) *Laterality*.
    """
    for keyword in ("ImageLaterality", "Laterality"):
        said = "".join(values(attributes, keyword)[:1]).upper()
        if said in ("L", "R", "B"):
            return said
    return ""


def _date(attributes: Attributes, keyword: str) -> date | None:
    text = "".join(values(attributes, keyword)[:1])
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
