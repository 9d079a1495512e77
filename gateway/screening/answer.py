"""What a network gave → a check's result: its rule, its thresholds, its words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.exceptions import ModelOutputError
from gateway.screening.findings import CheckResult
from gateway.screening.lesions import lesion_measures, marked_by_threshold, marked_with_check
from gateway.screening.manifest import Manifest
from gateway.screening.mask import Mask
from gateway.screening.places import placed
from gateway.screening.plan import Step
from gateway.screening.rules import RULES, Measures, RuleInput, RuleOutput
from gateway.screening.subject import Subject
from gateway.screening.verdict import judge
from gateway.triton.tensors import Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a check's network gave; nothing for a check without one."""

    measures: Measures = field(default_factory=dict)
    lesions: tuple[Mapping[str, Any], ...] = ()
    mask: Mask | None = None
    memory_bank: str | None = None
    """sha256 of the labelled tiles that a network compared with, where it did."""


def seen_by_network(manifest: Manifest, subject: Subject, inference: Inference) -> Seen:
    """Name the scores of an inference, which join its measures, and place its lesions.

    Raises
    ------
    ModelOutputError
        When there are fewer scores than the manifest names, a measure is no number, or a lesion
        has no place.
    """
    names = manifest.scores
    if len(inference.scores) < len(names):
        raise ModelOutputError(
            f"{manifest.ensemble} gave {len(inference.scores)} scores for {len(names)} names."
        )
    scores = {name: float(score) for name, score in zip(names, inference.scores, strict=False)}
    measures = {**inference.lesions.get("measures", {}), **scores}
    for name, value in measures.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (is_number and math.isfinite(value)):
            raise ModelOutputError(f"{manifest.ensemble} gave a measure {name} that is no number.")
    lesions = tuple(inference.lesions.get("lesions", ()))
    if subject.places is not None:
        try:
            lesions = placed(lesions, subject.places)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelOutputError(f"{manifest.ensemble} gave a lesion without place.") from error
    mask = Mask(inference.mask, inference.mask_geometry) if inference.mask.any() else None
    bank = inference.lesions.get("memory_bank")
    return Seen(
        measures=measures, lesions=lesions, mask=mask, memory_bank=str(bank) if bank else None
    )


def answer(
    manifest: Manifest,
    step: Step,
    subject: Subject,
    seen: Seen,
    results: Mapping[str, CheckResult],
) -> CheckResult:
    """Apply the manifest's rule and thresholds.

    Parameters
    ----------
    results : mapping
        Of the checks that the manifest's `after` names.
    """
    cuts = manifest.thresholds.lesion if manifest.thresholds else None
    seen = replace(seen, lesions=marked_by_threshold(seen.lesions, cuts))
    said = _rule(manifest, step, subject, seen, results)
    measures = {**seen.measures, **said.measures}
    lesions = seen.lesions if said.lesions is None else tuple(said.lesions)
    asked = any(one.asks_for_action for one in said.assessments)
    verdict = judge(
        manifest,
        {"asks_for_action": float(asked), **lesion_measures(lesions, cuts), **measures},
        doubt=step.doubt or said.doubt,
        truncated=bool(step.truncated),
        partial=bool(step.without),
        grade=said.grade,
        assessments=said.assessments,
        texts=said.texts,
    )
    return CheckResult.of_verdict(
        manifest,
        verdict,
        measures=measures,
        lesions=marked_with_check(
            lesions, marked=bool(verdict.marked_by), flagged=bool(verdict.flagged_by)
        ),
        assessments=said.assessments,
        provenance={**subject.provenance(manifest), "memory_bank": seen.memory_bank},
    )


def _rule(
    manifest: Manifest,
    step: Step,
    subject: Subject,
    seen: Seen,
    results: Mapping[str, CheckResult],
) -> RuleOutput:
    if manifest.rule is None:
        return RuleOutput()
    return RULES[manifest.rule.name](
        RuleInput(
            anatomy=subject.anatomy,
            without=frozenset(step.without),
            parameters=manifest.rule.parameters,
            clinical=subject.clinical,
            measures=seen.measures,
            lesions=seen.lesions,
            results=results,
            names={grade.name: grade.text for grade in manifest.classes},
            thresholds=manifest.thresholds,
            patient=subject.patient,
            series=subject.facts,
            exam_context=subject.exam_context,
            policy=subject.policy,
        )
    )
