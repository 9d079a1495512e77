"""Flag thresholds moved to the budget of false flags, on a site's own negative studies.

Pure arithmetic: what is read and where it is kept is `gateway.commands.calibrate`'s and
`gateway.screening.site_thresholds`'.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.exceptions import UsageError
from gateway.screening.manifest import Manifest
from gateway.screening.thresholds import COMPARISONS, Threshold

DEFAULT_BUDGET = 0.05
"""Share of healthy studies that may be flagged by any check. The manifests' shares add up to it.
Source: pipelines, "Two thresholds, and how to count"."""

LEAST_NEGATIVES = 200
"""Of a scanner model that gets a threshold of its own; others share one. Of 200 healthy studies
at 0.5 %, one is expected to be flagged: fewer say next to nothing of such a share."""

LOWERED_FROM_FLAGS = 10.0
"""A threshold is lowered only where the budget allows so many flags among the negatives: with
fewer the share at the new threshold is not known to within a half of it."""

STEP = 1e-4
"""Scores are kept to four decimals."""

POOLED = "*"
"""Stands for every scanner model without a threshold of its own."""

WILSON_Z = 1.959964
"""Of a 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one check said of one negative study."""

    study: str
    """Any name of the study that is the same for all of its checks."""

    check: str
    scanner_model: str
    score: float
    flagged_by_rule: bool = False
    """By something that no threshold of the score moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """The flag threshold of one check on one scanner model, and what it rests on."""

    scanner_model: str
    value: float
    before: float
    """The manifest's."""

    negatives: int
    flagged_before: int
    flagged: int
    upper_bound: float
    """Of the share flagged, Wilson 95 %."""

    change: str
    """``raised``, ``lowered``, ``kept``, or ``over_budget``: rules of the check alone flag more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFlags:
    """The flag thresholds of one check."""

    check: str
    base: str
    """Id of the manifest's set."""

    budget: float
    flags: tuple[Flag, ...]
    """By scanner model; `POOLED` last."""

    def value_for(self, scanner_model: str) -> float:
        """Give the flag threshold on a scanner model."""
        by_model = {flag.scanner_model: flag.value for flag in self.flags}
        return by_model.get(scanner_model, by_model[POOLED])


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was learnt of negative studies."""

    budget: float
    studies: int
    flagged_before: int
    """Studies with a flag of any check that counts."""

    flagged: int
    upper_bound: float
    checks: tuple[CheckFlags, ...]


def wilson_upper(hits: int, trials: int) -> float:
    """Give the upper end of Wilson's 95 % interval of a share.

    References
    ----------
    * Wilson 1927, J Am Stat Assoc 22:209.
    """
    if not trials:
        return 1.0
    p, z2 = hits / trials, WILSON_Z**2
    middle = p + z2 / (2 * trials)
    half = WILSON_Z * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return min(1.0, (middle + half) / (1 + z2 / trials))


def split_budget(manifests: Mapping[str, Manifest], budget: float) -> dict[str, float]:
    """Split a study's budget over the checks in the proportion of their manifests' shares.

    A check that is not installed leaves its share unused; one without a share is a measurement
    and never a false flag.
    """
    shares = {
        name: manifest.thresholds.flag.false_flag_budget
        for name, manifest in manifests.items()
        if manifest.is_check and manifest.thresholds
    }
    return {
        name: share * budget / DEFAULT_BUDGET
        for name, share in sorted(shares.items())
        if share is not None
    }


def calibrate(
    manifests: Mapping[str, Manifest],
    scores: Sequence[Score],
    *,
    budget: float = DEFAULT_BUDGET,
    least: int = LEAST_NEGATIVES,
) -> Calibration:
    """Move the flag threshold of each check to its share of the budget.

    A threshold is raised where more negatives are flagged than the share allows, and lowered only
    where there are negatives enough to know the share (`LOWERED_FROM_FLAGS`).

    Parameters
    ----------
    scores : sequence of Score
        Of studies that are known to be negative, of the weights and thresholds that are installed.
    budget : float
        Share of healthy studies that may be flagged by any check.
    least : int
        Negatives that a scanner model must have for a threshold of its own, and all together for
        any.

    Raises
    ------
    UsageError
        When there are fewer than `least` negatives of every check.
    """
    checks = []
    for name, share in split_budget(manifests, budget).items():
        mine = [score for score in scores if score.check == name]
        if len(mine) >= least:
            thresholds = manifests[name].thresholds
            assert thresholds is not None
            checks.append(
                CheckFlags(
                    check=name,
                    base=thresholds.id,
                    budget=share,
                    flags=_flags(mine, thresholds.flag, share, least),
                )
            )
    if not checks:
        raise UsageError(
            f"There are too few negatives: a threshold rests on at least {least} of one check."
        )
    counted = set(split_budget(manifests, budget))
    before = _flagged_studies(manifests, scores, counted, {})
    after = _flagged_studies(manifests, scores, counted, {one.check: one for one in checks})
    studies = len({score.study for score in scores})
    return Calibration(
        budget=budget,
        studies=studies,
        flagged_before=len(before),
        flagged=len(after),
        upper_bound=wilson_upper(len(after), studies),
        checks=tuple(checks),
    )


def _flags(
    scores: Sequence[Score], threshold: Threshold, budget: float, least: int
) -> tuple[Flag, ...]:
    groups: defaultdict[str, list[Score]] = defaultdict(list)
    for score in scores:
        groups[score.scanner_model].append(score)
    own = [
        _flag(model, group, threshold, budget)
        for model, group in sorted(groups.items())
        if len(group) >= least
    ]
    return (*own, _flag(POOLED, scores, threshold, budget))


def _flag(model: str, scores: Sequence[Score], threshold: Threshold, budget: float) -> Flag:
    allowed = math.floor(budget * len(scores) + 1e-9)
    free = sorted(
        (score.score for score in scores if not score.flagged_by_rule), reverse=_rises(threshold)
    )
    room = allowed - (len(scores) - len(free))
    value, change = threshold.value, "kept"
    if room < 0:
        change = "over_budget"
    elif room < len(free):
        wanted = _just_beyond(free[room], threshold)
        stricter = wanted > value if _rises(threshold) else wanted < value
        if stricter:
            value, change = wanted, "raised"
        elif wanted != value and budget * len(scores) >= LOWERED_FROM_FLAGS:
            value, change = wanted, "lowered"
    flagged = sum(_is_flagged(score, threshold, value) for score in scores)
    return Flag(
        scanner_model=model,
        value=value,
        before=threshold.value,
        negatives=len(scores),
        flagged_before=sum(_is_flagged(score, threshold, threshold.value) for score in scores),
        flagged=flagged,
        upper_bound=wilson_upper(flagged, len(scores)),
        change=change,
    )


def _rises(threshold: Threshold) -> bool:
    """Say whether higher scores are flagged."""
    return threshold.at.startswith("greater")


def _just_beyond(score: float, threshold: Threshold) -> float:
    """Give the threshold nearest to a score that does not flag it."""
    if threshold.at in ("greater", "less"):
        return score
    return round(score + (STEP if _rises(threshold) else -STEP), 4)


def _is_flagged(score: Score, threshold: Threshold, value: float) -> bool:
    return score.flagged_by_rule or COMPARISONS[threshold.at](score.score, value)


def _flagged_studies(
    manifests: Mapping[str, Manifest],
    scores: Sequence[Score],
    counted: set[str],
    moved: Mapping[str, CheckFlags],
) -> set[str]:
    flagged = set()
    for score in scores:
        thresholds = manifests[score.check].thresholds
        if score.check not in counted or thresholds is None:
            continue
        flags = moved.get(score.check)
        value = flags.value_for(score.scanner_model) if flags else thresholds.flag.value
        if _is_flagged(score, thresholds.flag, value):
            flagged.add(score.study)
    return flagged
