"""Labels of the chest that other checks answer, and how their results are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.screening.findings import CheckResult

ANSWERED = ("positive", "negative")
"""States of a check that has a plain answer."""

GRADES = {"S0": "negative", "S1": "marked", "S2": "positive", "S3": "positive"}
"""Steatosis alone: the check is positive for fibrosis too."""

WORST = ("positive", "marked", "failed", "not_evaluated", "indeterminate", "negative")
"""Of several checks: what is found counts, then whatever keeps the answer from being negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Where a label is taken from."""

    checks: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    """Of their lesions; empty takes the check's own state."""

    measure: str | None = None
    """In place of the state of a check that is not positive: above 0 there is something."""

    graded: bool = False
    """Whether the check's grade is one of `GRADES`."""


TAKEN: Mapping[str, Taken] = {
    **{
        name: Taken(checks=("nodule",), kinds=(name,))
        for name in (
            "solid_nodule",
            "part_solid_nodule",
            "ground_glass_nodule",
            "calcified_nodule",
        )
    },
    "coronary_calcification": Taken(checks=("calcium",), measure="cac_level"),
    "acute_aortic_syndrome": Taken(checks=("aorta",)),
    "blastic_lesion": Taken(checks=("bone",), kinds=("blastic_metastasis", "mixed_metastasis")),
    "lytic_lesion": Taken(checks=("bone",), kinds=("lytic_metastasis", "mixed_metastasis")),
    "steatosis": Taken(checks=("liver",), graded=True),
    "pancreas_or_stomach": Taken(checks=("pancreas", "stomach")),
}
"""Label → where it is taken from."""


def taken_label(name: str, results: Mapping[str, CheckResult]) -> tuple[str, tuple[str, ...]]:
    """Read a label off the results of other checks.

    Parameters
    ----------
    name : str
        A key of `TAKEN`.
    results : mapping
        Of the checks that were asked for.

    Returns
    -------
    str
        ``positive``, ``marked``, or what the check's own state is; ``not_evaluated`` where it was
        not asked for.
    tuple of str
        The checks that were not asked for.
    """
    taken = TAKEN[name]
    missing = tuple(check for check in taken.checks if check not in results)
    states = ["not_evaluated"] * len(missing)
    states += [_state(taken, results[check]) for check in taken.checks if check in results]
    return min(states, key=WORST.index), missing


def _state(taken: Taken, result: CheckResult) -> str:
    if result.state in ("not_evaluated", "failed"):
        return result.state
    if taken.graded:
        # without a grade the check is positive for something else, which says nothing of this
        graded = GRADES.get(result.grade or "", "indeterminate")
        return graded if result.state in ANSWERED else result.state
    if taken.kinds:
        return _by_kind(taken, result)
    if taken.measure is not None:
        found = (result.measures.get(taken.measure) or 0.0) > 0
    else:
        found = result.shows_something
    return "marked" if found and result.state != "positive" else result.state


def _by_kind(taken: Taken, result: CheckResult) -> str:
    """Read lesions of some kinds: another kind that was found says nothing of them."""
    lesions = [lesion for lesion in result.lesions if lesion.get("kind") in taken.kinds]
    if result.state in ANSWERED and any(lesion.get("flagged") for lesion in lesions):
        return "positive"
    if any(lesion.get("marked") for lesion in lesions):
        return "marked"
    return "indeterminate" if result.state == "positive" else result.state
