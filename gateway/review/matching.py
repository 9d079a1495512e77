"""Which marks hit which lesions: the rule by which networks are judged, for readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WITHIN_MM = 3.0
"""A mark hits within so much of a lesion (pipelines: hit = inside, dilated by 3 mm)."""

SIZE_RATIO = (0.5, 2.0)
"""A mark that is smaller or larger than its lesion by more than this is no hit."""

Place = Mapping[str, Any]
"""``centre_mm``, and where they are known ``box_mm`` and a diameter."""


def hits(mark: Place, lesion: Place) -> bool:
    """Whether a mark's centre lies in a lesion's box widened by `WITHIN_MM`, and sizes fit.

    A lesion without a box is the ball of its diameter, or a point. Sizes are compared where both
    have one.
    """
    ours, theirs = diameter_mm(mark), diameter_mm(lesion)
    if ours and theirs and not SIZE_RATIO[0] <= ours / theirs <= SIZE_RATIO[1]:
        return False
    centre, box = mark["centre_mm"], lesion.get("box_mm")
    if box is None:
        reach = WITHIN_MM + (theirs or 0.0) / 2
        return _squared(centre, lesion["centre_mm"]) <= reach**2
    return all(
        low - WITHIN_MM <= x <= high + WITHIN_MM for x, low, high in zip(centre, *box, strict=True)
    )


def diameter_mm(place: Place) -> float | None:
    """Give the diameter that a mark or a lesion has."""
    for name in ("diameter_mm", "mean_diameter_mm", "long_diameter_mm"):
        if place.get(name):
            return float(place[name])
    return None


def match(marks: Sequence[Place], lesions: Sequence[Place]) -> dict[int, int]:
    """Pair marks with the lesions that they hit: one each, as many pairs as there can be.

    Returns
    -------
    dict
        Index of a mark → index of its lesion. Of marks that hit the same lesion the nearest has it
        where that costs no other pair.
    """
    fits = [
        sorted(
            (i for i, lesion in enumerate(lesions) if hits(mark, lesion)),
            key=lambda i, mark=mark: _squared(mark["centre_mm"], lesions[i]["centre_mm"]),  # type: ignore[misc]
        )
        for mark in marks
    ]
    owner: dict[int, int] = {}

    def place(mark: int, seen: set[int]) -> bool:
        """Find a lesion for a mark, moving others on where that is needed."""
        for lesion in fits[mark]:
            if lesion in seen:
                continue
            seen.add(lesion)
            if lesion not in owner or place(owner[lesion], seen):
                owner[lesion] = mark
                return True
        return False

    def distance(mark: int) -> float:
        near = fits[mark][:1]
        return _squared(marks[mark]["centre_mm"], lesions[near[0]]["centre_mm"]) if near else 0.0

    for mark in sorted(range(len(marks)), key=distance):
        place(mark, set())
    return {mark: lesion for lesion, mark in owner.items()}


def _squared(one: Sequence[float], other: Sequence[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
