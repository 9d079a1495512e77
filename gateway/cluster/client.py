"""The cluster's API: a few calls of the ``kubernetes`` client, each with a deadline and one error.

Answers are taken as plain JSON, so that what a newer API server adds or leaves out breaks nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.exceptions import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterUnavailableError,
)
from gateway.settings import ClusterSettings

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and its namespace."""

MERGE_PATCH = "application/merge-patch+json"
"""RFC 7396: names only what changes, and no other writer's fields."""

PAGE = 500
"""Objects of one answer, as kubectl asks for them."""

Json = dict[str, Any]


class Cluster:
    """The objects of one namespace.

    Parameters
    ----------
    api : kubernetes.client.ApiClient
        With address and credentials.
    namespace : str
        Of the deployment.
    timeout_seconds : float
        Of one request.
    manager : str
        Field manager: as whom we write.
    """

    def __init__(
        self, api: Any, namespace: str, *, timeout_seconds: float, manager: str = "onescan"
    ) -> None:
        from kubernetes import client

        self.namespace = namespace
        self._api = api
        self._core = client.CoreV1Api(api)
        self._apps = client.AppsV1Api(api)
        self._custom = client.CustomObjectsApi(api)
        self._timeout_seconds = timeout_seconds
        self._manager = manager

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def pods(self, selector: str, namespace: str | None = None) -> list[Json]:
        """List pods by their labels."""
        return self._list(
            self._core.list_namespaced_pod, namespace or self.namespace, label_selector=selector
        )

    def deployments(self, selector: str) -> list[Json]:
        """List Deployments by their labels."""
        return self._list(
            self._apps.list_namespaced_deployment, self.namespace, label_selector=selector
        )

    def scaled_objects(self) -> list[Json]:
        """List KEDA's ScaledObjects; none where KEDA is not installed."""
        try:
            return self._list(
                self._custom.list_namespaced_custom_object,
                "keda.sh",
                "v1alpha1",
                self.namespace,
                "scaledobjects",
            )
        except ClusterNotFoundError:
            return []

    def annotate_pod(self, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a pod; None takes one away."""
        self._call(
            self._core.patch_namespaced_pod,
            name,
            self.namespace,
            {"metadata": {"annotations": dict(annotations)}},
            _content_type=MERGE_PATCH,
            field_manager=self._manager,
        )

    def annotate_scaled_object(self, name: str, annotations: Mapping[str, str | None]) -> None:
        """Set annotations of a ScaledObject; None takes one away."""
        self._call(
            self._custom.patch_namespaced_custom_object,
            "keda.sh",
            "v1alpha1",
            self.namespace,
            "scaledobjects",
            name,
            {"metadata": {"annotations": dict(annotations)}},
            _content_type=MERGE_PATCH,
            field_manager=self._manager,
        )

    def scale(self, deployment: str, replicas: int) -> None:
        """Set how many pods a Deployment wants."""
        self._call(
            self._apps.patch_namespaced_deployment_scale,
            deployment,
            self.namespace,
            {"spec": {"replicas": replicas}},
            _content_type=MERGE_PATCH,
            field_manager=self._manager,
        )

    def delete_pod(self, name: str, uid: str) -> bool:
        """Delete this very pod, with the grace that it asks for; False when it was gone."""
        try:
            self._call(
                self._core.delete_namespaced_pod,
                name,
                self.namespace,
                body={"preconditions": {"uid": uid}},
                _headers={"Content-Type": "application/json"},
            )
        except ClusterNotFoundError:
            return False
        return True

    def text_of_pod(self, namespace: str, name: str, port: int, path: str) -> str:
        """Ask a pod by HTTP, through the API server."""
        body = self._ask(
            self._core.connect_get_namespaced_pod_proxy_with_path,
            f"{name}:{port}",
            namespace,
            path,
        )
        return body.decode("utf-8", "replace")

    def _list(self, method: Callable[..., Any], *args: Any, **options: Any) -> list[Json]:
        items: list[Json] = []
        token: str | None = None
        while True:
            paging = {"_continue": token} if token else {}
            answer = self._call(method, *args, limit=PAGE, **paging, **options)
            page = answer.get("items")
            if not isinstance(page, list) or not all(isinstance(item, dict) for item in page):
                raise ClusterError("The cluster's answer is not a list of objects.")
            items += page
            metadata = answer.get("metadata")
            token = metadata.get("continue") if isinstance(metadata, dict) else None
            if not token:
                return items

    def _call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Json:
        body = self._ask(method, *args, **options)
        try:
            answer = json.loads(body)
        except ValueError:
            raise ClusterError("The cluster's answer is not JSON.") from None
        if not isinstance(answer, dict):
            raise ClusterError("The cluster's answer is not an object.")
        return answer

    def _ask(self, method: Callable[..., Any], *args: Any, **options: Any) -> bytes:
        import urllib3
        from kubernetes.client.exceptions import ApiException

        try:
            response = method(
                *args, _preload_content=False, _request_timeout=self._timeout_seconds, **options
            )
            return bytes(response.data)
        except ApiException as error:
            raise _refusal(error) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise ClusterUnavailableError(
                f"The Kubernetes cluster does not answer: {type(reason).__name__}."
            ) from None


def open_cluster(
    settings: ClusterSettings, *, namespace: str = "", manager: str = "onescan"
) -> Cluster:
    """Find the cluster as the settings say, else this pod's own, else kubectl's.

    Parameters
    ----------
    settings : ClusterSettings
        Which cluster.
    namespace : str
        Goes before the one of the settings, which goes before that of the cluster's configuration.
    manager : str
        Field manager.

    Raises
    ------
    ClusterUnavailableError
        When the package ``kubernetes`` is not installed, or there is no cluster to be found.
    """
    try:
        from kubernetes import client, config
    except ImportError:
        raise ClusterUnavailableError(
            "The Python package kubernetes is not installed; pip install 'onescan[cluster]'."
        ) from None
    options = {
        "config_file": settings.kubeconfig or None,
        "context": settings.context or None,
    }
    configuration = client.Configuration()
    own = ""
    try:
        if settings.kubeconfig or settings.context or not SERVICE_ACCOUNT.is_dir():
            config.load_kube_config(client_configuration=configuration, **options)
            own = _context_namespace(config, options)
        else:
            config.incluster_config.InClusterConfigLoader(
                token_filename=str(SERVICE_ACCOUNT / "token"),
                cert_filename=str(SERVICE_ACCOUNT / "ca.crt"),
            ).load_and_set(configuration)
            own = (SERVICE_ACCOUNT / "namespace").read_text("utf-8").strip()
    except Exception as error:  # the loader lets YAML's, JSON's and base64's own errors through
        said = " ".join(str(error).split())[:200]
        raise ClusterUnavailableError(f"No Kubernetes cluster is configured: {said}") from None
    configuration.retries = False
    return Cluster(
        client.ApiClient(configuration),
        namespace or settings.namespace or own or "default",
        timeout_seconds=settings.timeout_seconds,
        manager=manager,
    )


def _context_namespace(config: Any, options: Mapping[str, str | None]) -> str:
    contexts, active = config.list_kube_config_contexts(options["config_file"])
    if options["context"]:
        active = next((c for c in contexts if c["name"] == options["context"]), active)
    return str((active or {}).get("context", {}).get("namespace") or "")


def _refusal(error: Any) -> ClusterError:
    """Give the error that stands for a status of the API server, with what it says."""
    kinds = {
        401: ClusterForbiddenError,
        403: ClusterForbiddenError,
        404: ClusterNotFoundError,
        409: ClusterConflictError,
    }
    if not error.status:  # no HTTP answer: the certificate, or the like
        return ClusterUnavailableError("The Kubernetes cluster cannot be spoken to by TLS.")
    try:
        said = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.reason or "no reason given")
    kind = kinds.get(error.status, ClusterError)
    return kind(f"The cluster answers {error.status}: {' '.join(said.split())[:300]}")
