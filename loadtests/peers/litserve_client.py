"""Start the LitServe service in the peer's environment, and ask it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.runtime.ports import free_port
from loadtests.peer import PEER_PYTHON, ROOT, PeerMissingError

START_SECONDS = 120.0
ANSWER_SECONDS = 600.0


class LitServe:
    """The service as a process group of its own; a context manager."""

    def __init__(self, python: Path = PEER_PYTHON) -> None:
        if not python.exists():
            raise PeerMissingError()
        self._url = f"http://127.0.0.1:{(port := free_port('127.0.0.1'))}"
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", "loadtests.peers.litserve_study", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/health", timeout=5):
                    return self
            except (OSError, urllib.error.HTTPError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    raise PeerMissingError("LitServe does not start; run it by hand.") from None
                time.sleep(0.2)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def screen(self, folder: Path) -> dict[str, Any]:
        """Give its answer; ``seconds`` as its client sees them."""
        request = urllib.request.Request(
            f"{self._url}/predict",
            json.dumps({"folder": str(folder)}).encode(),
            {"Content-Type": "application/json"},
        )
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
        return {**answer, "seconds": time.perf_counter() - started}

    def _end(self) -> None:
        """End the service with its workers."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
