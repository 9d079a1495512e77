"""GPU utilisation: from exporters' text, and from a Prometheus that misbehaves.

A real Prometheus is asked in tests/integration/test_pool_prometheus.py.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster.access import DCGM_RULES
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.utilisation import gpu_hours_held, read_utilisation
from gateway.exceptions import ClusterError
from gateway.settings import ClusterSettings
from tests.cluster_server import NAMESPACE, ApiServer, running_cluster

DCGM = "gpu-operator"

TEXT = """\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",modelName="NVIDIA H200",namespace="onescan",pod="pod-1"} 80
DCGM_FI_DEV_GPU_UTIL{gpu="1",modelName="NVIDIA H200",namespace="onescan",pod="pod-2"} 10
DCGM_FI_DEV_GPU_UTIL{gpu="2",modelName="NVIDIA H200",namespace="onescan",pod="pod-2"} 30
DCGM_FI_DEV_GPU_UTIL{gpu="3",modelName="NVIDIA H200",namespace="training",pod="pod-1"} 100
DCGM_FI_DEV_GPU_UTIL{gpu="4",modelName="NVIDIA H200"} 5
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",modelName="NVIDIA H200",namespace="onescan",pod="pod-1"} 0.5
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    server.objects.clear()
    server.faults.clear()
    server.rules = {DCGM: DCGM_RULES}
    server.texts = {}
    return server


@pytest.fixture
def settings(api: ApiServer, tmp_path: Path) -> ClusterSettings:
    return api.settings(tmp_path)


@pytest.fixture
def cluster(settings: ClusterSettings) -> Iterator[Cluster]:
    opened = open_cluster(settings)
    yield opened
    opened.close()


def add_exporter(api: ApiServer, text: str, name: str = "dcgm-1") -> None:
    labels = {"app": "nvidia-dcgm-exporter"}
    api.put("pods", {"metadata": {"name": name, "labels": labels}}, DCGM)
    api.texts[f"{name}:9400"] = text


def test_exporters_are_asked_through_the_api_server(
    api: ApiServer, settings: ClusterSettings, cluster: Cluster
) -> None:
    """The better metric goes first, GPUs of one pod are averaged, other namespaces are not ours."""
    add_exporter(api, TEXT)
    add_exporter(api, TEXT.replace("pod-1", "pod-3").replace("pod-2", "pod-4"), "dcgm-2")
    usage = read_utilisation(settings, cluster, {"pod-1", "pod-2", "pod-3"})
    assert usage.busy == {"pod-1": 0.5, "pod-2": pytest.approx(0.2), "pod-3": 0.5}
    assert usage.models["pod-1"] == "NVIDIA H200"
    assert usage.source == "dcgm-exporter, at this moment"
    assert usage.missing is None


def test_without_exporters_the_reason_is_told(settings: ClusterSettings, cluster: Cluster) -> None:
    """Where they were looked for, and what to set instead."""
    usage = read_utilisation(settings, cluster, {"pod-1"})
    assert not usage.busy
    assert usage.missing is not None
    assert "PROMETHEUS_URL" in usage.missing
    assert DCGM in usage.missing


@pytest.mark.parametrize("text", ["DCGM_FI_DEV_GPU_UTIL{", "a{b=c} d", "<html>"])
def test_an_exporter_s_nonsense_is_told(
    api: ApiServer, settings: ClusterSettings, cluster: Cluster, text: str
) -> None:
    """It is no reason to show nothing else."""
    add_exporter(api, text)
    usage = read_utilisation(settings, cluster, {"pod-1"})
    assert usage.missing == "dcgm-exporter's answer is not Prometheus' text form."


@pytest.mark.parametrize(("verb", "resource"), [("list", "pods"), ("get", "pods/proxy")])
@pytest.mark.parametrize("fault", [403, 503, "close"])
def test_exporters_that_may_not_be_asked_are_a_reason(
    api: ApiServer,
    settings: ClusterSettings,
    cluster: Cluster,
    verb: str,
    resource: str,
    fault: int | str,
) -> None:
    """An operator need not have a right in NVIDIA's namespace."""
    add_exporter(api, TEXT)
    api.faults = {(verb, resource): fault}
    assert read_utilisation(settings, cluster, {"pod-1"}).missing


class _Prometheus(BaseHTTPRequestHandler):
    answer: tuple[int, bytes] = (200, b"")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def prometheus() -> Iterator[tuple[type[_Prometheus], str]]:
    handler = type("Handler", (_Prometheus,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def answer(result: Any, kind: str = "vector", status: str = "success") -> bytes:
    return json.dumps({"status": status, "data": {"resultType": kind, "result": result}}).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (401, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, answer([], kind="matrix")),
        (200, answer([], status="error")),
        (200, answer([{"metric": {}, "value": [1, "2"]}])),
        (200, answer([{"metric": {"pod": "pod-1"}, "value": [1, "many"]}])),
        (200, answer([7])),
    ],
)
def test_a_prometheus_that_misbehaves_is_told(
    prometheus: tuple[type[_Prometheus], str], cluster: Cluster, status: int, body: bytes
) -> None:
    """As the reason why there is no utilisation; and as the error of the GPU-hours."""
    handler, url = prometheus
    handler.answer = status, body
    settings = ClusterSettings(prometheus_url=url, timeout_seconds=1.0)
    usage = read_utilisation(settings, cluster, {"pod-1"})
    assert usage.missing is not None
    assert usage.missing.startswith("Prometheus")
    with pytest.raises(ClusterError, match="Prometheus"):
        gpu_hours_held(settings, NAMESPACE, ["onescan-pool-a"], 24.0)


def test_values_that_are_no_numbers_are_left_out(
    prometheus: tuple[type[_Prometheus], str], cluster: Cluster
) -> None:
    """DCGM tells NaN where a counter does not count."""
    handler, url = prometheus
    handler.answer = 200, answer([{"metric": {"pod": "pod-1"}, "value": [1, "NaN"]}])
    usage = read_utilisation(ClusterSettings(prometheus_url=url), cluster, {"pod-1"})
    assert usage.busy == {}
    assert usage.missing == "Prometheus has no DCGM metric of these pods."


def test_a_prometheus_that_is_away_is_told(cluster: Cluster) -> None:
    """And so is an address that is none."""
    for url in ("http://127.0.0.1:9", "nonsense", "http://"):
        settings = ClusterSettings(prometheus_url=url, timeout_seconds=1.0)
        missing = read_utilisation(settings, cluster, {"pod-1"}).missing
        assert missing is not None
        assert missing.startswith("Prometheus does not answer")
