"""Lung-RADS v2022 of an exam of lung cancer screening."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.lung_rads_advice import ADVICE, INCOMPLETE
from gateway.screening.rules.lung_rads_nodule import POSITIVE, RULE, lung_rads_nodule, rank
from gateway.screening.rules.nodule import Nodule

__all__ = ["RULE", "lung_rads", "lung_rads_nodule"]


def lung_rads(nodules: Sequence[Nodule], *, incomplete: str | None = None) -> Assessment:
    """Give the category of an exam, which is that of its most suspicious nodule.

    Parameters
    ----------
    nodules : sequence of Nodule
        All of the exam; none is category 1.
    incomplete : str, optional
        Why the exam is category 0: ``prior_awaited``, ``inflammatory``, or
        ``lungs_incomplete``, which a nodule of category 3 or more overrules.

    Returns
    -------
    Assessment
        With a nodule of unknown category, category 3 or more or None, never 1 or 2.
        The modifier S, for findings other than nodules, is not given here.

    Raises
    ------
    ValueError
        For another reason to be incomplete.
    """
    if incomplete is not None and incomplete not in INCOMPLETE:
        raise ValueError(f"incomplete must be one of {', '.join(INCOMPLETE)}.")
    assessed = [lung_rads_nodule(nodule) for nodule in nodules]
    known = [one for one in assessed if one.category is not None]
    worst = max(known, key=lambda one: rank(one.category), default=None)
    positive = worst is not None and worst.category in POSITIVE
    if incomplete and not (incomplete == "lungs_incomplete" and positive):
        return Assessment(rule=RULE, category="0", basis=incomplete, advice=INCOMPLETE[incomplete])
    missing = tuple(dict.fromkeys(name for one in assessed for name in one.missing))
    if worst is None and not assessed:
        return Assessment(rule=RULE, category="1", basis="no_nodule", advice=ADVICE["1"])
    if worst is None or (len(known) < len(assessed) and not positive):
        unclear = next(one for one in assessed if one.category is None)
        return Assessment(rule=RULE, category=None, basis=unclear.basis, missing=missing)
    return Assessment(
        rule=RULE,
        category=worst.category,
        basis=worst.basis,
        missing=missing,
        advice=worst.advice,
    )
