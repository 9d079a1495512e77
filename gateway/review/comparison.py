"""A reader's own marks beside the truth: hits, misses and false marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.review.matching import match


def compare(
    marks: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Compare marks with the lesions that are shown, check by check.

    Parameters
    ----------
    marks : sequence of mapping
        ``check``, ``centre_mm`` and perhaps ``diameter_mm``.
    checks : sequence of mapping
        Results: of a final report, or of the screening itself.

    Returns
    -------
    dict
        ``lesions``, ``hits``, ``misses``, ``false_marks`` and ``sensitivity`` of all, and under
        ``checks`` of each check with the lesions and marks (counted from 0) of each.
    """
    lesions = {
        check["check"]: [one for one in check["lesions"] if one.get("marked")] for check in checks
    }
    of_check = {
        name: _of_check(name, marks, lesions.get(name, []))
        for name in sorted({*lesions, *(mark["check"] for mark in marks)})
    }
    told = {name: one for name, one in of_check.items() if one["lesions"] or one["false_marks"]}
    found = sum(len(one["hits"]) for one in told.values())
    there = sum(one["lesions"] for one in told.values())
    return {
        "lesions": there,
        "hits": found,
        "misses": there - found,
        "false_marks": sum(len(one["false_marks"]) for one in told.values()),
        "sensitivity": found / there if there else None,
        "checks": told,
    }


def _of_check(
    name: str, marks: Sequence[Mapping[str, Any]], lesions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    ours = [index for index, mark in enumerate(marks) if mark["check"] == name]
    pairs = match([marks[index] for index in ours], lesions)
    return {
        "lesions": len(lesions),
        "hits": [
            {"lesion": lesions[lesion]["id"], "mark": ours[mark]}
            for mark, lesion in sorted(pairs.items())
        ],
        "misses": [
            lesion["id"] for i, lesion in enumerate(lesions) if i not in set(pairs.values())
        ],
        "false_marks": [index for place, index in enumerate(ours) if place not in pairs],
        "sensitivity": len(pairs) / len(lesions) if lesions else None,
    }
