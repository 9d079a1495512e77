"""Which lesions of a check are shown, and which ask for action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.screening.thresholds import LesionThresholds

Lesion = Mapping[str, Any]


def number_of(lesion: Lesion, name: str) -> float | None:
    """Give a number of a lesion: its key, ``classes.NAME`` or ``measures.NAME``."""
    value: Any = lesion
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return None if value is None or isinstance(value, bool) else float(value)


def marked_by_threshold(
    lesions: Sequence[Lesion], thresholds: LesionThresholds | None
) -> tuple[Lesion, ...]:
    """Set ``marked`` and ``flagged`` of each lesion, where lesions have thresholds of their own."""
    if thresholds is None:
        return tuple(lesions)
    out = []
    for lesion in lesions:
        score = number_of(lesion, thresholds.score)
        out.append(
            {
                **lesion,
                "marked": score is not None and score >= thresholds.mark,
                "flagged": score is not None and score >= thresholds.flag,
            }
        )
    return tuple(out)


def marked_with_check(
    lesions: Sequence[Lesion], *, marked: bool, flagged: bool
) -> tuple[Lesion, ...]:
    """Set ``marked`` and ``flagged`` of the lesions that do not have them as their check's are."""
    return tuple({"marked": marked, "flagged": flagged, **lesion} for lesion in lesions)


def lesion_measures(
    lesions: Sequence[Lesion], thresholds: LesionThresholds | None
) -> dict[str, float | None]:
    """Sum up lesions for the check's own thresholds; empty without thresholds of lesions."""
    if thresholds is None:
        return {}
    scores = [number_of(lesion, thresholds.score) or 0.0 for lesion in lesions]
    return {
        "lesion_score": max(scores, default=0.0),
        "lesions_marked": float(sum(bool(lesion.get("marked")) for lesion in lesions)),
        "lesions_flagged": float(sum(bool(lesion.get("flagged")) for lesion in lesions)),
    }
