"""Measures → state, grade, urgency and text, by what the manifest says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.screening.manifest import Grade, Manifest, Text
from gateway.screening.reasons import REASONS


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is said about one check."""

    state: str
    reason: str | None
    score: float | None
    grade: str | None
    marked_by: tuple[str, ...]
    """What took the score over the mark threshold; empty when nothing did."""

    flagged_by: tuple[str, ...]
    urgency: str
    text: Text


def judge(
    manifest: Manifest,
    measures: Mapping[str, float | None],
    *,
    doubt: str | None = None,
    truncated: bool = False,
    partial: bool = False,
) -> Verdict:
    """Judge a check's measures.

    Parameters
    ----------
    manifest : Manifest
        Of a check; its thresholds, classes, doubts and follow-up are applied.
    measures : mapping
        Measures and class scores by name.
    doubt : str, optional
        Reason code that the plan already found: the check is indeterminate for it.
    truncated : bool
        An organ of the check is cut off: the check may be positive, never negative.
    partial : bool
        Measures of an optional organ are left out, which the text says.
    """
    thresholds = manifest.thresholds
    score = measures.get(thresholds.score) if thresholds else None
    marked = thresholds.mark.exceeded_by(thresholds.score, measures) if thresholds else ()
    flagged = thresholds.flag.exceeded_by(thresholds.score, measures) if thresholds else ()
    grade = _grade(manifest, score)
    said: Text | None = None
    if doubt is None:
        for found in manifest.indeterminate:
            if all(condition.holds(measures) for condition in found.when):
                doubt, said = found.reason, found.text
                break
    if doubt is None and score is None:
        doubt = "too_little_tissue"
    if doubt is not None:
        state, reason, grade, flagged = "indeterminate", doubt, None, ()
    elif flagged:
        state, reason = "positive", None
    elif truncated:
        state, reason = "indeterminate", "truncated"
    else:
        state, reason = "negative", None
    if reason is not None and said is None:
        said = Text(REASONS[reason].en, REASONS[reason].zh)
    advice, urgency = _follow_up(manifest, state, grade)
    if reason == "truncated" and grade is not None:
        seen = Text(_IN_PART.en + grade.text.en, _IN_PART.zh + grade.text.zh)
        parts = [part for part in (said, seen) if part]
    else:
        parts = [part for part in (grade and grade.text, said, advice) if part]
    if partial:
        parts.append(_PARTIAL)
    if manifest.limits:
        parts.append(manifest.limits)
    return Verdict(
        state=state,
        reason=reason,
        score=score,
        grade=grade.name if grade else None,
        marked_by=marked,
        flagged_by=flagged,
        urgency=urgency,
        text=_joined(parts),
    )


_IN_PART = Text("In the part that was seen: ", "可见部分:")

_PARTIAL = Text(
    "Measures that need an organ outside the scan were left out.",
    "未使用扫描范围外器官的相关指标。",
)


def _grade(manifest: Manifest, score: float | None) -> Grade | None:
    if score is None:
        return None
    for grade in manifest.classes:
        if grade.below is None or score < grade.below:
            return grade
    return None


def _follow_up(manifest: Manifest, state: str, grade: Grade | None) -> tuple[Text | None, str]:
    name = grade.name if grade else None
    for advice in manifest.follow_up:
        if advice.state == state and (not advice.classes or name in advice.classes):
            return advice.text, advice.urgency
    return None, grade.urgency if grade and state == "positive" else "note"


def _joined(parts: list[Text]) -> Text:
    def stopped(text: str, stop: str) -> str:
        return text if text.endswith((".", "。", "!", "?")) else text + stop

    return Text(
        en=" ".join(stopped(part.en, ".") for part in parts),
        zh="".join(stopped(part.zh, "。") for part in parts),
    )
