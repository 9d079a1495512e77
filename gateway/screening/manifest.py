"""What is clinical about a pipeline: its ``pipeline.toml``, read once at start-up.

``model_repository/README.md`` explains every key.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.study.choice import Requirement

KINDS = ("infrastructure", "network", "rule")
LATENCY_CLASSES = ("stat", "routine")
"""In the order in which checks are started."""

PHASES = ("native", "arterial", "venous", "delayed", "unknown")
KERNELS = ("soft", "standard", "sharp", "unknown")
STATES = ("positive", "negative", "indeterminate", "not_evaluated", "failed")
URGENCIES = ("critical", "urgent", "follow_up", "note")
"""Most urgent first; lists sort by it."""

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "greater": operator.gt,
    "greater_or_equal": operator.ge,
    "less": operator.lt,
    "less_or_equal": operator.le,
}

MANIFEST_NAME = "pipeline.toml"


@dataclass(frozen=True, slots=True)
class Text:
    """What a reader is told, in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of one measure with a number."""

    measure: str
    at: str
    value: float

    def holds(self, measures: Mapping[str, float | None]) -> bool:
        """Compare; on a missing measure it does not hold."""
        measured = measures.get(self.measure)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganNeed:
    """What a check needs to see of an organ."""

    name: str
    coverage: tuple[str, ...]
    min_eroded_ml: float = 0.0
    min_volume_ml: float = 0.0
    truncated_negative: bool = False
    """Whether a truncated organ may be negative; else it is positive or indeterminate."""

    otherwise: str = "not_evaluated"
    """``not_evaluated``, or ``without``: the check goes on without the measures that need it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a check asks of study, series and patient."""

    modality: tuple[str, ...]
    contrast: tuple[str, ...]
    kernel: tuple[str, ...]
    max_slice_thickness_mm: float
    warn_slice_thickness_mm: float | None = None
    min_age_years: float = 0.0
    max_age_years: float | None = None
    kvp: tuple[float, ...] = ()
    """Empty takes any."""

    kvp_otherwise: str = "indeterminate"
    organs: tuple[OrganNeed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roi:
    """The box that a network is given: organs and a margin."""

    organs: tuple[str, ...]
    margin_mm: tuple[float, float, float]
    """Axis order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A function over what was measured: by another pipeline, or by the check's own network."""

    name: str
    source: str | None = None
    """The other pipeline; None where the check's own network is the source."""

    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A number that the check reports."""

    name: str
    unit: str
    """UCUM."""

    of: str | None = None
    """``organ.measure`` of the source, where it is taken as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """A class of the outcome; with `below` the score grades it."""

    name: str
    text: Text
    urgency: str
    below: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Conditions under which the outcome is indeterminate."""

    reason: str
    when: tuple[Condition, ...]
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What is advised in a state."""

    state: str
    urgency: str
    text: Text
    classes: tuple[str, ...] = ()
    """Only for these; empty is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseGate:
    """The limits by which contrast is recognised; anatomy only."""

    native_max_hu: Mapping[str, float]
    min_regions: int
    min_eroded_ml: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One pipeline."""

    name: str
    version: str
    kind: str
    latency_class: str
    timeout_seconds: float
    title: Text
    intended_use: Text
    needs: Needs
    digest: str
    """sha256 of ``pipeline.toml``."""

    ensemble: str | None = None
    limits: Text | None = None
    after: tuple[str, ...] = ()
    """Checks whose results its rule reads; it waits for those that are asked for."""

    clinical: tuple[str, ...] = ()
    report: bool = False
    organs: bool = False
    """Whether it is given the label map of anatomy."""

    roi: Roi | None = None
    recipe_json: str | None = None
    """The recipe as it travels in RECIPE: canonical JSON; None for a rule."""

    recipe_digest: str | None = None
    """sha256 of `recipe_json`."""

    scores: tuple[str, ...] = ()
    """Names of the network's SCORES, in their order."""

    rule: Rule | None = None
    measures: tuple[Measure, ...] = ()
    classes: tuple[Grade, ...] = ()
    thresholds: Thresholds | None = None
    indeterminate: tuple[Doubt, ...] = ()
    follow_up: tuple[FollowUp, ...] = ()
    codes: Mapping[str, Any] = field(default_factory=dict)
    phase: PhaseGate | None = None
    outputs: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    model_digest: str | None = None
    """sha256 of the newest ``model.onnx`` of `provenance`'s model; None where there is none."""

    @property
    def is_check(self) -> bool:
        """Whether it answers a clinical question."""
        return self.kind != "infrastructure"

    @property
    def has_network(self) -> bool:
        """Whether an ensemble is asked."""
        return self.kind != "rule"

    @property
    def requirement(self) -> Requirement:
        """What the check asks of a series, as series choice reads it."""
        thick = self.needs.max_slice_thickness_mm
        return Requirement(
            modality=self.needs.modality,
            contrast=self.needs.contrast,
            kernels=self.needs.kernel,
            max_thickness_mm=thick,
            preferred_thickness_mm=min(Requirement().preferred_thickness_mm, thick),
            min_age_years=self.needs.min_age_years,
        )
