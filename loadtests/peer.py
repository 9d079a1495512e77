"""A peer in a process and an environment of its own, asked by JSON lines."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.exceptions import OneScanError

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".peer" / "bin" / "python"


class PeerMissingError(OneScanError):
    """The peer is not installed; `make peer` does it."""

    code = "bench.peer_missing"


class Peer:
    """A module of `loadtests.peers` that says ``{"ready": true}`` and then answers each line.

    Parameters
    ----------
    module : str
        Run by the peer's own Python.
    *arguments : str
    python : Path
        That Python.

    Raises
    ------
    PeerMissingError
        When there is no such Python, or the peer ends.
    """

    def __init__(self, module: str, *arguments: str, python: Path = PEER_PYTHON) -> None:
        if not python.exists():
            raise PeerMissingError()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [str(python), "-W", "ignore", "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def __enter__(self) -> Self:
        self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:  # libraries log to stdout as well
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-1:] or ["It said nothing."]
        raise PeerMissingError(f"The peer ended: {last[0]}")
