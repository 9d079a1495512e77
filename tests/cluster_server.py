"""A Kubernetes API server for tests: real HTTP, strict about what a real one is strict about.

It knows pods, Deployments and ScaledObjects; asks for the token; lets through what its Roles allow,
namespace by namespace; takes merge patches only, with a field manager; deletes under preconditions;
pages its lists. What is asked is kept in `asked`. `faults` makes it misbehave on purpose.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import ssl
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gateway.cluster.access import Rule, allows
from gateway.settings import ClusterSettings

TOKEN = "token-of-the-test"
NAMESPACE = "onescan"
LABELS = {
    "app.kubernetes.io/name": "onescan",
    "app.kubernetes.io/instance": "onescan",
    "app.kubernetes.io/part-of": "onescan",
    "app.kubernetes.io/component": "pool",
}
MERGE_PATCH = "application/merge-patch+json"

GROUPS = {
    "pods": ("", "v1"),
    "deployments": ("apps", "v1"),
    "scaledobjects": ("keda.sh", "v1alpha1"),
}

PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"/namespaces/(?P<namespace>[^/]+)/(?P<resource>[^/]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+)(?P<rest>/.*)?)?)?"
)


@dataclass(frozen=True)
class Asked:
    """One request, as the API server understood it."""

    verb: str
    resource: str
    namespace: str
    name: str
    content_type: str = ""
    field_manager: str = ""
    body: Any = None


@dataclass
class ApiServer:
    """What is in the cluster, what was asked of it, and how it misbehaves."""

    url: str = ""
    ca_file: str = ""
    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    faults: dict[tuple[str, str], int | str] = field(default_factory=dict)
    """(verb, resource) → a status, or ``hang``, ``close``, ``html``, ``list``, ``odd``,
    ``short``."""

    texts: dict[str, str] = field(default_factory=dict)
    """Pod and port → what it answers on ``/metrics``."""

    page: int = 500
    has_keda: bool = True
    released: threading.Event = field(default_factory=threading.Event)

    def settings(self, tmp_path: Path, **more: Any) -> ClusterSettings:
        """Write a kubeconfig and give the settings that name it."""
        file = tmp_path / "kubeconfig"
        cluster = {"server": self.url}
        if self.ca_file:
            cluster["certificate-authority"] = self.ca_file
        file.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [
                        {
                            "name": "test",
                            "context": {
                                "cluster": "test",
                                "user": "test",
                                "namespace": NAMESPACE,
                            },
                        }
                    ],
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "test", "user": {"token": TOKEN}}],
                }
            )
        )
        return ClusterSettings(**{"kubeconfig": str(file), "timeout_seconds": 1.0, **more})

    def put(self, resource: str, item: dict[str, Any], namespace: str = NAMESPACE) -> None:
        """Put an object into the cluster."""
        metadata = item.setdefault("metadata", {})
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata["namespace"] = namespace
        self.objects[resource, namespace, metadata["name"]] = item

    def get(self, resource: str, name: str) -> dict[str, Any] | None:
        """Give an object of the deployment's namespace."""
        return self.objects.get((resource, NAMESPACE, name))

    def of_verb(self, *verbs: str) -> list[Asked]:
        """Give the requests of these verbs."""
        return [asked for asked in self.asked if asked.verb in verbs]


