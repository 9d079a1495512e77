"""What of a review still holds when the study was screened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.review.content import Content

SAID = ("state", "reason", "lesions", "measures")
"""What a decision speaks of; texts, thresholds and provenance may differ."""


def carry(
    content: Content, before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> tuple[Content, list[str]]:
    """Take over what speaks of results that have not changed.

    Returns
    -------
    content : dict
        For the newer version; the comment on the study stays.
    left_behind : list of str
        Checks whose result is another now, so that they have to be decided anew.
    """
    old = {check["check"]: check for check in before}
    new = {check["check"]: check for check in now}
    kept, left = {}, []
    for name, said in content["findings"].items():
        one, other = old.get(name), new.get(name)
        if one and other and all(one[key] == other[key] for key in SAID):
            kept[name] = said
        else:
            left.append(name)
    return {**content, "findings": kept}, left
