"""The findings that can be asked for, and the check each belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from networks.phantoms.lesions import PLANTERS

FINDINGS: dict[str, float] = {
    "fatty_liver_mild": 12.0,
    "fatty_liver_moderate": 20.0,
    "fatty_liver_severe": 30.0,
}
"""Finding → proton density fat fraction of the liver, % (pipelines.md §6.3)."""

STEATOSIS_CUTS_PERCENT = (6.4, 17.4, 22.1)
"""PDFF at which S1, S2 and S3 begin (pipelines.md §6.3)."""

HEALTHY_PDFF_PERCENT = (1.5, 5.5)
"""Range of a liver without the finding."""


@dataclass(frozen=True)
class Wanted:
    """A finding to be planted.

    Attributes
    ----------
    check : str
        Whose finding it is.
    kinds : tuple of str
        What is tried, in order: one kind, or all that the check may draw.
    """

    check: str
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Planted:
    """What a study is to carry.

    Attributes
    ----------
    findings : tuple of str
        Of the liver's fat.
    pdff_percent : float
        Fat fraction of the liver.
    wanted : tuple of Wanted
        What is planted as lesions.
    fibrosis_stage : int
        Of the liver, 0 to 4: what it does to the anatomy.
    """

    findings: tuple[str, ...]
    pdff_percent: float
    wanted: tuple[Wanted, ...] = ()
    fibrosis_stage: int = 0

    @property
    def has_liver_disease(self) -> bool:
        """Whether there is fat or fibrosis in the liver."""
        return self.fibrosis_stage > 0 or self.pdff_percent >= STEATOSIS_CUTS_PERCENT[0]


def kinds_of(check: str) -> tuple[str, ...]:
    """Return what a check's name stands for when it is asked for as a finding.

    Of bone only metastases: its benign kinds are findings when asked for by name.
    """
    kinds = PLANTERS[check].KINDS if check in PLANTERS else ()
    if check == "bone":
        kinds = tuple(kind for kind in kinds if kind.endswith("metastasis"))
    return (*FINDINGS, *kinds) if check == "liver" else tuple(kinds)


def finding_names() -> tuple[str, ...]:
    """Return every name that can be asked for: checks, the liver's fat, and kinds of lesion."""
    kinds = [kind for planter in PLANTERS.values() for kind in planter.KINDS]
    return tuple(dict.fromkeys([*PLANTERS, "liver", *FINDINGS, *kinds]))


def steatosis_grade(pdff_percent: float) -> str:
    """Return S0, S1, S2 or S3 for a proton density fat fraction in percent."""
    return f"S{sum(pdff_percent >= cut for cut in STEATOSIS_CUTS_PERCENT)}"


def plant(findings: Sequence[str], pdff_percent: float | None, seed: int) -> Planted:
    """Work out what a study is to carry.

    Parameters
    ----------
    findings : sequence of str
        Names of kinds or of checks; none is a healthy patient.
    pdff_percent : float, optional
        Overrides the liver's fat fraction.
    seed : int
        Chooses where a check is named, and the fat fraction within what is asked for.

    Raises
    ------
    ValueError
        For a name that does not exist, or two findings that exclude each other.
    """
    rng = np.random.default_rng([seed, 77])
    fat: list[str] = []
    wanted: list[Wanted] = []
    for name in findings:
        if name == "liver" or name in PLANTERS:
            kinds = [str(kind) for kind in rng.permutation(kinds_of(name))]
            if name == "liver":
                _ask_of_liver(kinds[0], fat, wanted)
            else:
                wanted.append(Wanted(name, tuple(kinds)))
        elif name in _liver_names():
            _ask_of_liver(name, fat, wanted)
        else:
            check = next((c for c, p in PLANTERS.items() if name in p.KINDS), None)
            if check is None:
                raise ValueError(f"no finding {name!r}; there are {', '.join(finding_names())}")
            wanted.append(Wanted(check, (name,)))
    scars = {want.kinds[0] for want in wanted if want.check == "liver"}
    for names in (set(fat), scars):
        if len(names) > 1:
            raise ValueError(f"{' and '.join(sorted(names))} exclude each other")
    if pdff_percent is None:
        low, high = _fat_range(fat[0]) if fat else HEALTHY_PDFF_PERCENT
        pdff_percent = round(float(rng.uniform(low, high)), 1)
    return Planted(
        tuple(dict.fromkeys(fat)),
        float(pdff_percent),
        tuple(wanted),
        int(scars.pop()[-1]) if scars else 0,
    )


def _liver_names() -> tuple[str, ...]:
    return (*FINDINGS, *(PLANTERS["liver"].KINDS if "liver" in PLANTERS else ()))


def _ask_of_liver(kind: str, fat: list[str], wanted: list[Wanted]) -> None:
    """Ask for fat, which the whole liver is painted with, or for fibrosis, which is planted."""
    if kind.startswith("fibrosis"):
        wanted.append(Wanted("liver", (kind,)))
    else:
        fat.append(kind)


def _fat_range(finding: str) -> tuple[float, float]:
    """Return the least and the highest PDFF of a finding of fat, %."""
    if finding in FINDINGS:
        return FINDINGS[finding], FINDINGS[finding]
    from networks.phantoms.lesions.liver.steatosis import PDFF_PERCENT

    low, high = PDFF_PERCENT[int(finding[-1])]
    return low, high - 0.06  # a tenth rounded up stays below the next grade
