"""Clinical inputs: what they are, in which unit, within which range.

A missing value is missing, never zero. A value out of range or in another unit is refused
by name, never corrected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.exceptions import InvalidClinicalError

REPORT = "report"
"""Text of an imaging report."""

MAXIMUM_REPORT_LENGTH = 100_000
"""Characters; the longest reports have some ten thousand."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]").search
"""PostgreSQL keeps neither NUL nor half a surrogate pair."""

SEXES = ("F", "M")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number that a partner may send."""

    unit: str
    """UCUM; empty for none."""

    low: float
    high: float
    """Values beyond are mistakes of unit or decimal point, not patients."""


QUANTITIES: dict[str, Quantity] = {
    "age_years": Quantity("a", 0, 130),
    "bmi": Quantity("kg/m2", 8, 120),
    "ast": Quantity("U/L", 1, 30_000),
    "alt": Quantity("U/L", 1, 30_000),
    "ggt": Quantity("U/L", 1, 30_000),
    "platelets": Quantity("10*9/L", 1, 3_000),
    "albumin": Quantity("g/L", 5, 90),
    "glucose": Quantity("mmol/L", 0.5, 100),
}
"""Name → unit and range."""


def read_clinical(values: Any) -> dict[str, Any]:
    """Check clinical inputs and give them as kept.

    Parameters
    ----------
    values : object
        JSON: quantities as numbers or as ``{"value", "unit"}``, ``sex``, ``report``.

    Raises
    ------
    InvalidClinicalError
        Naming the input that is unknown, of the wrong type or unit, or out of range.
    """
    if not isinstance(values, Mapping):
        raise InvalidClinicalError("clinical must be an object.")
    return {str(name): _read(str(name), value) for name, value in values.items()}


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Give the quantities among kept clinical inputs."""
    return {name: float(values[name]) for name in QUANTITIES if name in values}


def _read(name: str, value: Any) -> Any:
    if name == "sex":
        if value not in SEXES:
            raise InvalidClinicalError(f"clinical.sex must be one of {', '.join(SEXES)}.")
        return value
    if name == REPORT:
        if not isinstance(value, str) or len(value) > MAXIMUM_REPORT_LENGTH or _UNSTORABLE(value):
            raise InvalidClinicalError(
                f"clinical.report must be text of at most {MAXIMUM_REPORT_LENGTH} characters."
            )
        return value
    quantity = QUANTITIES.get(name)
    if quantity is None:
        raise InvalidClinicalError(
            f"clinical.{name[:40]!s} is not known; known are "
            f"{', '.join([*QUANTITIES, 'sex', REPORT])}."
        )
    if isinstance(value, Mapping):
        if set(value) != {"value", "unit"}:
            raise InvalidClinicalError(f"clinical.{name} must have value and unit only.")
        if value["unit"] != quantity.unit:
            raise InvalidClinicalError(f"clinical.{name} must be in {quantity.unit}.")
        value = value["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidClinicalError(f"clinical.{name} must be a number.")
    if not quantity.low <= value <= quantity.high:
        raise InvalidClinicalError(
            f"clinical.{name} must lie between {quantity.low:g} and {quantity.high:g} "
            f"{quantity.unit}."
        )
    return float(value)
