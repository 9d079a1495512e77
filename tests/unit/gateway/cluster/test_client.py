"""The cluster's API is asked as its Roles allow, and everything that can go wrong has one error."""

from __future__ import annotations

import datetime
import ipaddress
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway import exceptions
from gateway.cluster import client
from gateway.cluster.access import OPERATOR_RULES, WORKER_RULES
from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import SELECTOR, read_pools
from gateway.settings import ClusterSettings
from tests.cluster_server import (
    MERGE_PATCH,
    NAMESPACE,
    TOKEN,
    ApiServer,
    Asked,
    pool_deployment,
    pool_pod,
    running_cluster,
)

POD = "onescan-pool-h200-5c9-x7k2p"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def api(server: ApiServer) -> ApiServer:
    """The server with one pool of one pod, and what an operator may do."""
    server.objects.clear()
    server.asked.clear()
    server.faults.clear()
    server.page = 500
    server.has_keda = True
    server.rules = {NAMESPACE: OPERATOR_RULES}
    server.put("deployments", pool_deployment("h200"))
    server.put("pods", pool_pod("h200", POD))
    return server


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    opened = open_cluster(api.settings(tmp_path))
    yield opened
    opened.close()


def test_an_operator_may_do_all_that_the_commands_do(api: ApiServer, cluster: Cluster) -> None:
    """Every call is let through by OPERATOR_RULES, and every rule of it is needed by some call."""
    api.put("scaledobjects", {"metadata": {"name": "so"}, "spec": {}})
    item = api.get("pods", POD)
    assert item is not None
    cluster.pods(SELECTOR)
    cluster.deployments(SELECTOR)
    cluster.scaled_objects()
    cluster.annotate_pod(POD, {"a": "1"})
    cluster.annotate_scaled_object("so", {"b": "2"})
    cluster.scale("onescan-pool-h200", 0)
    assert cluster.delete_pod(POD, item["metadata"]["uid"])
    groups = {"pods": "", "deployments": "apps", "scaledobjects": "keda.sh"}
    asked = {(groups[a.resource.split("/")[0]], a.resource, a.verb) for a in api.asked}
    allowed = {
        (group, resource, verb)
        for rule in OPERATOR_RULES
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert asked == allowed
    assert {a.namespace for a in api.asked} == {NAMESPACE}


def test_writes_are_merge_patches_of_one_field_by_a_named_manager(
    api: ApiServer, cluster: Cluster
) -> None:
    """Nothing of another writer is in them; a null takes an annotation away."""
    api.put("scaledobjects", {"metadata": {"name": "so"}})
    cluster.annotate_pod(POD, {"a": "1", "b": "2"})
    cluster.annotate_pod(POD, {"a": None})
    cluster.annotate_scaled_object("so", {"c": "3"})
    cluster.scale("onescan-pool-h200", 4)
    patches = api.of_verb("patch")
    assert [a.body for a in patches] == [
        {"metadata": {"annotations": {"a": "1", "b": "2"}}},
        {"metadata": {"annotations": {"a": None}}},
        {"metadata": {"annotations": {"c": "3"}}},
        {"spec": {"replicas": 4}},
    ]
    assert {(a.content_type, a.field_manager) for a in patches} == {(MERGE_PATCH, "onescan")}
    pod, deployment = api.get("pods", POD), api.get("deployments", "onescan-pool-h200")
    assert pod is not None
    assert deployment is not None
    assert pod["metadata"]["annotations"] == {"b": "2"}
    assert pod["spec"]["nodeName"]
    assert deployment["spec"]["replicas"] == 4


def test_a_worker_may_do_nothing_but_annotate_pods(api: ApiServer, cluster: Cluster) -> None:
    """Its Role is the narrow one."""
    api.rules = {NAMESPACE: WORKER_RULES}
    cluster.annotate_pod(POD, {"a": "1"})
    for forbidden in (
        lambda: cluster.pods(SELECTOR),
        lambda: cluster.deployments(SELECTOR),
        lambda: cluster.scale("onescan-pool-h200", 0),
        lambda: cluster.delete_pod(POD, "any"),
        lambda: cluster.scaled_objects(),
    ):
        with pytest.raises(exceptions.ClusterForbiddenError, match="cannot"):
            forbidden()
    assert api.get("pods", POD)


def test_only_this_very_pod_is_deleted(api: ApiServer, cluster: Cluster) -> None:
    """Another one of the same name stays; one that is gone is no error."""
    with pytest.raises(exceptions.ClusterConflictError):
        cluster.delete_pod(POD, "uid-of-yesterday")
    assert api.get("pods", POD)
    assert not cluster.delete_pod("gone", "any")


def test_lists_are_read_to_their_end(api: ApiServer, cluster: Cluster) -> None:
    """Page by page, in the order of names."""
    api.page = 2
    for number in range(5):
        api.put("pods", pool_pod("h200", f"pod-{number}"))
    _, pods = read_pools(cluster)
    assert [pod.name for pod in pods] == [POD, *(f"pod-{number}" for number in range(5))]
    assert len([a for a in api.of_verb("list") if a.resource == "pods"]) == 3


def test_a_release_has_its_own_pools_only(api: ApiServer, cluster: Cluster) -> None:
    """By the label of the Helm release."""
    other = pool_pod("h200", "pod-of-another")
    other["metadata"]["labels"]["app.kubernetes.io/instance"] = "another"
    api.put("pods", other)
    assert {pod.name for pod in read_pools(cluster)[1]} == {POD, "pod-of-another"}
    assert [pod.name for pod in read_pools(cluster, "another")[1]] == ["pod-of-another"]


def test_without_keda_pools_are_read_all_the_same(api: ApiServer, cluster: Cluster) -> None:
    """No ScaledObject scales them then; nor where we may not look."""
    api.has_keda = False
    assert read_pools(cluster)[0][0].scaled_object is None
    api.has_keda = True
    api.rules = {NAMESPACE: tuple(r for r in OPERATOR_RULES if r["apiGroups"] != ("keda.sh",))}
    assert read_pools(cluster)[0][0].scaled_object is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (400, exceptions.ClusterError),
        (401, exceptions.ClusterForbiddenError),
        (403, exceptions.ClusterForbiddenError),
        (404, exceptions.ClusterNotFoundError),
        (409, exceptions.ClusterConflictError),
        (429, exceptions.ClusterError),
        (500, exceptions.ClusterError),
        ("hang", exceptions.ClusterUnavailableError),
        ("close", exceptions.ClusterUnavailableError),
        ("short", exceptions.ClusterUnavailableError),
        ("html", exceptions.ClusterError),
        ("list", exceptions.ClusterError),
        ("odd", exceptions.ClusterError),
    ],
)
def test_a_fault_is_one_error_of_one_sentence(
    api: ApiServer, cluster: Cluster, fault: int | str, kind: type[Exception]
) -> None:
    """Whatever the server does; it is asked once, so a write is never made twice unasked."""
    api.faults = {("list", "deployments"): fault}
    with pytest.raises(kind) as caught:
        cluster.deployments(SELECTOR)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert len(api.asked) == 1


