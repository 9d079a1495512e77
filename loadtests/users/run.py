"""What the users of one run share: the plan, the clock, the studies on their way, what was met."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

from gevent.queue import Queue

from loadtests.arrivals import Arrival
from loadtests.fresh import Template
from loadtests.records import ERROR, Found, Study

PATIENCE_SECONDS = 240.0
"""A single answer that takes longer is an error."""

LEAD_SECONDS = 2.0
"""Users open their connections in it; then the run's second 0 comes."""


class Run:
    """A run.

    Parameters
    ----------
    plan : mapping
        As `loadtests.load` writes it.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.key: str = plan["key"]
        self.checks: list[str] = plan["checks"]
        self.expected: dict[str, dict[str, str]] = plan["expected"]
        self.templates = {
            name: Template.read(name, Path(folder)) for name, folder in plan["templates"].items()
        }
        self.arrivals = [Arrival(**row) for row in plan["arrivals"]]
        self.last = max((arrival.at for arrival in self.arrivals), default=0.0)
        self.ends = float(plan["seconds"]) + float(plan["drain_seconds"])
        self.random = random.Random(plan["seed"])
        self.found = Found()
        self.stored: Queue[Study] = Queue()
        self.shown: list[str] = list(plan["screened"])
        self.pending = len(self.arrivals)
        self._begun: float | None = None

    def now(self) -> float:
        """Give the second of the run, below 0 before it; the first to ask starts the clock."""
        if self._begun is None:
            self._begun = time.monotonic() + LEAD_SECONDS
        return time.monotonic() - self._begun

    def coming(self, way: str) -> list[Arrival]:
        """List what begins by one way."""
        return [arrival for arrival in self.arrivals if arrival.way == way]

    def arrived(self, arrival: Arrival) -> Study:
        """Write down a study that begins."""
        study = Study(arrival.lane, arrival.way, arrival.template, arrival.at, begun=self.now())
        self.found.studies.append(study)
        return study

    def settle(self, study: Study, outcome: str, why: str = "") -> None:
        """Say how a study ended."""
        study.outcome = outcome
        self.pending -= 1
        if outcome == ERROR:
            self.found.errors.append(f"{study.lane} by {study.way}: {why[:200]}")

    def wrong(self, what: str) -> None:
        """Count an answer that is not as it has to be."""
        self.found.wrong_answers.append(what)

    def over(self) -> bool:
        """Tell whether everything has ended, or been waited for long enough."""
        now = self.now()
        return now > self.ends or (now > self.last and self.pending <= 0)

    def write(self) -> None:
        """Leave what was met for the verdict."""
        Path(self.plan["found"]).write_text(json.dumps(self.found.to_json()), encoding="utf-8")


RUN = Run(json.loads(Path(os.environ["ONESCAN_LOAD"]).read_text(encoding="utf-8")))
"""Of this process, which makes one."""
