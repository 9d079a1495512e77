"""``/v1/events`` as a partner or a browser follows it: cut off, it goes on where it was."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import requests
from gevent import sleep, spawn
from gevent.event import Event

from loadtests.users.http import Client
from loadtests.users.run import RUN

RETRY_SECONDS = 2.0
"""As the server tells a browser."""

CONNECT_SECONDS, SILENCE_SECONDS = 10.0, 60.0
"""The server breaks its silence after 15 s."""

FINAL = ("done", "failed", "cancelled")


class Stream:
    """A reader of events.

    Attributes
    ----------
    moments : mapping
        Screening → what happened → when; the aorta's release is ``aorta``.
    states : mapping
        Screening → check → the state that was released.
    """

    def __init__(self, client: Client, changed: Callable[[], None] = lambda: None) -> None:
        self.moments: dict[str, dict[str, float]] = defaultdict(dict)
        self.states: dict[str, dict[str, str]] = defaultdict(dict)
        self._ended: dict[str, Event] = defaultdict(Event)
        self._client = client
        self._changed = changed
        self._last = ""
        self._connected = Event()
        self._greenlet = spawn(self._follow)
        if not self._connected.wait(CONNECT_SECONDS):
            RUN.wrong("/v1/events did not answer")

    def wait(self, screening: str, seconds: float) -> bool:
        """Wait until the end of a screening was told."""
        return bool(self._ended[screening].wait(seconds))

    def close(self) -> None:
        """Read no more."""
        self._greenlet.kill()

    def _follow(self) -> None:
        while True:
            headers = {"Last-Event-ID": self._last} if self._last else {}
            timeout = (CONNECT_SECONDS, SILENCE_SECONDS)
            try:
                with self._client.ask(
                    "GET", "/v1/events", stream=True, headers=headers, timeout=timeout
                ) as answer:
                    self._connected.set()
                    self._read(answer)
            except requests.RequestException as error:
                RUN.found.errors.append(f"/v1/events: {type(error).__name__}: {error}"[:200])
            sleep(RETRY_SECONDS)

    def _read(self, answer: requests.Response) -> None:
        for line in answer.iter_lines(chunk_size=None):
            name, _, value = line.decode().partition(": ")
            if name == "id":
                self._last = value
            elif name == "data":
                self._take(json.loads(value))

    def _take(self, event: dict[str, Any]) -> None:
        screening, kind = event["screening_id"], event["event"]
        if kind == "released":
            self.states[screening][event["check"]] = event["state"]
            kind = event["check"]
        self.moments[screening].setdefault(kind, RUN.now())
        if kind in FINAL:
            self._ended[screening].set()
        self._changed()
