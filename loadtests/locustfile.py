"""The users of a load test, for locust; ``python -m loadtests.load`` starts it, with a server.

By itself, with a plan that ``loadtests.load`` has written::

    ONESCAN_LOAD=build/load/run.json locust -f loadtests/locustfile.py --host http://...

The model is open: locust keeps one user of each kind, and each of them begins what was drawn for
it when it is due.
"""

from __future__ import annotations

from typing import Any

from locust import LoadTestShape, User, events

from loadtests.arrivals import DIMSE, STOW, VISIT
from loadtests.users.pacs import PacsByDimse, PacsByStow
from loadtests.users.partner import Partner
from loadtests.users.radiologist import Radiologist
from loadtests.users.run import RUN

USERS: dict[str, type[User]] = {STOW: PacsByStow, DIMSE: PacsByDimse, VISIT: Radiologist}


class UntilAllHasEnded(LoadTestShape):
    """Everybody at once, until nothing is on its way any more."""

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Give how many users there are; None ends the test."""
        if RUN.over():
            return None
        present: list[type[User]] = [Partner]
        present += [user for way, user in USERS.items() if RUN.coming(way)]
        return len(present), float(len(present)), present


@events.quitting.add_listener
def write(environment: Any, **_: Any) -> None:
    """Leave what was met for the verdict."""
    RUN.write()
