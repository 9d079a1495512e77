"""A whole embedded server as a process tree, for tests that use it as people do."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gateway.client import GatewayClient
from gateway.runtime.home import Home, discard
from gateway.settings import Settings


def onescan(
    *arguments: str, environ: Mapping[str, str] | None = None, timeout_seconds: float = 240.0
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env={**os.environ, **(environ or {})},
        check=False,
    )


@dataclass
class Served:
    """A running ``onescan up``."""

    process: subprocess.Popen[str]
    home: Path
    url: str
    key: str
    environ: dict[str, str]

    def client(self) -> GatewayClient:
        """Give a client of it."""
        return GatewayClient(self.url, self.key)

    def child(self, name: str) -> psutil.Process:
        """Find a child by the record that the supervisor keeps."""
        record = json.loads((self.home / "run" / f"{name}.json").read_text())
        return psutil.Process(int(record["pid"]))

    def stubs(self) -> list[psutil.Process]:
        """Find Triton's Python stubs."""
        return [
            process
            for process in self.child("triton").children(recursive=True)
            if "triton_python_backend_stub" in " ".join(process.cmdline())
        ]

    def tree(self) -> list[psutil.Process]:
        """List every process of the server."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def screen(self, *arguments: str) -> dict[str, Any]:
        """Run ``onescan screen --json`` against it and give the object."""
        done = onescan("screen", *arguments, "--url", self.url, "--json", environ=self.environ)
        assert done.returncode in (0, 1), done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown


@contextlib.contextmanager
def serving(**settings: str) -> Iterator[Served]:
    """Run ``onescan up`` on a free port with a home of its own, and stop it.

    Parameters
    ----------
    **settings
        Environment variables without their ``ONESCAN_``, such as ``WORKER__REAP_SECONDS="0.5"``.
    """
    home = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    environ = {"ONESCAN_HOME": str(home)} | {
        f"ONESCAN_{name}": value for name, value in settings.items()
    }
    log = (home / "up.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "up", "--port", "0"],
        env={**os.environ, **environ},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = _wait_for_url(home, process)
        key = Home(home).api_key()
        yield Served(process, home, url, key, environ | {"ONESCAN_API__KEY": key})
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        log.close()
        discard(Settings(home=home).home)
        shutil.rmtree(home, ignore_errors=True)


def _wait_for_url(home: Path, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + 120
    record = home / "run" / "url"
    while time.monotonic() < deadline:
        if record.exists() and (text := record.read_text().strip()):
            return text
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError("the server did not come up:\n" + (home / "up.log").read_text())
