"""What is clinical about a pipeline: its ``pipeline.toml``, read once at start-up.

``model_repository/README.md`` explains every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.screening.thresholds import Condition, Thresholds
from gateway.study.choice import Requirement

KINDS = ("infrastructure", "network", "rule")
WITHOUT_WEIGHTS = ("not_evaluated", "rule")
"""What a check does whose network has no weights here: nothing, or its rule alone."""

LATENCY_CLASSES = ("stat", "routine")
"""In the order in which checks are started."""

PHASES = ("native", "arterial", "venous", "delayed", "unknown")
KERNELS = ("soft", "standard", "sharp", "unknown")
STATES = ("positive", "negative", "indeterminate", "not_evaluated", "failed")
URGENCIES = ("critical", "urgent", "follow_up", "note")
"""Most urgent first; lists sort by it."""

MANIFEST_NAME = "pipeline.toml"

ANATOMY = "anatomy"
"""The pipeline that every check is planned with."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a reader is told, in both languages."""

    en: str
    zh: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganNeed:
    """What a check needs to see of an organ."""

    name: str
    coverage: tuple[str, ...]
    min_eroded_ml: float = 0.0
    min_volume_ml: float = 0.0
    truncated_negative: bool = False
    """Whether a truncated organ may be negative; else it is positive or indeterminate."""

    negative_without: tuple[str, ...] = ()
    """Sides on which it may be truncated and yet be negative."""

    otherwise: str = "not_evaluated"
    """``not_evaluated``, or ``without``: the check goes on without the measures that need it."""


CT = "CT"
"""The modality in which anatomy is seen."""

IMAGE_SIDES = ("L", "R", "B")
"""(0020,0062) *Image Laterality*: left, right, both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a check asks of study, series and patient."""

    modality: tuple[str, ...]
    contrast: tuple[str, ...]
    kernel: tuple[str, ...]
    max_slice_thickness_mm: float
    body_part: tuple[str, ...] = ()
    """Words of which *Body Part Examined* of a radiograph has one, where it is given."""

    side: tuple[str, ...] = ()
    """Of `IMAGE_SIDES`, where a radiograph says it."""
    warn_slice_thickness_mm: float | None = None
    min_age_years: float = 0.0
    max_age_years: float | None = None
    kvp: tuple[float, ...] = ()
    """Empty takes any."""

    kvp_otherwise: str = "indeterminate"
    organs: tuple[OrganNeed, ...] = ()

    @property
    def has_anatomy(self) -> bool:
        """Whether organs are seen in what it looks at."""
        return CT in self.modality


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
    models: Mapping[str, str | None] = field(default_factory=dict)
    """`provenance`'s models → sha256 of their newest ``model.onnx``; None where there is none.
    A memory bank beside one is ``MODEL/bank``, with its own digest."""

    random_weights: tuple[str, ...] = ()
    """Networks that it depends on, anatomy's among them, whose weights were drawn and never
    trained: it is not evaluated, whatever else is there."""

    without_weights: str = "not_evaluated"

    @property
    def is_check(self) -> bool:
        """Whether it answers a clinical question."""
        return self.kind != "infrastructure"

    @property
    def has_weights(self) -> bool:
        """Whether every model of its network is there."""
        return all(digest is not None for digest in self.models.values())

    @property
    def accepted(self) -> bool:
        """Whether its weights reached what they are held to; others may not say negative."""
        return self.provenance.get("accepted", True) is True

    @property
    def has_network(self) -> bool:
        """Whether an ensemble is asked."""
        return self.kind != "rule" and self.has_weights

    @property
    def can_run(self) -> bool:
        """Whether it can be evaluated at all, with the weights that are here."""
        return self.kind == "rule" or self.has_weights or self.without_weights == "rule"

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
            body_part=self.needs.body_part,
            side=self.needs.side,
        )
