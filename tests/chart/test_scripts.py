"""The two scripts that go with the chart: the test pod's, and that of an edge site."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cryptography import x509

from tests.chart.rendering import CHART, containers, named, pods, profile

EDGE_SITE = CHART / "edge-site.sh"


@contextmanager
def answering(answers: dict[str, int]) -> Iterator[str]:
    """Run a server that gives these statuses; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[self.path])
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def edge_site(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(EDGE_SITE), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({}, 0),
        ({"/readyz": 503}, 0),  # no worker yet: told, and no failure of the release
        ({"/readyz/intake": 503}, 1),
        ({"/v1/checks": 200}, 1),  # an api that wants no key
        ({"/livez": 500}, 1),
    ],
)
def test_the_test_pod_tells_what_is_wrong(answers: dict[str, int], code: int) -> None:
    """It fails when the api takes no studies or asks for no key, not when no worker is there."""
    right = {"/livez": 200, "/v1/checks": 401, "/readyz/intake": 200, "/readyz": 200}
    pod = named(profile("default"), "Pod", "onescan-test")
    (container,) = pod["spec"]["containers"]
    _, option, script, url = container["command"]
    assert url == "http://onescan-api:80"
    with answering(right | answers) as address:
        done = subprocess.run(
            [sys.executable, option, script, address],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    assert done.returncode == code, done.stdout + done.stderr
    assert all(path in done.stdout for path in right)


def secrets_of(documents: list[Any]) -> dict[str, set[str]]:
    return {
        d["metadata"]["name"]: set(d.get("stringData", d.get("data", {})))
        for d in documents
        if d["kind"] == "Secret"
    }


def test_an_edge_site_gets_the_secrets_that_its_pods_read() -> None:
    """Every Secret and key that values-edge.yaml asks for, in a restricted namespace."""
    done = edge_site("ct.hospital.example")
    assert done.returncode == 0, done.stderr
    documents = list(yaml.safe_load_all(done.stdout))
    for document in documents:
        if document["kind"] != "HelmChartConfig":
            kubernetes_validate.validate(document, "1.29", strict=True)
    made = secrets_of(documents)
    wanted: dict[str, set[str]] = {}
    for _, pod in pods(profile("edge")):
        for container in containers(pod):
            for item in container.get("env", []):
                if reference := item.get("valueFrom", {}).get("secretKeyRef"):
                    wanted.setdefault(reference["name"], set()).add(reference["key"])
    assert wanted
    assert all(keys <= made[name] for name, keys in wanted.items())
    ingress = next(d for d in profile("edge") if d["kind"] == "Ingress")
    assert ingress["spec"]["tls"][0]["secretName"] in made
    namespace = documents[0]
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_an_edge_site_has_secrets_of_its_own() -> None:
    """New ones each time; the database's URL has its password; the certificate is for the host."""
    one, other = (list(yaml.safe_load_all(edge_site("ct.example").stdout)) for _ in range(2))
    database = one[1]["stringData"]
    assert f":{database['password']}@onescan-postgresql:5432/onescan" in database["url"]
    assert database["password"] != other[1]["stringData"]["password"]
    assert re.fullmatch(r"osk_[A-Za-z0-9_-]{43}", one[2]["stringData"]["api-key"])
    (tls,) = [d for d in one if d.get("type") == "kubernetes.io/tls"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(tls["data"]["tls.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["ct.example"]


@pytest.mark.parametrize("arguments", [(), ("a b",), ("x; id",), ("ct.example", "Name Space")])
def test_an_edge_site_without_a_host_is_refused(arguments: tuple[str, ...]) -> None:
    """Nothing is printed that kubectl could take."""
    done = edge_site(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "edge-site.sh" in done.stderr
