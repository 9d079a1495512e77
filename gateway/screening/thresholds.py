"""Two thresholds a check: what is marked for the reader, and what is flagged as positive."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MISSING = "missing"
"""In place of a comparison: that the measure is not known. Only a doubt may rest on it."""

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "greater": operator.gt,
    "greater_or_equal": operator.ge,
    "less": operator.lt,
    "less_or_equal": operator.le,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one measure with a number."""

    measure: str
    at: str
    value: float

    def holds(self, measures: Mapping[str, float | None]) -> bool:
        """Compare; on a missing measure no comparison holds."""
        measured = measures.get(self.measure)
        if self.at == MISSING:
            return measured is None
        return measured is not None and COMPARISONS[self.at](measured, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A further way over a threshold: all of its conditions hold."""

    id: str
    when: tuple[Condition, ...]
    operating_point: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One threshold of the score, and the further ways over it."""

    value: float
    at: str
    operating_point: str
    also: tuple[Alternative, ...] = ()
    false_flag_budget: float | None = None
    """Fraction of healthy studies; of a flag only."""

    def exceeded_by(self, score: str, measures: Mapping[str, float | None]) -> tuple[str, ...]:
        """Name what takes the measures over the threshold; empty when nothing does."""
        main = Condition(score, self.at, self.value)
        return ((score,) if main.holds(measures) else ()) + tuple(
            other.id
            for other in self.also
            if all(condition.holds(measures) for condition in other.when)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionThresholds:
    """From where on one lesion is marked, and flagged."""

    score: str
    """A number of the lesion: its key, ``classes.NAME`` or ``measures.NAME``."""

    mark: float
    flag: float


@dataclass(frozen=True, slots=True)
class LabelThresholds:
    """From which probability on one label of several is marked, and flagged."""

    mark: float
    flag: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The set of thresholds of a check."""

    id: str
    score: str
    unit: str
    mark: Threshold
    flag: Threshold
    lesion: LesionThresholds | None = None
    """None: lesions are marked and flagged with their check."""

    labels: Mapping[str, LabelThresholds] = field(default_factory=dict)
    """Of a check that tells many labels, by name; its rule applies them."""
