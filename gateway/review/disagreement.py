"""What two readers of one screening do not agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.review.matching import hits, match

Check = Mapping[str, Any]
"""A check's result as a reader left it."""


def disagreements(
    checks: Sequence[Check], first: Sequence[Check], second: Sequence[Check]
) -> list[dict[str, Any]]:
    """List the checks whose state or shown lesions differ.

    Parameters
    ----------
    checks : sequence of mapping
        The screening's own results, whose lesions keep their ids.
    first, second : sequence of mapping
        The same as each reader left them.

    Returns
    -------
    list of dict
        ``check``, ``about`` (``state``, ``lesions``), the ``states`` of both, and ``only``: for
        each reader the lesions that only he has.
    """
    others = {check["check"]: check for check in second}
    known = {check["check"]: {lesion["id"] for lesion in check["lesions"]} for check in checks}
    found = []
    for check in first:
        other = others[check["check"]]
        only = _only(_shown(check), _shown(other), known[check["check"]])
        about = ["state"] if check["state"] != other["state"] else []
        if any(only):
            about.append("lesions")
        if about:
            found.append(
                {
                    "check": check["check"],
                    "about": about,
                    "states": [check["state"], other["state"]],
                    "only": [[lesion["id"] for lesion in side] for side in only],
                }
            )
    return found


def _shown(check: Check) -> list[Mapping[str, Any]]:
    return [lesion for lesion in check["lesions"] if lesion.get("marked")]


def _only(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], known: set[int]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """List the lesions of one reader and of the other that have no counterpart.

    A lesion of the check is itself; what readers added is paired by place and size.
    """
    same = known & {one["id"] for one in first} & {one["id"] for one in second}
    left = [one for one in first if one["id"] not in same]
    right = [one for one in second if one["id"] not in same]
    pairs = match(left, right)
    for i, one in enumerate(left):  # a small box within a large one is hit from one side only
        if i not in pairs:
            free = (j for j in range(len(right)) if j not in pairs.values())
            other = next((j for j in free if hits(right[j], one)), None)
            if other is not None:
                pairs[i] = other
    taken = set(pairs.values())
    return (
        [one for i, one in enumerate(left) if i not in pairs],
        [one for j, one in enumerate(right) if j not in taken],
    )
