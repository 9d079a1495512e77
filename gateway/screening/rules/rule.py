"""What a rule of a manifest may look at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from gateway.screening.anatomy import Anatomy
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import Text
from gateway.screening.patient import Patient
from gateway.screening.rules.assessment import Assessment
from gateway.screening.series_facts import SeriesFacts
from gateway.screening.thresholds import Thresholds
from gateway.settings import ScreeningSettings

Measures = Mapping[str, float | None]
"""Name → number; None where it cannot be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInput:
    """What a rule may look at."""

    anatomy: Anatomy
    without: Set[str] = frozenset()
    """Organs that the plan left out: their measures must not be used."""

    parameters: Mapping[str, float] = field(default_factory=dict)
    clinical: Mapping[str, float] = field(default_factory=dict)
    """As `gateway.screening.clinical.numbers` gives them; what is missing is left out."""

    measures: Measures = field(default_factory=dict)
    """Of the check's own network, its scores among them; empty without a network."""

    lesions: Sequence[Mapping[str, Any]] = ()
    """Of the check's own network, with place and mark."""

    results: Mapping[str, CheckResult] = field(default_factory=dict)
    """Of the checks that the manifest's `after` names and that were asked for, whatever their
    state."""

    names: Mapping[str, Text] = field(default_factory=dict)
    """The manifest's classes and how they are called."""

    thresholds: Thresholds | None = None
    """Of the check, as the site has set them."""

    patient: Patient = field(default_factory=Patient)
    series: SeriesFacts = field(default_factory=SeriesFacts)
    exam_context: str = "unknown"
    policy: ScreeningSettings = field(default_factory=ScreeningSettings)
    """The site's."""

    def median_hu(self, organ: str) -> float | None:
        """Give the eroded median of an organ, None when absent or left out."""
        return None if organ in self.without else self.anatomy.organ(organ).median_hu


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOutput:
    """What a rule says."""

    measures: Measures = field(default_factory=dict)
    """Joined with those of the network; a name of both is the rule's."""

    lesions: Sequence[Mapping[str, Any]] | None = None
    """In place of the network's; None leaves those."""

    assessments: Sequence[Assessment] = ()
    """Shown with the result; their advice joins its text, their urgency its urgency."""

    grade: str | None = None
    """In place of the one that the manifest's classes give."""

    texts: Sequence[Text] = ()
    """Sentences for the reader."""

    doubt: str | None = None
    """Reason code for which the check is indeterminate."""


Rule = Callable[[RuleInput], RuleOutput]
