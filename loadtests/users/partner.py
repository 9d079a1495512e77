"""A partner: has each study that a PACS has stored screened, follows the events, fetches."""

from __future__ import annotations

import uuid
from typing import Any

from gevent.pool import Group
from locust import User, task

from loadtests.answers import EARLY, faults
from loadtests.records import ERROR, FINISHED, REFUSED, WRONG, Study
from loadtests.users.http import Client, Refused, expect
from loadtests.users.run import RUN
from loadtests.users.stream import FINAL, Stream

LOOK_SECONDS = 10.0
"""A partner that has heard nothing for so long looks by itself."""

LATE_EVENT_SECONDS = 2.0
"""An end that a partner sees before it is told it is told within so long."""


class Partner(User):
    """Asks as soon as the PACS has let go of a study, and does not wait for the one before."""

    fixed_count = 1

    def on_start(self) -> None:
        """Open connections and the stream of events."""
        self.client = Client(str(self.host), self.environment)
        self.stream = Stream(self.client)
        self.asked = Group()

    @task
    def take(self) -> None:
        """Take the next stored study."""
        self.asked.spawn(self._screen, RUN.stored.get())

    def on_stop(self) -> None:
        """Leave what is still on its way when the test has waited long enough."""
        self.asked.kill()
        self.stream.close()

    def _screen(self, study: Study) -> None:
        try:
            with self.client.told(f"screen {study.lane}"):
                outcome = self._result(study)
        except Refused:
            RUN.settle(study, REFUSED)
        except Exception as error:
            RUN.settle(study, ERROR, f"{type(error).__name__}: {error}")
        else:
            RUN.settle(study, outcome)

    def _result(self, study: Study) -> str:
        order: dict[str, Any] = {"study_instance_uid": study.study, "lane": study.lane}
        if RUN.checks:
            order["checks"] = RUN.checks
        headers = {"Idempotency-Key": str(uuid.uuid4()), "X-OneScan-Lane": study.lane}
        answer = self.client.ask("POST", "/v1/screenings", json=order, headers=headers)
        path = expect(answer, 202).headers["Location"]
        study.accepted, study.screening = RUN.now(), path.rpartition("/")[2]
        shown = self._ended(study, path)
        study.fetched = RUN.now()
        moments = self.stream.moments[study.screening]
        study.running, study.aorta = moments.get("running"), moments.get(EARLY)
        study.ended = next((moments[kind] for kind in FINAL if kind in moments), None)
        return self._judge(study, shown)

    def _ended(self, study: Study, path: str) -> dict[str, Any]:
        """Wait for the end as told by an event, fetch the result."""
        while True:
            told = self.stream.wait(study.screening, LOOK_SECONDS)
            shown: dict[str, Any] = expect(self.client.ask("GET", path), 200).json()
            if shown["state"] not in FINAL:
                if told:
                    RUN.wrong(f"{study.template}: told to have ended, and {shown['state']}")
                continue
            if not told and not self.stream.wait(study.screening, LATE_EVENT_SECONDS):
                RUN.wrong(f"{study.template}: no event of its end")
            return shown

    def _judge(self, study: Study, shown: dict[str, Any]) -> str:
        """Hold a result to that of the same phantom when nobody is in a hurry."""
        released = self.stream.states[study.screening]
        wrong = faults(shown, RUN.expected[study.template], released)
        for what in wrong:
            RUN.wrong(f"{study.template}: {what}")
        if wrong:
            return WRONG
        RUN.shown.append(study.study)
        return FINISHED
