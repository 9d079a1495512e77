"""A cohort of phantoms from seeds: on all cores, with a progress bar, and nothing on disk.

``python -m networks.phantoms.cohort --check pancreas --planted 25 --healthy 100 --json``
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from rich.console import Console
from rich.progress import track

from networks.phantoms.case import SPACING_MM, Case, CasePlan, draw_case
from networks.phantoms.findings import kinds_of
from networks.phantoms.lesion import DIFFICULTIES
from networks.phantoms.lesions import CHECKS, NoPlaceError
from networks.phantoms.profiles import SEEN, UNSEEN

T = TypeVar("T")

SPLITS = {
    "training": (100_000, 800_000),
    "validation": (800_000, 900_000),
    "test": (900_000, 1_000_000),
}
"""Split → its seeds, half-open. Only the test is scanned on unseen scanner models."""

KERNEL_SHARES = {"soft": 0.6, "standard": 0.35, "sharp": 0.05}
"""How often a case is scanned with which kernel class."""

THICKNESSES_MM = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
"""Slice thicknesses, equally often; slices abut."""

MOST_THICKNESS_MM = {"nodule": 1.5, "calcium": 3.0, "bone": 3.0, "chest": 3.0}
"""Thickest slices on which a check is run (pipelines.md §4)."""

BOTH_SHARE = 0.5
"""Share of planted cases that hold a confounder of the same check too, so that the confounder does
not tell that a patient is healthy."""


def plan_cohort(
    split: str,
    *,
    check: str,
    planted: int,
    healthy: int,
    difficulty: str = "medium",
    kinds: Sequence[str] = (),
    confounders: Sequence[str] = CHECKS,
    first: int = 0,
    spacing_mm: float = SPACING_MM,
) -> list[CasePlan]:
    """Plan the cases of one check.

    Parameters
    ----------
    split : str
        training, validation or test: which seeds and scanner models.
    check : str
        One of `networks.phantoms.lesions.CHECKS`.
    planted, healthy : int
        Cases with a finding of the check, and without any.
    difficulty : str
        Of the findings.
    kinds : sequence of str
        Kinds in turn; all that the check's name stands for by default.
    confounders : sequence of str
        Checks of which healthy cases hold a confounder. Planted cases hold those of the other
        checks, and half of them one of their own too.
    first : int
        Where in the split's seeds to begin.
    spacing_mm : float
        Voxel of the anatomies.

    Returns
    -------
    list of CasePlan
        The planted ones first.

    Raises
    ------
    ValueError
        For an unknown name, or more cases than the split has seeds.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if check not in CHECKS:
        raise ValueError(f"no check {check!r}; there are {', '.join(CHECKS)}")
    if difficulty not in DIFFICULTIES:
        raise ValueError(f"difficulty must be one of {', '.join(DIFFICULTIES)}, not {difficulty!r}")
    low, high = SPLITS[split]
    if low + first + planted + healthy > high:
        raise ValueError(f"{split} has {high - low} seeds")
    kinds = tuple(kinds) or kinds_of(check)
    plans = []
    for n in range(planted + healthy):
        seed = low + first + n
        rng = np.random.default_rng([seed, 5])
        ill = n < planted
        names = UNSEEN if split == "test" and n % 2 == 0 else SEEN
        both = rng.random() < BOTH_SHARE
        thin = [t for t in THICKNESSES_MM if t <= MOST_THICKNESS_MM.get(check, 5.0)]
        plans.append(
            CasePlan(
                seed=seed,
                check=check if ill else None,
                kind=kinds[n % len(kinds)] if ill and kinds else None,
                difficulty=difficulty,
                confounders=tuple(c for c in confounders if not ill or c != check or both),
                lean_liver=check == "liver",
                profile=str(rng.choice(names)),
                kernel=str(rng.choice(list(KERNEL_SHARES), p=list(KERNEL_SHARES.values()))),
                thickness_mm=float(rng.choice(thin)),
                spacing_mm=spacing_mm,
                dose=float(np.exp(rng.uniform(np.log(0.6), np.log(1.6)))),
            )
        )
    return plans


