"""What pods of an edge site are given makes the real processes start and answer their probes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.runtime.ports import free_port
from tests.chart.rendering import containers, environment, named, of_kind, profile
from tests.databases import fresh_database

pytestmark = pytest.mark.postgres

START_SECONDS = 60.0
"""A quarter of what the startup probes allow, on a busy machine."""

SECRETS = {
    "ONESCAN_API__KEY": "osk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
    "ONESCAN_WEBHOOKS__KEY": "webhook-key",
    "ONESCAN_LOG__KEY": "log-key",
    "ONESCAN_STORE__NODE": "node-1",
}
"""What Secrets and the downward API would give."""


def container(deployment: str) -> dict[str, Any]:
    """Give the first container of an edge site's Deployment."""
    pod = named(profile("edge"), "Deployment", f"onescan-{deployment}")["spec"]["template"]
    (found,) = pod["spec"]["containers"]
    return dict(found)


def environ(deployment: str, url: str, folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """Give a container's environment, with its paths below a folder and its ports free ones."""
    (config,) = [c for c in of_kind(profile("edge"), "ConfigMap") if "ONESCAN_HOME" in c["data"]]
    given = dict(config["data"]) | environment(container(deployment))
    plain = {
        name: value if isinstance(value, str) else {**SECRETS, "DATABASE_URL": url}[name]
        for name, value in given.items()
    }
    moved = {
        name: f"{folder}{value}" if value.startswith("/var/lib/") else value
        for name, value in plain.items()
    }
    return {"PATH": os.environ["PATH"], **moved, **{n: str(p) for n, p in ports.items()}}


@contextmanager
def running(command: str, environ: dict[str, str], port: int) -> Iterator[None]:
    """Run `onescan COMMAND` until it listens; end it by SIGTERM, as a kubelet does."""
    process = subprocess.Popen([sys.executable, "-m", "gateway.cli", command], env=environ)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, f"onescan {command} ended with {process.returncode}"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, f"onescan {command} does not listen"
            time.sleep(0.1)
        yield
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as url:
        yield url


def test_the_api_of_an_edge_site_is_ready_and_passes_its_test(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It migrates, starts, answers its probes, and the test pod is content with it."""
    monkeypatch.setenv("DATABASE_URL", url)
    pod = named(profile("edge"), "Deployment", "onescan-api")["spec"]["template"]
    migrate = containers(pod)[-2]
    assert main(migrate["args"]) == 0
    port = free_port("127.0.0.1")
    settings = environ("api", url, tmp_path, {"ONESCAN_API__PORT": port})
    test = named(profile("edge"), "Pod", "onescan-test")["spec"]["containers"][0]["command"]
    with running("serve", settings, port):
        address = f"http://127.0.0.1:{port}"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container("api")[probe]["httpGet"]
            assert asked["scheme"] == "HTTP"
            assert status(address + asked["path"]) == 200
        assert (
            status(f"{address}/readyz") == 503
        )  # no worker yet, and the pod is ready all the same
        done = subprocess.run([sys.executable, *test[1:3], address], timeout=60, check=False)
        assert done.returncode == 0
    assert (tmp_path / "var/lib/onescan-objects/store/node").read_text().strip() == "node-1"


def test_the_listener_of_an_edge_site_is_ready(url: str, tmp_path: Path) -> None:
    """Its port takes connections, and its own metrics are told on theirs."""
    ports = {"ONESCAN_DIMSE__PORT": free_port("127.0.0.1"),
             "ONESCAN_DIMSE__METRICS_PORT": free_port("127.0.0.1")}  # fmt: skip
    named_ports = {port["name"]: port["containerPort"] for port in container("dimse")["ports"]}
    given = environment(container("dimse"))
    assert named_ports == {
        "dimse": int(given["ONESCAN_DIMSE__PORT"]),
        "metrics": int(given["ONESCAN_DIMSE__METRICS_PORT"]),
    }
    settings = environ("dimse", url, tmp_path, ports)
    with running("dimse", settings, ports["ONESCAN_DIMSE__PORT"]):
        metrics = f"http://127.0.0.1:{ports['ONESCAN_DIMSE__METRICS_PORT']}/metrics"
        assert status(metrics) == 200
