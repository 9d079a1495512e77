"""Users of a load test: a PACS that stores studies, a partner that has them screened.

``python -m loadtests.load`` starts it, with a server; by itself::

    ONESCAN_LOAD=build/load/run.json locust -f loadtests/locustfile.py --host http://...

where the file names key, profile, templates and what their results are when nobody is in a hurry.
"""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from gevent import sleep
from gevent.queue import Empty, Queue
from locust import User, between, events, task

from loadtests.fresh import CONTENT_TYPE, Template

POLL_SECONDS = 0.2
BUSY = (429, 503, 507)
"""Refusals: the server asks to come again, and says when."""

WAIT_SECONDS = 240.0
"""A screening that takes longer is an error."""

STORED_AHEAD = 8
"""Studies that wait for a partner; beyond that a PACS's studies are only stored."""

STAT_SHARE = 0.25

PLAN: dict[str, Any] = json.loads(Path(os.environ["ONESCAN_LOAD"]).read_text(encoding="utf-8"))
TEMPLATES = [Template.read(name, Path(folder)) for name, folder in PLAN["templates"].items()]

stored: Queue[tuple[str, str]] = Queue(STORED_AHEAD)
"""(template, Study Instance UID) of studies that no partner has taken yet."""

found: dict[str, Any] = {
    "seconds": {},
    "asked": 0,
    "refused": 0,
    "wrong_answers": [],
    "errors": [],
    "acknowledged": [],
}


class Refused(Exception):
    """The server asks to come again later."""


class _Client(User):
    """A user with a key; keeps count of what it meets."""

    abstract = True

    def on_start(self) -> None:
        """Open a session."""
        self.random = random.Random()
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {PLAN['key']}"

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """Ask; a refusal is counted, waited for as long as it says, and raised."""
        found["asked"] += 1
        answer = self.session.request(method, f"{self.host}{path}", timeout=WAIT_SECONDS, **given)
        if answer.status_code in BUSY:
            found["refused"] += 1
            if "Retry-After" not in answer.headers:
                found["wrong_answers"].append(f"{path}: {answer.status_code} without Retry-After")
            sleep(float(answer.headers.get("Retry-After", "2")))
            raise Refused
        return answer

    @contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """Time a transaction that ends well; a refused one is none."""
        begun, error = time.perf_counter(), None
        try:
            yield
        except Refused:
            return
        except Exception as caught:
            error = caught
            found["errors"].append(f"{name}: {type(caught).__name__}: {str(caught)[:200]}")
        seconds = time.perf_counter() - begun
        if error is None:
            found["seconds"].setdefault(name, []).append(seconds)
        self.environment.events.request.fire(
            request_type="",
            name=name,
            response_time=1000 * seconds,
            response_length=0,
            exception=error,
            context={},
        )


class Pacs(_Client):
    """Stores a study every few seconds."""

    weight = PLAN["pacs_users"]
    wait_time = between(1.0, 3.0)

    @task
    def store(self) -> None:
        """Send a study and count what was accepted."""
        template = self.random.choice(TEMPLATES)
        study, body = template.fresh(self.random)
        with self.transaction("store"):
            answer = self.ask(
                "POST", "/dicomweb/studies", data=body, headers={"Content-Type": CONTENT_TYPE}
            )
            if answer.status_code != 200:
                raise ValueError(f"{answer.status_code} {answer.text[:100]}")
            accepted = answer.json()["00081199"]["Value"]
            if len(accepted) != template.instances:
                found["wrong_answers"].append(
                    f"{template.name}: {len(accepted)} of {template.instances} instances stored"
                )
            found["acknowledged"].append([study, template.instances])
            if not stored.full():
                stored.put((template.name, study))


class Partner(_Client):
    """Has a study screened, waits, fetches the result and holds it to the unhurried one."""

    weight = PLAN["partner_users"]
    wait_time = between(0.5, 1.5)

    @task
    def screen(self) -> None:
        """Screen one study that a PACS has stored."""
        try:
            name, study = stored.get(timeout=5)
        except Empty:
            return
        lane = "stat" if self.random.random() < STAT_SHARE else "routine"
        order: dict[str, Any] = {"study_instance_uid": study, "lane": lane}
        if PLAN["checks"]:
            order["checks"] = PLAN["checks"]
        with self.transaction(f"screen_{lane}"):
            answer = self.ask(
                "POST",
                "/v1/screenings",
                json=order,
                headers={"Idempotency-Key": str(uuid.uuid4()), "X-OneScan-Lane": lane},
            )
            if answer.status_code != 202:
                raise ValueError(f"{answer.status_code} {answer.text[:100]}")
            shown = self._wait(answer.headers["Location"])
            got = {check["check"]: check["state"] for check in shown["checks"]}
            if shown["state"] != "done" or got != PLAN["expected"][name]:
                found["wrong_answers"].append(f"{name}: {shown['state']} {got}")

    def _wait(self, path: str) -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self.ask("GET", path)
            except Refused:
                continue
            shown: dict[str, Any] = answer.json()
            if shown["state"] in ("done", "failed", "cancelled"):
                return shown
            sleep(POLL_SECONDS)
        raise TimeoutError("the screening did not end")


@events.quitting.add_listener
def write(environment: Any, **_: Any) -> None:
    """Leave what was found for the verdict."""
    Path(PLAN["found"]).write_text(json.dumps(found), encoding="utf-8")
