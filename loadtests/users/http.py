"""An HTTP client as a well-behaved partner has one: it comes again when it is asked to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from gevent import sleep
from locust.env import Environment
from requests.adapters import HTTPAdapter

from loadtests.users.run import PATIENCE_SECONDS, RUN

BUSY = (429, 503, 507)
"""Refusals: the server asks to come again, and says when."""

DEFAULT_RETRY_SECONDS = 2.0

CONNECTIONS = 64


class Refused(Exception):
    """The server asked to come again until the test was over."""


class Client:
    """One user's connections.

    Parameters
    ----------
    host : str
        Address of the server.
    environment : Environment
        Locust's, which prints a summary of its own.
    """

    def __init__(self, host: str, environment: Environment) -> None:
        self._host = host
        self._environment = environment
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {RUN.key}"
        self.session.mount("http", HTTPAdapter(pool_connections=1, pool_maxsize=CONNECTIONS))

    def ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """Ask until there is an answer that is no refusal.

        Raises
        ------
        Refused
            When there was none before the test was over.
        """
        given.setdefault("timeout", PATIENCE_SECONDS)
        while True:
            RUN.found.asked += 1
            answer = self.session.request(method, f"{self._host}{path}", **given)
            if answer.status_code not in BUSY:
                return answer
            refuse(path, answer.status_code)
            if "Retry-After" not in answer.headers:
                RUN.wrong(f"{path}: {answer.status_code} without Retry-After")
            sleep(float(answer.headers.get("Retry-After", DEFAULT_RETRY_SECONDS)))

    @contextmanager
    def told(self, name: str) -> Iterator[None]:
        """Have locust count what ends well or badly."""
        begun, error = time.perf_counter(), None
        try:
            yield
        except Exception as caught:
            error = caught
            raise
        finally:
            self._environment.events.request.fire(
                request_type="",
                name=name,
                response_time=1000 * (time.perf_counter() - begun),
                response_length=0,
                exception=error,
                context={},
            )


def refuse(what: str, status: int) -> None:
    """Count a refusal; raises Refused when the test is over."""
    RUN.found.refusals.append((RUN.now(), what, status))
    if RUN.now() > RUN.ends:
        raise Refused(what)


def expect(answer: requests.Response, status: int) -> requests.Response:
    """Give the answer if it has the status that it has to have."""
    if answer.status_code != status:
        raise ValueError(f"{answer.status_code} {answer.text[:150]}")
    return answer
