"""An S3 server for tests: moto's, in a process of its own, with one empty bucket."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.runtime.ports import free_port

BUCKET = "onescan"

REGION = "us-east-1"

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret"}
"""What the server takes; it takes any."""

START_SECONDS = 60.0
"""Importing moto takes some two seconds, on a busy machine ten."""


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    endpoint: str
    """``http://127.0.0.1:PORT``."""

    bucket: str = BUCKET

    region: str = REGION

    @property
    def url(self) -> str:
        """What `store.objects` is set to."""
        return f"s3://{self.bucket}"

    def environ(self, prefix: str = "") -> dict[str, str]:
        """Give the environment of a process whose objects go to this server."""
        return {
            **CREDENTIALS,
            "ONESCAN_STORE__OBJECTS": f"{self.url}/{prefix}".rstrip("/"),
            "ONESCAN_STORE__S3_ENDPOINT": self.endpoint,
            "ONESCAN_STORE__S3_REGION": self.region,
        }

    def uploads(self) -> int:
        """Count multipart uploads that were neither completed nor aborted."""
        with urllib.request.urlopen(f"{self.endpoint}/{self.bucket}?uploads") as answer:
            return int(answer.read().count(b"<Upload>"))

    def empty(self) -> None:
        """Forget every object and upload, and begin anew with an empty bucket."""
        _send("POST", f"{self.endpoint}/moto-api/reset")
        _send("PUT", f"{self.endpoint}/{self.bucket}")


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """Run moto's server with one empty bucket."""
    port = free_port("127.0.0.1")
    server = S3Server(f"http://127.0.0.1:{port}")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server):
            assert process.poll() is None, "moto's server ended at once"
            assert time.monotonic() < deadline, "moto's server does not start"
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: S3Server) -> bool:
    try:
        _send("PUT", f"{server.endpoint}/{server.bucket}")
    except OSError:
        return False
    return True


def _send(method: str, url: str) -> None:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
