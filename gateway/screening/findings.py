"""The one form of a check's result, whatever the check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from gateway.screening.manifest import STATES, URGENCIES, Manifest, Text
from gateway.screening.reasons import REASONS
from gateway.screening.verdict import Verdict

if TYPE_CHECKING:
    from gateway.screening.rules.assessment import Assessment


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one check says of one study."""

    check: str
    state: str
    reason: str | None = None
    """Code of `gateway.screening.reasons`; None for a plain answer."""

    score: float | None = None
    grade: str | None = None
    thresholds: Mapping[str, Any] | None = None
    """``set``, ``score``, ``unit``, ``mark``, ``flag``, ``lesion``, and by what the first two were
    exceeded."""

    urgency: str = "note"
    lesions: tuple[Mapping[str, Any], ...] = ()
    mask: Mapping[str, Any] | None = None
    """Of the lesions, where one is kept: see `gateway.screening.mask.KeptMask`."""

    measures: Mapping[str, float | None] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    """Measure → UCUM unit."""

    assessments: tuple[Mapping[str, Any], ...] = ()
    """What clinical rules say: ``rule``, ``category``, ``value``, ``basis``, ``missing``,
    ``urgency``, ``text``."""

    text: Mapping[str, str] = field(default_factory=dict)
    """``en`` and ``zh``."""

    codes: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shows_something(self) -> bool:
        """Whether something is marked for the reader."""
        marked = bool(self.thresholds and self.thresholds["marked_by"])
        return self.state == "positive" or marked or any(one.get("marked") for one in self.lesions)

    def to_json(self) -> dict[str, Any]:
        """Give plain values; the result of `from_json` is equal."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            **values,
            "lesions": [dict(lesion) for lesion in self.lesions],
            "assessments": [dict(said) for said in self.assessments],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CheckResult:
        """Read plain values."""
        lists = {name: tuple(values.get(name, ())) for name in ("lesions", "assessments")}
        return cls(**{**values, **lists})

    @classmethod
    def without_answer(
        cls,
        check: str,
        state: str,
        reason: str,
        *,
        manifest: Manifest | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> CheckResult:
        """Make the result of a check that was not evaluated or failed."""
        told = REASONS[reason]
        return cls(
            check=check,
            state=state,
            reason=reason,
            thresholds=thresholds_json(manifest) if manifest else None,
            text={"en": told.en, "zh": told.zh},
            codes=dict(manifest.codes) if manifest else {},
            provenance=dict(provenance or {}),
        )

    @classmethod
    def of_verdict(
        cls,
        manifest: Manifest,
        verdict: Verdict,
        *,
        measures: Mapping[str, float | None],
        lesions: tuple[Mapping[str, Any], ...],
        provenance: Mapping[str, Any],
        assessments: Sequence[Assessment] = (),
    ) -> CheckResult:
        """Make the result of a check that ran."""
        return cls(
            check=manifest.name,
            state=verdict.state,
            reason=verdict.reason,
            score=_rounded(verdict.score),
            grade=verdict.grade,
            thresholds=thresholds_json(manifest, verdict),
            urgency=verdict.urgency,
            lesions=lesions,
            measures={name: _rounded(value) for name, value in measures.items()},
            units={m.name: m.unit for m in manifest.measures if m.name in measures},
            assessments=tuple(assessment_json(said) for said in assessments),
            text=_text(verdict.text),
            codes=dict(manifest.codes),
            provenance=dict(provenance),
        )


def thresholds_json(manifest: Manifest, verdict: Verdict | None = None) -> dict[str, Any] | None:
    """Give the threshold set of a check, and what exceeded it."""
    thresholds = manifest.thresholds
    if thresholds is None:
        return None
    return {
        "set": thresholds.id,
        "score": thresholds.score,
        "unit": thresholds.unit,
        "mark": thresholds.mark.value,
        "flag": thresholds.flag.value,
        "lesion": asdict(thresholds.lesion) if thresholds.lesion else None,
        "marked_by": list(verdict.marked_by) if verdict else [],
        "flagged_by": list(verdict.flagged_by) if verdict else [],
    }


def assessment_json(said: Assessment) -> dict[str, Any]:
    """Give what a clinical rule says as plain values."""
    return {
        "rule": said.rule,
        "category": said.category,
        "value": _rounded(said.value),
        "basis": said.basis,
        "missing": list(said.missing),
        "urgency": said.advice.urgency if said.advice else None,
        "text": _text(said.advice.text) if said.advice else None,
    }


def by_urgency(results: list[CheckResult]) -> list[CheckResult]:
    """Sort as lists show them: most urgent first, then by state, then by name."""
    return sorted(
        results, key=lambda r: (URGENCIES.index(r.urgency), STATES.index(r.state), r.check)
    )


def _text(text: Text) -> dict[str, str]:
    return {"en": text.en, "zh": text.zh}


def _rounded(value: float | None) -> float | None:
    """Keep four decimals: finer than any measurement here, short in JSON."""
    return None if value is None else round(float(value), 4)