def pool_deployment(
    pool: str,
    *,
    replicas: int = 1,
    ready: int = 1,
    env: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Give a pool's Deployment as the chart makes it."""
    return {
        "metadata": {
            "name": f"onescan-pool-{pool}",
            "labels": {**LABELS, "onescan.io/pool": pool},
        },
        "spec": {"replicas": replicas, "template": {"spec": pod_spec(env or {}, **spec)}},
        "status": {"replicas": replicas, "readyReplicas": ready},
    }


def pool_pod(pool: str, name: str, *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    """Give a pod of a pool that runs."""
    return {
        "metadata": {"name": name, "labels": {**LABELS, "onescan.io/pool": pool}},
        "spec": {**pod_spec({}, **spec), "nodeName": f"node-of-{name}"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [
                {"name": "worker", "ready": ready, "restartCount": 1, "state": {"running": {}}}
            ],
            "initContainerStatuses": [
                {"name": "triton", "ready": ready, "restartCount": 2, "state": {"running": {}}}
            ],
        },
    }


def pod_spec(
    env: Mapping[str, str], *, resource: str = "nvidia.com/gpu", gpus: int = 1, gpu: str = ""
) -> dict[str, Any]:
    """Give the part that pods and Deployments share: worker, and Triton as a native sidecar."""
    return {
        "nodeSelector": {"nvidia.com/gpu.product": gpu} if gpu else {},
        "containers": [
            {"name": "worker", "env": [{"name": n, "value": v} for n, v in env.items()]}
        ],
        "initContainers": [
            {
                "name": "triton",
                "restartPolicy": "Always",
                "resources": {"limits": {resource: str(gpus)} if gpus else {}},
            }
        ],
    }


@contextlib.contextmanager
def running_cluster(tls: tuple[Path, Path] | None = None) -> Iterator[ApiServer]:
    """Run an API server; with certificate and key by TLS."""
    state = ApiServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"state": state}))
    server.daemon_threads = True
    scheme = "http"
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state.ca_file = str(tls[0])
        scheme = "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: ApiServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        sent = self.rfile.read(size)
        parts = urlsplit(self.path)
        match = PATH.fullmatch(unquote(parts.path))
        if self.headers.get("Authorization", "").lower() != f"bearer {TOKEN}":
            return self._refuse(401, "Unauthorized")
        if match is None:
            return self._refuse(404, "the server could not find the requested resource")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        resource, name, sub = match["resource"], match["name"] or "", match["sub"] or ""
        full = f"{resource}/{sub}" if sub else resource
        verb = {"GET": "get" if name else "list", "PATCH": "patch", "DELETE": "delete"}[
            self.command
        ]
        asked = Asked(
            verb=verb,
            resource=full,
            namespace=match["namespace"],
            name=name,
            content_type=self.headers.get("Content-Type", ""),
            field_manager=query.get("fieldManager", ""),
            body=json.loads(sent) if sent else None,
        )
        self.state.asked.append(asked)
        if (fault := self.state.faults.get((verb, full))) is not None:
            return self._misbehave(fault)
        group = match["group"] or ""
        known = GROUPS.get(resource)
        if not self.state.has_keda and group == "keda.sh":
            known = None
        if known != (group, match["version"] or match["core"]):
            return self._refuse(404, "the server could not find the requested resource")
        rules = self.state.rules.get(match["namespace"], ())
        if not allows(rules, verb, group, full):
            return self._refuse(
                403,
                f'{resource} is forbidden: User "test" cannot {verb} resource "{full}" in API'
                f' group "{group}" in the namespace "{match["namespace"]}"',
            )
        return self._do(asked, query, match["rest"] or "")

    def _do(self, asked: Asked, query: dict[str, str], rest: str) -> None:
        resource = asked.resource.split("/")[0]
        if asked.verb == "list":
            return self._list(resource, asked.namespace, query)
        if asked.resource == "pods/proxy":
            text = self.state.texts.get(asked.name)
            if text is None or rest != "/metrics":
                return self._refuse(503, "no endpoints available")
            return self._answer(200, text.encode(), "text/plain; version=0.0.4")
        key = (resource, asked.namespace, asked.name)
        item = self.state.objects.get(key)
        if item is None:
            return self._refuse(404, f'{resource} "{asked.name}" not found')
        if asked.verb == "delete":
            if asked.body and asked.content_type != "application/json":
                return self._refuse(415, "the body of the request was in an unknown format")
            wanted = ((asked.body or {}).get("preconditions") or {}).get("uid")
            if wanted not in (None, item["metadata"]["uid"]):
                return self._refuse(409, "the UID in the precondition does not match")
            del self.state.objects[key]
            return self._json(item)
        if asked.content_type != MERGE_PATCH:
            return self._refuse(415, "the body of the request was in an unknown format")
        if not asked.field_manager:
            return self._refuse(400, "fieldManager is required here")
        if asked.resource == "deployments/scale":
            replicas = asked.body["spec"]["replicas"]
            if not isinstance(replicas, int) or replicas < 0 or set(asked.body) != {"spec"}:
                return self._refuse(422, "Scale is invalid")
            item["spec"]["replicas"] = replicas
            return self._json({"kind": "Scale", "spec": {"replicas": replicas}})
        annotations = asked.body.get("metadata", {}).get("annotations", {})
        if not all(value is None or isinstance(value, str) for value in annotations.values()):
            return self._refuse(422, "annotations are strings")
        merged = merge(item, asked.body)
        self.state.objects[key] = merged
        return self._json(merged)

    def _list(self, resource: str, namespace: str, query: dict[str, str]) -> None:
        wanted = dict(
            part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part
        )
        found = [
            item
            for (kind, home, _), item in sorted(self.state.objects.items())
            if (kind, home) == (resource, namespace)
            and wanted.items() <= (item["metadata"].get("labels") or {}).items()
        ]
        begin = int(query.get("continue") or 0)
        size = min(int(query.get("limit") or self.state.page), self.state.page)
        end = begin + size
        metadata = {"continue": str(end)} if end < len(found) else {}
        self._json({"kind": "List", "metadata": metadata, "items": found[begin:end]})

    def _misbehave(self, fault: int | str) -> None:
        if isinstance(fault, int):
            return self._refuse(fault, f"as the test\nwants it: {fault}")
        if fault == "hang":
            self.state.released.wait(30)
        if fault in ("hang", "close"):
            self.close_connection = True
            return None
        if fault == "short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"items": [')
            self.close_connection = True
            return None
        return self._answer(200, {"html": b"<html>", "list": b"[]", "odd": b'{"items": 7}'}[fault])

    def _refuse(self, status: int, message: str) -> None:
        body = {"kind": "Status", "status": "Failure", "code": status, "message": message}
        self._answer(status, json.dumps(body).encode())

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def merge(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch, RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge(out.get(key), value)
    return out
