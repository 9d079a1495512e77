"""The cuts of fibrosis scores that rise with age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.screening.rules.assessment import Advice, Assessment

MINIMUM_AGE_YEARS = 35.0
"""The scores have little accuracy below. Source: McPherson 2017, Am J Gastroenterol 112:740."""

OLDER_AGE_YEARS = 65.0
"""From here on the lower cut is raised, since age itself raises the scores. Source: ibid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeCuts:
    """Below which a score is low and above which it is high, dimensionless."""

    low_below: float
    low_below_older: float
    """The same from `OLDER_AGE_YEARS` on."""

    high_above: float
    """For every age."""

    def assess(
        self, rule: str, value: float, age_years: float, advice: Mapping[str, Advice]
    ) -> Assessment:
        """Grade a score as ``low``, ``indeterminate`` or ``high``; on a cut it is indeterminate."""
        older = age_years >= OLDER_AGE_YEARS
        category = "high" if value > self.high_above else "indeterminate"
        if value < (self.low_below_older if older else self.low_below):
            category = "low"
        return Assessment(
            rule=rule,
            category=category,
            value=value,
            basis="age_65_and_over" if older else "age_35_to_64",
            advice=advice[category],
        )


def too_young(rule: str) -> Assessment:
    """Say that a score is not used below `MINIMUM_AGE_YEARS`."""
    return Assessment(rule=rule, category=None, basis="age_under_35")
