"""The plan of a reader study: who reads which case when, with the findings or without."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

SESSIONS = 2
"""Each case is read once in each of them, with the findings in one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One case of one reader in one session."""

    reader: str
    session: int
    """1 or 2."""

    position: int
    """From 1, within the session."""

    case: str
    with_findings: bool


def allocate(seed: int, readers: Sequence[str], cases: Sequence[str]) -> list[Reading]:
    """Allocate every case to every reader twice.

    The seed puts the cases into one order, of which neighbours get different arms; each reader
    begins with the other arm than the reader before him. So half of the cases (give or take one)
    are read with the findings in a session, and each case is read first with them by half of the
    readers (give or take one). The order within a session is each reader's own.

    Parameters
    ----------
    seed : int
        The same seed, readers and cases give the same plan, on any machine.
    readers, cases : sequence of str
        Without repeats.
    """
    shared = _shuffled(cases, f"{seed}/arms")
    plan = []
    for number, reader in enumerate(readers):
        first = {case: (rank + number) % 2 == 0 for rank, case in enumerate(shared)}
        for session in range(1, SESSIONS + 1):
            ordered = _shuffled(cases, f"{seed}/order/{reader}/{session}")
            for position, case in enumerate(ordered, 1):
                arm = first[case] if session == 1 else not first[case]
                plan.append(Reading(reader, session, position, case, arm))
    return plan


def _shuffled(values: Sequence[str], salt: str) -> list[str]:
    """Order by a digest: unlike a generator's shuffle, the same in every version of Python."""
    return sorted(values, key=lambda value: hashlib.sha256(f"{salt}/{value}".encode()).digest())
