"""The findings that can be planted, and the check each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FINDINGS: dict[str, float] = {
    "fatty_liver_mild": 12.0,
    "fatty_liver_moderate": 20.0,
    "fatty_liver_severe": 30.0,
}
"""Finding → proton density fat fraction of the liver, % (pipelines.md §6.3)."""

CHECKS: dict[str, tuple[str, ...]] = {"liver": tuple(FINDINGS)}
"""Check → its findings; the name of a check plants one of them, chosen by the seed."""

STEATOSIS_CUTS_PERCENT = (6.4, 17.4, 22.1)
"""PDFF at which S1, S2 and S3 begin (pipelines.md §6.3)."""

HEALTHY_PDFF_PERCENT = (1.5, 5.5)
"""Range of a liver without the finding."""


@dataclass(frozen=True)
class Planted:
    """What a study carries."""

    findings: tuple[str, ...]
    pdff_percent: float


def steatosis_grade(pdff_percent: float) -> str:
    """Return S0, S1, S2 or S3 for a proton density fat fraction in percent."""
    return f"S{sum(pdff_percent >= cut for cut in STEATOSIS_CUTS_PERCENT)}"


def plant(findings: Sequence[str], pdff_percent: float | None, seed: int) -> Planted:
    """Work out what a study carries.

    Parameters
    ----------
    findings : sequence of str
        Names of findings or of checks; none is a healthy patient.
    pdff_percent : float, optional
        Overrides the liver's fat fraction.
    seed : int
        Chooses where a check is named, and the fat fraction of a healthy liver.

    Raises
    ------
    ValueError
        For a name that does not exist, or two findings that exclude each other.
    """
    rng = np.random.default_rng([seed, 77])
    chosen: list[str] = []
    for name in findings:
        if name in CHECKS:
            chosen.append(str(rng.choice(CHECKS[name])))
        elif name in FINDINGS:
            chosen.append(name)
        else:
            raise ValueError(
                f"no finding {name!r}; there are {', '.join(FINDINGS)}"
                f" and, for any finding of a check, {', '.join(CHECKS)}"
            )
    if len(set(chosen)) > 1:
        raise ValueError(f"{' and '.join(sorted(set(chosen)))} exclude each other")
    if pdff_percent is None:
        healthy = round(float(rng.uniform(*HEALTHY_PDFF_PERCENT)), 1)
        pdff_percent = FINDINGS[chosen[0]] if chosen else healthy
    return Planted(tuple(dict.fromkeys(chosen)), float(pdff_percent))
