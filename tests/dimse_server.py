"""The DIMSE listener as a process of its own, on a real database and a real folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.runtime.ports import free_port

ROOT = Path(__file__).resolve().parents[1]

START_SECONDS = 30.0

PARTNERS = """
[partners.ward]
tenant = "default"
ae_titles = ["STORESCU", "ECHOSCU", "PYNETDICOM", "MODALITY", "ORTHANC", "COMMITSCU"]

[partners.other]
tenant = "other"
ae_titles = ["OTHERSCU"]
"""
"""Who the tests are."""


@dataclass
class Listener:
    """A running listener."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    log: Path

    def terminate(self, seconds: float = 20.0) -> int:
        """Ask it to end, and wait."""
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def descriptors(self) -> int:
        """Count the files and sockets that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


@contextmanager
def listening(
    database_url: str,
    home: Path,
    *wrapper: str,
    port: int = 0,
    partners: str = PARTNERS,
    **settings: object,
) -> Iterator[Listener]:
    """Run the listener; `settings` are those of the group ``dimse``."""
    home.mkdir(exist_ok=True)
    (home / "partners.toml").write_text(partners)
    port = port or free_port("127.0.0.1")
    environ = {
        **{key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ},
        "ONESCAN_HOME": str(home),
        "DATABASE_URL": database_url,
        "ONESCAN_DIMSE__PORT": str(port),
        **{f"ONESCAN_DIMSE__{key.upper()}": str(value) for key, value in settings.items()},
    }
    log = home / "dimse.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "gateway.cli", "dimse"],
            cwd=ROOT,
            env=environ,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield Listener(process, port, home, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False
