"""Plant what was asked for into a scene, and a confounder of every other check."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from networks.phantoms.findings import Wanted
from networks.phantoms.lesion import DIFFICULTIES, Lesion
from networks.phantoms.lesions import CHECKS, PLANTERS, Judged, NoPlaceError
from networks.phantoms.scene import Scene

ATTEMPTS = 6
"""Drawings of a finding before the patient is said to have no place for it."""

CONFOUNDER_ATTEMPTS = 3
"""Kinds that are tried as a check's confounder; where none fits there is none."""


def plant_findings(
    scene: Scene,
    wanted: Sequence[Wanted],
    seed: int,
    *,
    difficulty: str,
    judge: Judged,
    range_mm: tuple[float, float] | None = None,
) -> list[str]:
    """Plant findings into a scene.

    Parameters
    ----------
    scene : Scene
        Takes the lesions.
    wanted : sequence of Wanted
        From `networks.phantoms.findings.plant`.
    seed : int
        Draws everything; each finding has numbers of its own.
    difficulty : str
        One of `networks.phantoms.lesion.DIFFICULTIES`.
    judge : Judged
        d′ on the scan that will be made.
    range_mm : (low, high) tuple of float, optional
        z that is scanned; a lesion's centre lies within it.

    Returns
    -------
    list of str
        The kinds that were planted.

    Raises
    ------
    NoPlaceError
        When the patient has no place for one of them.
    """
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, not {difficulty!r}")
    kinds = []
    for number, want in enumerate(wanted):
        reason = "it lies outside the scan"
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([seed, 3, number, attempt])
            kind = want.kinds[attempt % len(want.kinds)]
            try:
                found = PLANTERS[want.check].plant(
                    scene, rng, kind, difficulty=difficulty, judge=judge
                )
            except NoPlaceError as error:
                reason = str(error)
                continue
            if _within(found, range_mm):
                scene.add(found)
                kinds.append(kind)
                break
        else:
            raise NoPlaceError(f"patient {seed} has no place for {want.kinds[0]}: {reason}")
    return kinds


def plant_confounders(
    scene: Scene, checks: Sequence[str], seed: int, *, judge: Judged | None = None
) -> list[str]:
    """Plant one confounder of each check that the patient has a place for, and return the kinds."""
    kinds = []
    for check in checks:
        if check not in PLANTERS:
            continue
        planter, number = PLANTERS[check], CHECKS.index(check)
        order = np.random.default_rng([seed, 4, number]).permutation(planter.CONFOUNDERS)
        for attempt, kind in enumerate(order[:CONFOUNDER_ATTEMPTS]):
            rng = np.random.default_rng([seed, 4, number, attempt])
            try:
                scene.add(planter.confound(scene, rng, str(kind), judge=judge))
            except NoPlaceError:
                continue
            kinds.append(str(kind))
            break
    return kinds


def _within(lesions: Sequence[Lesion], range_mm: tuple[float, float] | None) -> bool:
    """Tell whether the findings among lesions are centred within a range of z."""
    if range_mm is None:
        return True
    low, high = range_mm
    return all(low <= lesion.centre_mm[0] <= high for lesion in lesions if lesion.is_finding)
