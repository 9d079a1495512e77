"""Figures that say how good a check is, each with its 95 % interval.

Pure functions of scores and truth. Counting rules are those of pipelines.md §7.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Z_95 = 1.959964
"""Quantile of the normal distribution for a two-sided 95 % interval."""

BOOTSTRAPS = 2000

SIZE_RATIO = (0.5, 2.0)
"""A mark that is smaller or larger than its lesion by more than this is no hit."""


class Figure(NamedTuple):
    """A figure and its 95 % interval; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    def rounded(self, digits: int = 3) -> list[float]:
        """Return value, low and high as plain numbers for JSON."""
        return [round(number, digits) for number in self]


UNKNOWN = Figure(float("nan"), float("nan"), float("nan"))


def wilson(hits: int, trials: int) -> Figure:
    """Return a proportion with Wilson's score interval.

    Parameters
    ----------
    hits, trials : int
        Successes, and how many there could have been.

    References
    ----------
    Wilson, J Am Stat Assoc 1927;22:209.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"hits must lie between 0 and {trials}, not {hits}")
    if trials == 0:
        return UNKNOWN
    share, z2 = hits / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return Figure(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float], count: int, *, seed: int = 0
) -> Figure:
    """Return a statistic with its percentile bootstrap interval.

    Parameters
    ----------
    statistic : callable
        Takes indices into the cases, with repeats, and returns the figure of those.
    count : int
        Number of cases.
    seed : int
        Of the resampling.
    """
    if count == 0:
        return UNKNOWN
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(count, size=count)) for _ in range(BOOTSTRAPS)]
    value = statistic(np.arange(count))
    if np.isnan(drawn).all():
        return Figure(value, float("nan"), float("nan"))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Figure(value, float(low), float(high))


# --- one score a patient ----------------------------------------------------------------------


def auc(healthy: ArrayLike, ill: ArrayLike) -> Figure:
    """Return the area under the ROC curve with DeLong's interval.

    Parameters
    ----------
    healthy, ill : (n,) and (m,) array
        Scores; a higher one means disease. Ties count half.

    Notes
    -----
    The interval is that of logit(AUC), so that it stays within 0 and 1; where one group is
    separated from the other without error it is the exact binomial one of the smaller group.

    References
    ----------
    DeLong, Biometrics 1988;44:837; Sun and Xu, IEEE Signal Process Lett 2014;21:1389.
    """
    negative, positive = (np.asarray(scores, np.float64) for scores in (healthy, ill))
    n, m = negative.size, positive.size
    if not n or not m:
        return UNKNOWN
    both = _middle_ranks(np.concatenate([positive, negative]))
    above = (both[:m] - _middle_ranks(positive)) / n
    below = 1.0 - (both[m:] - _middle_ranks(negative)) / m
    area = float(above.mean())
    if min(n, m) < 2:
        return Figure(area, float("nan"), float("nan"))
    variance = float(above.var(ddof=1) / m + below.var(ddof=1) / n)
    if not 0 < area < 1 or variance == 0:
        edge = 0.025 ** (1 / min(n, m))
        return Figure(area, edge, 1.0) if area > 0.5 else Figure(area, 0.0, 1 - edge)
    middle = np.log(area / (1 - area))
    half = Z_95 * np.sqrt(variance) / (area * (1 - area))
    low, high = 1 / (1 + np.exp(-(middle + np.array([-half, half]))))
    return Figure(area, float(low), float(high))


def _middle_ranks(values: Floats) -> Floats:
    """Return ranks from 1, ties sharing the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - 0.5 * (count - 1))[place]
    return ranks


def sensitivity(ill: ArrayLike, threshold: float) -> Figure:
    """Return the share of ill scores that reach a threshold."""
    scores = np.asarray(ill, np.float64)
    return wilson(int((scores >= threshold).sum()), scores.size)


def specificity(healthy: ArrayLike, threshold: float) -> Figure:
    """Return the share of healthy scores that stay below a threshold."""
    scores = np.asarray(healthy, np.float64)
    return wilson(int((scores < threshold).sum()), scores.size)


def threshold_for(healthy: ArrayLike, share: float) -> float:
    """Return the lowest threshold that at most a share of healthy scores reach.

    Raises
    ------
    ValueError
        When there are too few scores for one of them to be that share.
    """
    scores = np.sort(np.asarray(healthy, np.float64))
    allowed = int(np.floor(share * scores.size + 1e-9))
    if allowed < 1:
        raise ValueError(f"{scores.size} healthy scores cannot tell a share of {share}")
    return float(np.nextafter(scores[-allowed - 1], np.inf))


# --- many marks a patient ---------------------------------------------------------------------


@dataclass(frozen=True)
class MarkedCase:
    """The marks of one patient, and which lesion each of them hits.

    Attributes
    ----------
    scores : (p,) ndarray of float64
        Of the marks.
    hits : (p,) ndarray of int64
        Number of the lesion that a mark hits; −1 for a false positive.
    lesions : int
        How many lesions there are.
    """

    scores: Floats
    hits: NDArray[np.int64]
    lesions: int


