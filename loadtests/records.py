"""What users of a load test met, as the verdict and the report read it.

All moments are seconds since the run began. A study is timed from ``due``, the moment that was
drawn for it, whatever made its sender late: a slow generator makes a server look slow, never
quick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from loadtests.arrivals import DIMSE, STOW

FINISHED, WRONG, ERROR, REFUSED, OPEN = "finished", "wrong", "error", "refused", "open"
"""How a study ends: answered rightly, otherwise than unhurried, not at all, never taken, still
without its result when the test stopped waiting."""


@dataclass
class Study:
    """A study on its way.

    Attributes
    ----------
    lane, way, template : str
    due : float
        When it should have begun.
    begun : float, optional
        When its sender did begin.
    acknowledged : float, optional
        When the last of its instances was.
    accepted, running, aorta, ended : float, optional
        When its screening was accepted, was taken by a worker, released the aorta, was done.
    fetched : float, optional
        When its result was in the partner's hands.
    outcome : str
        See above.
    study, screening : str
        Study Instance UID and id of the screening.
    instances : int
        That were acknowledged.
    """

    lane: str
    way: str
    template: str
    due: float
    begun: float | None = None
    acknowledged: float | None = None
    accepted: float | None = None
    running: float | None = None
    aorta: float | None = None
    ended: float | None = None
    fetched: float | None = None
    outcome: str = OPEN
    study: str = ""
    screening: str = ""
    instances: int = 0


@dataclass(frozen=True)
class Page:
    """Something that a radiologist's browser asked for; ``due`` as for studies."""

    name: str
    due: float
    seconds: float


@dataclass
class Found:
    """Everything that a run has met.

    Attributes
    ----------
    studies, pages : list
    late : list of float
        Seconds by which arrivals, of studies and visits, were begun late.
    refusals : list of (float, str, int)
        Moment, what was asked, and 429, 503, 507 or DIMSE's A700.
    asked : int
        Requests, and C-STOREs.
    wrong_answers, errors, lost : list of str
    """

    studies: list[Study] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    refusals: list[tuple[float, str, int]] = field(default_factory=list)
    asked: int = 0
    wrong_answers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Give what JSON can carry."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Found:
        """Read what ``to_json`` gave; what is of no field is left."""
        known = {one.name: given[one.name] for one in fields(cls) if one.name in given}
        known["studies"] = [Study(**row) for row in given["studies"]]
        known["pages"] = [Page(**row) for row in given["pages"]]
        known["refusals"] = [(at, what, status) for at, what, status in given["refusals"]]
        return cls(**known)

    def lanes(self) -> list[str]:
        """Name the lanes that studies came by, the most urgent first."""
        order = ("stat", "routine", "backfill")
        return sorted({study.lane for study in self.studies}, key=order.index)

    def ledger(self) -> Counter[str]:
        """Count studies by how they ended, and those that were acknowledged and accepted."""
        counted = Counter(study.outcome for study in self.studies)
        counted["arrived"] = len(self.studies)
        counted["acknowledged"] = sum(study.acknowledged is not None for study in self.studies)
        counted["accepted"] = sum(study.accepted is not None for study in self.studies)
        return counted


MEASURES: Mapping[str, Callable[[Study], tuple[float | None, float | None]]] = {
    "acknowledged": lambda study: (study.due, study.acknowledged),
    "stow": lambda study: _by(study, STOW),
    "dimse": lambda study: _by(study, DIMSE),
    "accepted": lambda study: (study.acknowledged, study.accepted),
    "aorta": lambda study: (study.acknowledged, study.aorta),
    "findings": lambda study: (study.acknowledged, study.fetched),
    "whole": lambda study: (study.due, study.fetched),
}
"""Measure → where a study's time begins and ends.

``stow`` and ``dimse`` are ``acknowledged`` of what came so; ``accepted``, ``aorta`` and
``findings`` begin where the PACS let go of the study and the partner could ask."""


def _by(study: Study, way: str) -> tuple[float | None, float | None]:
    return MEASURES["acknowledged"](study) if study.way == way else (None, None)


def seconds(studies: Iterable[Study], measure: str, lane: str = "") -> list[float]:
    """Give a measure of the studies that have one."""
    found = []
    for study in studies:
        begin, end = MEASURES[measure](study)
        if begin is not None and end is not None and lane in ("", study.lane):
            found.append(end - begin)
    return found


def percentile(values: Iterable[float], share: float) -> float:
    """Give the smallest value that at least this share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]
