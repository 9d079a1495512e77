"""The numbers that a partner may send: units, conversions, ranges.

A plain number is in the default unit, unless it would also, or only, make sense in another
unit that is taken: then it is refused, and the unit has to be sent with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.exceptions import (
    AmbiguousClinicalError,
    ClinicalRangeError,
    ClinicalUnitError,
    InvalidClinicalError,
)

GLUCOSE_MG_PER_MMOL = 180.156 / 10
"""mg/dL per mmol/L: the molar mass of glucose, g/mol, over the decilitres of a litre."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its units."""

    unit: str
    """The default, UCUM; what is kept."""

    low: float
    high: float
    """In the default unit; values beyond are mistakes of unit or decimal point, not patients."""

    others: Mapping[str, float] = field(default_factory=dict)
    """Other unit, UCUM → factor that makes the default of it."""

    @property
    def units(self) -> Mapping[str, float]:
        """Every unit that is taken → its factor; the default first."""
        return {self.unit: 1.0, **self.others}

    def find(self, unit: str) -> str | None:
        """Give a unit as `units` writes it; None for one that is not taken."""
        name = spelled(unit)
        return next((known for known in self.units if spelled(known) == name), None)

    def holds(self, value: float, factor: float = 1.0) -> bool:
        """Say whether a value, times the factor, lies within the range, limits included."""
        return self.low <= value * factor <= self.high


QUANTITIES: dict[str, Quantity] = {
    "age_years": Quantity("a", 0, 130),
    "bmi": Quantity("kg/m2", 8, 120),
    "ast": Quantity("U/L", 1, 30_000),
    "alt": Quantity("U/L", 1, 30_000),
    "ggt": Quantity("U/L", 1, 30_000),
    "ast_upper_limit": Quantity("U/L", 10, 100),
    "platelets": Quantity("10*9/L", 1, 3_000, {"10*3/uL": 1.0, "/uL": 1e-3}),
    "albumin": Quantity("g/L", 5, 80, {"g/dL": 10.0}),
    "glucose": Quantity("mmol/L", 1, 80, {"mg/dL": 1 / GLUCOSE_MG_PER_MMOL}),
    "pack_years": Quantity("{PackYears}", 0, 300),
}
"""Name → units and range."""

_SPELLINGS = str.maketrans(
    {"µ": "u", "μ": "u", "^": "*", "²": "2", "³": "*3", "⁹": "*9", "×": "x", " ": ""}
)

_SYNONYMS = {
    "years": "a",
    "y": "a",
    "iu/l": "u/l",
    "k/ul": "10*3/ul",
    "1/ul": "/ul",
    "kg/m*2": "kg/m2",
    "pack-years": "{packyears}",
    "packyears": "{packyears}",
}
"""Other ways to write a unit that is taken; none of them is another unit's."""


def spelled(unit: str) -> str:
    """Write a unit in one way: ``10⁹/L``, ``10^9/l`` and ``10*9/L`` are one."""
    written = unit.translate(_SPELLINGS).lower().removeprefix("x")
    return _SYNONYMS.get(written, written)


def read_quantity(name: str, sent: Any) -> float:
    """Check a number, or an object with ``value`` and ``unit``, and give the default unit's value.

    Raises
    ------
    InvalidClinicalError
        For a wrong type; its leaves for another unit, an ambiguous number, or one out of range.
    """
    quantity = QUANTITIES[name]
    if not isinstance(sent, Mapping):
        return _plain(name, quantity, _number(name, sent))
    if set(sent) != {"value", "unit"}:
        raise InvalidClinicalError(f"clinical.{name} must have value and unit only.")
    unit = quantity.find(sent["unit"]) if isinstance(sent["unit"], str) else None
    if unit is None:
        raise ClinicalUnitError(f"clinical.{name} must be in {' or '.join(quantity.units)}.")
    value, factor = _number(name, sent["value"]), quantity.units[unit]
    if not quantity.holds(value, factor):
        raise ClinicalRangeError(_range(name, quantity, unit, factor))
    return value * factor


def _plain(name: str, quantity: Quantity, value: float) -> float:
    fits = [
        unit
        for unit, factor in quantity.others.items()
        if factor != 1.0 and quantity.holds(value, factor)
    ]
    if fits:
        also = "also " if quantity.holds(value) else ""
        raise AmbiguousClinicalError(
            f"clinical.{name} must be sent with its unit: "
            f"a plain number is {quantity.unit}, and this one could {also}be {' or '.join(fits)}."
        )
    if not quantity.holds(value):
        raise ClinicalRangeError(_range(name, quantity, quantity.unit, 1.0))
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidClinicalError(f"clinical.{name} must be a number.")
    try:
        return float(value)
    except OverflowError:
        raise ClinicalRangeError(f"clinical.{name} is out of every range.") from None


def _range(name: str, quantity: Quantity, unit: str, factor: float) -> str:
    return (
        f"clinical.{name} must lie between {quantity.low / factor:g} and "
        f"{quantity.high / factor:g} {unit}."
    )
