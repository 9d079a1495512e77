"""Clinical inputs: what a partner may say of a patient beside the images.

One parser for ``POST /v1/screenings`` and ``onescan screen --clinical``; docs/clinical.md has
names, units and ranges. A missing value is missing, never zero. What is unknown, ambiguous or
out of range is refused by name, never corrected. No message repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.exceptions import InvalidClinicalError, UnknownClinicalError
from gateway.screening.clinical_quantities import QUANTITIES, read_quantity

REPORT = "report"
"""Text of an imaging report."""

MAXIMUM_REPORT_LENGTH = 100_000
"""Characters; the longest reports have some ten thousand."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]").search
"""PostgreSQL keeps neither NUL nor half a surrogate pair."""

SEXES = ("F", "M")
SMOKING = ("never", "former", "current")

CANCERS = (
    "bladder",
    "breast",
    "colorectal",
    "kidney",
    "liver",
    "lung",
    "lymphoma",
    "melanoma",
    "myeloma",
    "oesophagus",
    "ovary",
    "pancreas",
    "prostate",
    "stomach",
    "thyroid",
    "uterus",
    "other",
)
"""Sites of a primary cancer; ``none`` says that there was none."""

NO_CANCER = "none"


def read_clinical(values: Any) -> dict[str, Any]:
    """Check clinical inputs and give them as kept.

    Parameters
    ----------
    values : object
        JSON: quantities as numbers or as ``{"value", "unit"}``, words, yes or no, text.
        A null, and a report without a letter, is missing.

    Returns
    -------
    dict
        Quantities in their default units; ``primary_cancer`` as a sorted list, empty for none;
        what is missing is left out.

    Raises
    ------
    InvalidClinicalError
        Naming the input that is of the wrong type or contradicts another one; its leaves for an
        unknown name, another unit, an ambiguous number, or one out of range.
    """
    if not isinstance(values, Mapping):
        raise InvalidClinicalError("clinical must be an object.")
    kept = {}
    for name, sent in values.items():
        if name not in NAMES:
            raise UnknownClinicalError(
                f"clinical.{str(name)[:40]!r} is not known; known are {', '.join(NAMES)}."
            )
        value = None if _is_missing(sent) else _read(name, sent)
        if value is not None:
            kept[name] = value
    if kept.get("smoking") == "never" and kept.get("pack_years", 0) > 0:
        raise InvalidClinicalError("clinical.pack_years contradicts clinical.smoking.")
    return kept


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Give kept clinical inputs as numbers, as rules and CLINICAL take them.

    Quantities are in their default units; yes is 1 and no is 0; `SEXES` and `SMOKING` count from
    0 in their order; ``primary_cancer`` is 1 for any. What is missing is left out.
    """
    return {name: _as_number(name, value) for name, value in values.items() if name != REPORT}


def _is_missing(sent: Any) -> bool:
    return sent is None or (isinstance(sent, Mapping) and "value" in sent and sent["value"] is None)


def _read(name: str, sent: Any) -> Any:
    return read_quantity(name, sent) if name in QUANTITIES else _WORDS[name](name, sent)


def _one_of(words: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(name: str, sent: Any) -> str:
        if not isinstance(sent, str) or sent not in words:
            raise InvalidClinicalError(f"clinical.{name} must be one of {', '.join(words)}.")
        return sent

    return read


def _yes_or_no(name: str, sent: Any) -> bool:
    if not isinstance(sent, bool):
        raise InvalidClinicalError(f"clinical.{name} must be true or false.")
    return sent


def _cancers(name: str, sent: Any) -> list[str]:
    sites = [sent] if isinstance(sent, str) else sent
    if isinstance(sites, list) and sites == [NO_CANCER]:
        return []
    if (
        not isinstance(sites, list)
        or not sites
        or not all(isinstance(site, str) and site in CANCERS for site in sites)
    ):
        raise InvalidClinicalError(
            f"clinical.{name} must be {NO_CANCER}, or one or a list of {', '.join(CANCERS)}."
        )
    return sorted(set(sites))


def _report(name: str, sent: Any) -> str | None:
    if not isinstance(sent, str) or len(sent) > MAXIMUM_REPORT_LENGTH or _UNSTORABLE(sent):
        raise InvalidClinicalError(
            f"clinical.{name} must be text of at most {MAXIMUM_REPORT_LENGTH} characters."
        )
    return sent if sent.strip() else None


_WORDS: dict[str, Callable[[str, Any], Any]] = {
    "sex": _one_of(SEXES),
    "smoking": _one_of(SMOKING),
    "diabetes": _yes_or_no,
    "immunosuppressed": _yes_or_no,
    "primary_cancer": _cancers,
    REPORT: _report,
}
"""Name → how it is read, for what is no quantity."""

NAMES = (*QUANTITIES, *_WORDS)
"""All that may be sent."""


def _as_number(name: str, value: Any) -> float:
    if name == "sex":
        return float(SEXES.index(value))
    if name == "smoking":
        return float(SMOKING.index(value))
    return float(bool(value) if name == "primary_cancer" else value)