@overload
def cohort(
    plans: Sequence[CasePlan], *, processes: int | None = None, progress: bool = True
) -> Iterator[Case]: ...
@overload
def cohort(
    plans: Sequence[CasePlan],
    make: Callable[[Case], T],
    *,
    processes: int | None = None,
    progress: bool = True,
) -> Iterator[T]: ...
def cohort(
    plans: Sequence[CasePlan],
    make: Callable[[Case], Any] | None = None,
    *,
    processes: int | None = None,
    progress: bool = True,
) -> Iterator[Any]:
    """Draw cases on all cores, in the order of their plans.

    Parameters
    ----------
    plans : sequence of CasePlan
        From `plan_cohort`.
    make : callable, optional
        What is made of each case where it is drawn, so that only that is sent back: the case itself
        by default. A function of a module, since it goes to other processes.
    processes : int, optional
        One for each core that this process may use, by default.
    progress : bool
        Show a bar on stderr.

    Yields
    ------
    Case or what `make` returns
        Cases without a place for their finding are left out.
    """
    count = processes or len(os.sched_getaffinity(0))
    work = [(plan, make) for plan in plans]
    console = Console(stderr=True)
    if count == 1 or len(plans) < 2:
        results: Iterator[Any] = map(_make, work)
        yield from _shown(results, len(plans), progress, console)
        return
    with multiprocessing.get_context("spawn").Pool(min(count, len(plans))) as pool:
        yield from _shown(pool.imap(_make, work), len(plans), progress, console)


def _shown(results: Iterator[Any], total: int, progress: bool, console: Console) -> Iterator[Any]:
    for made in track(results, "Phantoms", total=total, console=console, disable=not progress):
        if made is not None:
            yield made


def _make(work: tuple[CasePlan, Callable[[Case], Any] | None]) -> Any:
    plan, make = work
    try:
        case = draw_case(plan)
    except NoPlaceError:
        return None
    return case if make is None else make(case)


def summary(case: Case) -> dict[str, Any]:
    """Return what is true of a case as plain values."""
    return {
        "seed": case.plan.seed,
        "check": case.plan.check,
        "profile": case.plan.profile,
        "findings": list(case.findings),
        "lesions": [lesion.truth() for lesion in case.lesions],
    }


def _told(cases: Sequence[dict[str, Any]], seconds: float, planned: int) -> dict[str, Any]:
    lesions = [lesion for case in cases for lesion in case["lesions"]]
    found = [lesion for lesion in lesions if lesion["is_finding"]]
    dprime = [lesion["dprime"] for lesion in found if lesion["dprime"] is not None]
    return {
        "planned": planned,
        "planted": sum(case["check"] is not None for case in cases),
        "healthy": sum(case["check"] is None for case in cases),
        "no_place": planned - len(cases),
        "findings": Counter(name for case in cases for name in case["findings"]),
        "difficulty": Counter(str(lesion["difficulty"]) for lesion in found),
        "dprime_quartiles": np.percentile(dprime, [25, 50, 75]).round(2).tolist() if dprime else [],
        "sites": Counter(lesion["site"] for lesion in found),
        "confounders": Counter(x["kind"] for x in lesions if not x["is_finding"]),
        "profiles": Counter(case["profile"] for case in cases),
        "seconds": round(seconds, 1),
        "seconds_per_case": round(seconds / max(planned, 1), 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Draw a cohort and say what is in it."""
    parser = argparse.ArgumentParser(description="Draw a cohort of phantoms and sum it up.")
    parser.add_argument("--check", required=True, choices=CHECKS)
    parser.add_argument("--planted", type=int, default=25, metavar="N")
    parser.add_argument("--healthy", type=int, default=100, metavar="N")
    parser.add_argument("--difficulty", default="medium", choices=DIFFICULTIES)
    parser.add_argument("--split", default="validation", choices=tuple(SPLITS))
    parser.add_argument("--first", type=int, default=0, metavar="N", help="skip N seeds")
    parser.add_argument("--spacing", type=float, default=SPACING_MM, metavar="MM")
    parser.add_argument("--processes", type=int, metavar="N", help="all cores by default")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    plans = plan_cohort(
        args.split, check=args.check, planted=args.planted, healthy=args.healthy,
        difficulty=args.difficulty, first=args.first, spacing_mm=args.spacing,
    )  # fmt: skip
    started = time.monotonic()
    cases = list(cohort(plans, summary, processes=args.processes))
    told = _told(cases, time.monotonic() - started, len(plans))
    if args.json:
        print(json.dumps(told, indent=2))
    else:
        for name, value in told.items():
            print(f"{name:18} {dict(value) if isinstance(value, Counter) else value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
