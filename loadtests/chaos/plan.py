"""Which faults a run brings, and in which order: by a seed, each kind before any comes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from loadtests.chaos.faults.base import Fault

FOLDER, S3 = "folder", "s3"


@dataclass(frozen=True)
class Step:
    """One fault of a run."""

    number: int
    """From 1; with the seed it says all that is random in it."""

    fault: Fault
    store: str
    """Object store of the server that it strikes."""


def plan(
    faults: Mapping[str, Fault], count: int, seed: int, *, stores: Sequence[str] = (FOLDER, S3)
) -> list[Step]:
    """Draw so many faults.

    Those that mind no store are shared out, and the steps are sorted by store, so that a run
    starts one server for each.
    """
    random = Random(seed)
    usable = [fault for fault in faults.values() if fault.store in ("", *stores)]
    drawn: list[Fault] = []
    while usable and len(drawn) < count:
        drawn += random.sample(usable, min(len(usable), count - len(drawn)))
    placed = [(fault.store or random.choice(list(stores)), fault) for fault in drawn]
    placed.sort(key=lambda one: list(stores).index(one[0]))
    return [Step(number, fault, store) for number, (store, fault) in enumerate(placed, start=1)]
