"""Measures → state, grade, urgency and text, by what the manifest says and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.screening.manifest import URGENCIES, Grade, Manifest, Text
from gateway.screening.reasons import REASONS

if TYPE_CHECKING:
    from gateway.screening.rules.assessment import Assessment


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
    grade: str | None = None,
    assessments: Sequence[Assessment] = (),
    texts: Sequence[Text] = (),
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
    grade : str, optional
        Of the check's rule, in place of that of the manifest's classes.
    assessments : sequence of Assessment
        What clinical rules say: their advice joins the text, and the most urgent of them counts.
    texts : sequence of Text
        Further sentences of the check's rule.
    """
    thresholds = manifest.thresholds
    score = measures.get(thresholds.score) if thresholds else None
    marked = thresholds.mark.exceeded_by(thresholds.score, measures) if thresholds else ()
    flagged = thresholds.flag.exceeded_by(thresholds.score, measures) if thresholds else ()
    said: Text | None = None
    if doubt is None:
        for found in manifest.indeterminate:
            if all(condition.holds(measures) for condition in found.when):
                doubt, said = found.reason, found.text
                break
    if doubt is None and thresholds is None:
        doubt = "no_reference"
    if doubt is None and score is None:
        doubt = "too_little_tissue"
    if doubt is not None:
        state, reason = "indeterminate", doubt
        flagged = flagged if doubt in DOUBTS_OF_PLACE else ()
    elif flagged:
        state, reason = "positive", None
    elif truncated:
        state, reason = "indeterminate", "truncated"
    elif not manifest.accepted:
        state, reason = "indeterminate", "weights_not_accepted"
    else:
        state, reason = "negative", None
    if reason is not None and said is None:
        said = Text(REASONS[reason].en, REASONS[reason].zh)
    found_grade = None if doubt else _grade(manifest, grade, score, measures, shown=bool(marked))
    name = found_grade.name if found_grade else (None if doubt else grade)
    advice, urgency = _follow_up(
        manifest, "positive" if doubt and flagged else state, name, found_grade
    )
    if reason == "weights_not_accepted":
        advice = None  # what follows an indeterminate answer is for a doubt about this scan
    if reason == "truncated" and found_grade is not None:
        seen = Text(_IN_PART.en + found_grade.text.en, _IN_PART.zh + found_grade.text.zh)
        parts = [part for part in (said, seen) if part]
    else:
        over = _OVER if doubt and flagged else None
        parts = [part for part in (found_grade and found_grade.text, said, over, advice) if part]
    advised = [one.advice for one in assessments if one.advice]
    parts += [one.text for one in advised]
    parts += texts
    urgency = min((urgency, *(one.urgency for one in advised)), key=URGENCIES.index)
    if partial:
        parts.append(_PARTIAL)
    if manifest.limits:
        parts.append(manifest.limits)
    return Verdict(
        state=state,
        reason=reason,
        score=score,
        grade=name,
        marked_by=marked,
        flagged_by=flagged,
        urgency=urgency,
        text=_joined(parts),
    )


DOUBTS_OF_PLACE = frozenset({"orientation_conflict"})
"""Doubts about where something lies, not about what was measured: what is over the flag threshold
is indeterminate then, but no less urgent."""

_OVER = Text("What was measured is over the threshold all the same", "但测量结果仍超过阳性阈值")

_IN_PART = Text("In the part that was seen: ", "可见部分:")

_PARTIAL = Text(
    "Measures that need an organ outside the scan were left out.",
    "未使用扫描范围外器官的相关指标。",
)


def _grade(
    manifest: Manifest,
    given: str | None,
    score: float | None,
    measures: Mapping[str, float | None],
    *,
    shown: bool,
) -> Grade | None:
    """Give the class that the rule names, else that of the score, else the likeliest.

    Classes without any `below` are a differential: it is told only where something is shown.
    """
    if given is not None:
        return next((grade for grade in manifest.classes if grade.name == given), None)
    if any(grade.below is not None for grade in manifest.classes):
        if score is None:
            return None
        return next((g for g in manifest.classes if g.below is None or score < g.below), None)
    chances = {grade.name: measures.get(grade.name) for grade in manifest.classes}
    known = {name: chance for name, chance in chances.items() if chance is not None}
    if not (shown and known):
        return None
    likeliest = max(known, key=lambda name: known[name])
    return next(grade for grade in manifest.classes if grade.name == likeliest)


def _follow_up(
    manifest: Manifest, state: str, name: str | None, grade: Grade | None
) -> tuple[Text | None, str]:
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