def match_marks(
    scores: ArrayLike, inside: ArrayLike, size_ratio: ArrayLike | None = None
) -> MarkedCase:
    """Give each lesion the best mark that hits it; all other marks are false positives.

    Parameters
    ----------
    scores : (p,) array
        Of the marks.
    inside : (p, l) array of bool
        Whether a mark's centre lies in a lesion's mask dilated by 3 mm.
    size_ratio : (p, l) array, optional
        Diameter of the mark over that of the lesion; must lie within `SIZE_RATIO`.
    """
    values = np.asarray(scores, np.float64)
    fits = np.array(inside, bool)
    if fits.ndim != 2:
        fits = fits.reshape(values.size, -1 if values.size else 0)
    if size_ratio is not None and fits.size:
        ratio = np.asarray(size_ratio, np.float64).reshape(fits.shape)
        fits &= (ratio >= SIZE_RATIO[0]) & (ratio <= SIZE_RATIO[1])
    hits = np.full(values.size, -1, np.int64)
    open_lesions = set(range(fits.shape[1]))
    for mark in np.argsort(-values, kind="stable"):
        free = [lesion for lesion in np.flatnonzero(fits[mark]) if lesion in open_lesions]
        if free:
            hits[mark] = free[0]
            open_lesions.remove(free[0])
    return MarkedCase(values, hits, fits.shape[1])


def froc_point(cases: Sequence[MarkedCase], threshold: float) -> tuple[float, float]:
    """Return (false positives a case, share of lesions found) at a threshold."""
    false = sum(int(((c.scores >= threshold) & (c.hits < 0)).sum()) for c in cases)
    found = sum(int(((c.scores >= threshold) & (c.hits >= 0)).sum()) for c in cases)
    lesions = sum(c.lesions for c in cases)
    return false / max(len(cases), 1), found / lesions if lesions else float("nan")


def froc(cases: Sequence[MarkedCase]) -> NDArray[np.float64]:
    """Return the free-response curve.

    Returns
    -------
    (n, 3) ndarray
        Threshold, false positives a case and share of lesions found, thresholds falling.
    """
    scores = np.unique(np.concatenate([c.scores for c in cases] or [np.empty(0)]))[::-1]
    return np.array([(s, *froc_point(cases, float(s))) for s in scores]).reshape(-1, 3)


def froc_sensitivity(
    cases: Sequence[MarkedCase], false_positives: float, *, seed: int = 0
) -> Figure:
    """Return the share of lesions found at no more than so many false positives a case.

    The interval is bootstrapped over cases.
    """
    lesions = np.array([c.lesions for c in cases])
    scores = np.concatenate([c.scores for c in cases] or [np.empty(0)])
    owner = np.repeat(np.arange(len(cases)), [c.scores.size for c in cases])
    hit = np.concatenate([c.hits for c in cases] or [np.empty(0)]) >= 0
    order = np.argsort(-scores, kind="stable")
    scores, owner, hit = scores[order], owner[order], hit[order]
    last = np.append(scores[1:] != scores[:-1], True)  # of marks with one score

    def share(chosen: NDArray[np.intp]) -> float:
        weight = np.bincount(chosen, minlength=len(cases))
        total = float((weight * lesions).sum())
        if not total:
            return float("nan")
        false = np.cumsum(weight[owner] * ~hit) / len(chosen)
        found = np.cumsum(weight[owner] * hit) / total
        within = found[last & (false <= false_positives)]
        return float(within[-1]) if within.size else 0.0

    return bootstrap(share, len(cases), seed=seed)


# --- grades and measurements ------------------------------------------------------------------


def kappa(
    first: ArrayLike, second: ArrayLike, classes: int, *, weights: str = "quadratic", seed: int = 0
) -> Figure:
    """Return Cohen's kappa of two gradings, bootstrapped over cases.

    Parameters
    ----------
    first, second : (n,) array of int
        Grades from 0.
    classes : int
        How many grades there are.
    weights : str
        ``quadratic``, ``linear`` or ``none``.

    References
    ----------
    Cohen, Psychol Bull 1968;70:213.
    """
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(float)
    try:
        cost = {"quadratic": distance**2, "linear": distance, "none": (distance > 0) * 1.0}[weights]
    except KeyError:
        raise ValueError(f"weights must be quadratic, linear or none, not {weights!r}") from None
    ours, theirs = np.asarray(first, np.int64), np.asarray(second, np.int64)

    def agreement(chosen: NDArray[np.intp]) -> float:
        flat = ours[chosen] * classes + theirs[chosen]
        table = np.bincount(flat, minlength=classes**2).reshape(classes, classes) / len(chosen)
        chance = float((cost * np.outer(table.sum(1), table.sum(0))).sum())
        return 1.0 - float((cost * table).sum()) / chance if chance else float("nan")

    return bootstrap(agreement, len(ours), seed=seed)


class Agreement(NamedTuple):
    """How a measurement differs from the truth, in its own unit or as a share of the truth."""

    bias: Figure
    lower_limit: Figure
    """Bias − 1.96 SD."""

    upper_limit: Figure
    """Bias + 1.96 SD."""


def bland_altman(measured: ArrayLike, truth: ArrayLike, *, relative: bool = False) -> Agreement:
    """Return bias and limits of agreement.

    Parameters
    ----------
    measured, truth : (n,) array
    relative : bool
        Differences as a share of the mean of both; pairs whose mean is 0 are left out.

    References
    ----------
    Bland and Altman, Lancet 1986;327:307, with their approximate intervals.
    """
    ours, theirs = np.asarray(measured, np.float64), np.asarray(truth, np.float64)
    difference = ours - theirs
    if relative:
        mean = 0.5 * (ours + theirs)
        difference = difference[mean != 0] / mean[mean != 0]
    count = difference.size
    if count < 2:
        return Agreement(UNKNOWN, UNKNOWN, UNKNOWN)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    mean_error = Z_95 * sd / np.sqrt(count)
    limit_error = Z_95 * sd * np.sqrt(1 / count + Z_95**2 / (2 * (count - 1)))

    def around(value: float, error: float) -> Figure:
        return Figure(value, float(value - error), float(value + error))

    return Agreement(
        around(bias, mean_error),
        around(bias - Z_95 * sd, limit_error),
        around(bias + Z_95 * sd, limit_error),
    )