@pytest.mark.parametrize("fault", ["hang", "close", 500])
def test_a_write_is_tried_once(api: ApiServer, cluster: Cluster, fault: int | str) -> None:
    """A patch whose answer is lost is not sent again by the client."""
    api.faults = {("patch", "pods"): fault}
    with pytest.raises(exceptions.ClusterError):
        cluster.annotate_pod(POD, {"a": "1"})
    assert len(api.of_verb("patch")) == 1


def test_a_cluster_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Nobody listens there."""
    settings = ApiServer(url="http://127.0.0.1:9").settings(tmp_path)
    with pytest.raises(exceptions.ClusterUnavailableError, match="does not answer"):
        open_cluster(settings).pods(SELECTOR)


def test_without_the_package_one_sentence_says_so(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra: single machines need no Kubernetes."""
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(exceptions.ClusterUnavailableError, match=r"onescan\[cluster\]"):
        open_cluster(api.settings(tmp_path))


@pytest.mark.parametrize("text", [None, "", "{", "clusters: 7", "current-context: none"])
def test_a_kubeconfig_that_names_no_cluster_is_one_sentence(
    tmp_path: Path, text: str | None
) -> None:
    """Absent, empty, damaged or of another kind."""
    file = tmp_path / "config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(exceptions.ClusterUnavailableError, match="No Kubernetes cluster") as caught:
        open_cluster(ClusterSettings(kubeconfig=str(file)))
    assert "\n" not in str(caught.value)


def test_an_unknown_context_is_refused(api: ApiServer, tmp_path: Path) -> None:
    """Never the current one instead."""
    with pytest.raises(exceptions.ClusterUnavailableError, match="nowhere"):
        open_cluster(api.settings(tmp_path, context="nowhere"))


def test_the_namespace_of_the_settings_goes_before_the_context_s(
    api: ApiServer, tmp_path: Path
) -> None:
    """And the pod's own before both."""
    assert open_cluster(api.settings(tmp_path)).namespace == NAMESPACE
    settings = api.settings(tmp_path, namespace="elsewhere")
    assert open_cluster(settings).namespace == "elsewhere"
    assert open_cluster(settings, namespace="own").namespace == "own"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_a_pod_finds_its_own_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    """By the files of its service account, by TLS under the cluster's own CA."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text(NAMESPACE)
    (account / "ca.crt").write_bytes(certificate[0].read_bytes())
    monkeypatch.setattr(client, "SERVICE_ACCOUNT", account)
    with running_cluster(certificate) as api:
        port = api.url.rpartition(":")[2]
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        api.rules = {NAMESPACE: WORKER_RULES}
        api.put("pods", pool_pod("h200", POD))
        cluster = open_cluster(ClusterSettings(), manager="onescan-worker")
        cluster.annotate_pod(POD, {"a": "1"})
        cluster.close()
        assert api.asked == [
            Asked(
                verb="patch",
                resource="pods",
                namespace=NAMESPACE,
                name=POD,
                content_type=MERGE_PATCH,
                field_manager="onescan-worker",
                body={"metadata": {"annotations": {"a": "1"}}},
            )
        ]
        (account / "ca.crt").write_text(
            certificate[0].read_text().replace("MII", "MIJ", 1)  # damaged
        )
        with pytest.raises(exceptions.ClusterUnavailableError):
            open_cluster(ClusterSettings()).pods(SELECTOR)


def test_a_server_of_another_ca_is_not_spoken_to(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    """Its certificate is judged by the kubeconfig's CA, else by the system's."""
    with running_cluster(certificate) as api:
        api.ca_file = ""
        with pytest.raises(exceptions.ClusterUnavailableError):
            open_cluster(api.settings(tmp_path)).pods(SELECTOR)
        assert api.asked == []
