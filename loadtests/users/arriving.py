"""A user whose doings begin when they were drawn to, whatever became of those before."""

from __future__ import annotations

from typing import ClassVar

from gevent import sleep
from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from loadtests.arrivals import Arrival
from loadtests.users.http import Client
from loadtests.users.run import RUN


class Arriving(User):
    """Begins one thing an arrival, each in a greenlet of its own."""

    abstract = True
    fixed_count = 1
    way: ClassVar[str]

    def on_start(self) -> None:
        """Open connections."""
        self.client = Client(str(self.host), self.environment)
        self.begun = Group()

    @task
    def keep_time(self) -> None:
        """Wait for each arrival, and for no answer."""
        for arrival in RUN.coming(self.way):
            sleep(max(0.0, arrival.at - RUN.now()))
            self.begun.spawn(self._begin, arrival)
        self.begun.join()
        raise StopUser

    def on_stop(self) -> None:
        """Leave what is still on its way when the test has waited long enough."""
        self.begun.kill()

    def begin(self, arrival: Arrival) -> None:
        """Do it."""
        raise NotImplementedError

    def _begin(self, arrival: Arrival) -> None:
        RUN.found.late.append(max(0.0, RUN.now() - arrival.at))
        self.begin(arrival)
