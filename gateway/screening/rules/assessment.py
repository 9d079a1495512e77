"""What a rule says: a category, what it rests on, what was not known, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.screening.manifest import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What follows from a category."""

    urgency: str
    """One of `gateway.screening.manifest.URGENCIES`."""

    text: Text
    asks_for_action: bool = False
    """More than what would happen anyway; what counts as a flag."""

    first_ct_months: tuple[float, float] | None = None
    """Earliest and latest of the first CT to come, months; None where the rule names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The answer of one rule."""

    rule: str
    category: str | None
    """None when the rule cannot say; `missing` or `basis` then says why."""

    value: float | None = None
    """The number that was compared, for rules that have one."""

    basis: str | None = None
    """What the category rests on: a part of the rule's table, or why there is none."""

    missing: tuple[str, ...] = ()
    """Inputs that were not known and might have changed the answer."""

    advice: Advice | None = None

    @property
    def asks_for_action(self) -> bool:
        """Whether the category asks for more than would happen anyway."""
        return self.advice is not None and self.advice.asks_for_action


def missing_names(values: Mapping[str, object]) -> tuple[str, ...]:
    """Name the values that are None, in their order."""
    return tuple(name for name, value in values.items() if value is None)
