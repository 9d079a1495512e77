"""What holds for every pod, policy and selector of every profile."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.cluster.access import OPERATOR_RULES, WORKER_RULES
from gateway.cluster.pools import POOL_LABEL, SELECTOR
from gateway.commands import COMMANDS
from gateway.settings import Settings, environment_names
from tests.chart.rendering import (
    PROFILES,
    Document,
    containers,
    environment,
    matches,
    named,
    of_kind,
    pods,
    profile,
    render,
)

every_profile = pytest.mark.parametrize("name", PROFILES)

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")

EXTENDED = re.compile(r"^[a-z0-9.-]+/")
"""Of a resource of a device plugin."""


@every_profile
def test_every_container_is_restricted(name: str) -> None:
    """By the Pod Security Standard "restricted", and the root is read-only."""
    for where, pod in pods(profile(name)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, where
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        own = 999 if "postgresql" in where else 10001
        assert spec["securityContext"]["runAsUser"] == own
        assert spec["securityContext"]["fsGroup"] == own
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "configMap", "persistentVolumeClaim", "projected"}


@every_profile
def test_every_container_says_what_it_needs(name: str) -> None:
    """CPU and memory asked for, memory limited; a GPU the same in both, as it has to be."""
    for where, pod in pods(profile(name)):
        for container in containers(pod):
            resources = container["resources"]
            assert {"cpu", "memory"} <= set(resources["requests"]), where
            assert "memory" in resources["limits"], where
            extended = {k: v for k, v in resources["limits"].items() if EXTENDED.match(k)}
            asked = {k: v for k, v in resources["requests"].items() if EXTENDED.match(k)}
            assert extended == asked


@every_profile
def test_what_is_written_lies_on_a_volume(name: str) -> None:
    """The root is read-only, so home, /tmp and /dev/shm are mounted; mounts have their volumes."""
    for where, pod in pods(profile(name)):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        if "postgresql" in where:
            volumes.add("data")  # of the StatefulSet's claim
        mounted: set[str] = set()
        for container in containers(pod):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= volumes, where
            assert len(mounts) == len(container["volumeMounts"]), where
            assert "/tmp" in mounts, where
            mounted |= set(mounts.values())
            if container["name"] in ("api", "dimse", "worker", "triton"):
                assert "/var/lib/onescan" in mounts
        assert mounted == volumes, where
        for volume in pod["spec"]["volumes"]:
            assert (
                volume.get("emptyDir") is None
                or "sizeLimit" in volume["emptyDir"]
                or ("postgresql" in where)
            )


@every_profile
def test_every_variable_is_a_setting(name: str) -> None:
    """What pods are given is read by gateway/settings.py, and makes settings."""
    known = {"ONESCAN_HOME", *environment_names()}
    documents = profile(name)
    (config,) = [c for c in of_kind(documents, "ConfigMap") if "ONESCAN_HOME" in c["data"]]
    assert set(config["data"]) <= known
    for where, pod in pods(documents):
        for container in containers(pod):
            given = environment(container)
            ours = {n: v for n, v in given.items() if n.startswith(("ONESCAN_", "DATABASE_URL"))}
            assert set(ours) <= known, where
            for reference in container.get("envFrom", []):
                assert reference == {"configMapRef": {"name": config["metadata"]["name"]}}
                ours = {**config["data"], **ours}
            plain = {n: v if isinstance(v, str) else "x" for n, v in ours.items()}
            Settings.from_environ(plain)


@every_profile
def test_every_command_is_one_of_ours(name: str) -> None:
    """Arguments begin with a command of `onescan`."""
    known = {command.NAME for command in COMMANDS}
    found = set()
    for _, pod in pods(profile(name)):
        for container in containers(pod):
            if container["name"] not in ("postgresql", "test"):
                found.add(container["args"][0])
    assert {"serve", "worker", "triton", "migrate"} <= found <= known


@every_profile
def test_no_secret_is_in_the_values(name: str) -> None:
    """Passwords and keys come from Secrets, which the chart never makes."""
    documents = profile(name)
    assert not of_kind(documents, "Secret")
    secret = {"DATABASE_URL", "POSTGRES_PASSWORD", "ONESCAN_API__KEY", "ONESCAN_WEBHOOKS__KEY",
              "ONESCAN_LOG__KEY", "ONESCAN_OIDC__CLIENT_SECRET"}  # fmt: skip
    for _, pod in pods(documents):
        for container in containers(pod):
            for variable, value in environment(container).items():
                assert (variable in secret) == (
                    isinstance(value, dict) and set(value) == {"secretKeyRef"}
                ), variable


@every_profile
def test_triton_gets_no_secret(name: str) -> None:
    """Models are code: their container has no key, no database and no token of the cluster."""
    for pod in pool_pods(profile(name)).values():
        triton = container_of(pod, "triton")
        assert all(isinstance(value, str) for value in environment(triton).values())
        assert "envFrom" not in triton
        secret = {
            volume["name"]
            for volume in pod["spec"]["volumes"]
            if "secret" in volume or "projected" in volume
        }
        assert not secret & {mount["name"] for mount in triton["volumeMounts"]}


@every_profile
def test_probes_ask_what_is_there(name: str) -> None:
    """Every HTTP or TCP probe names a port of its container; every long-lived one has probes."""
    for where, pod in pods(profile(name)):
        for container in containers(pod):
            ports = {port["name"] for port in container.get("ports", [])}
            probes = [container[probe] for probe in PROBES if probe in container]
            for probe in probes:
                ask = probe.get("httpGet") or probe.get("tcpSocket")
                assert ask is None or ask["port"] in ports, where
            if ports:
                assert "startupProbe" in container, where
                assert len(probes) >= 2, where


@every_profile
def test_ports_have_one_name_in_a_pod(name: str) -> None:
    """Policies, Services and monitors speak of ports by name."""
    for where, pod in pods(profile(name)):
        ports = [port["name"] for c in containers(pod) for port in c.get("ports", [])]
        assert len(ports) == len(set(ports)), where
        assert all(len(port) <= 15 for port in ports)


@every_profile
def test_selectors_choose_their_own_pods_and_never_change(name: str) -> None:
    """Only labels that outlive releases are selected by, and no two workloads share pods."""
    documents = profile(name)
    workloads = of_kind(documents, "Deployment", "StatefulSet")
    stable = {"app.kubernetes.io/name", "app.kubernetes.io/instance",
              "app.kubernetes.io/component", POOL_LABEL}  # fmt: skip
    for one in workloads:
        selector = one["spec"]["selector"]
        assert set(selector["matchLabels"]) <= stable
        for other in workloads:
            labels = other["spec"]["template"]["metadata"]["labels"]
            assert matches(selector, labels) == (one is other)


@every_profile
def test_services_and_budgets_choose_pods(name: str) -> None:
    """Each has pods, and a Service's target port is a port of theirs."""
    documents = profile(name)
    labelled = [(p["metadata"]["labels"], p) for _, p in pods(documents)]
    for service in of_kind(documents, "Service"):
        chosen = [p for labels, p in labelled
                  if matches({"matchLabels": service["spec"]["selector"]}, labels)]  # fmt: skip
        (pod,) = chosen
        ports = {port["name"] for c in containers(pod) for port in c.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for budget in of_kind(documents, "PodDisruptionBudget"):
        chosen = [p for labels, p in labelled if matches(budget["spec"]["selector"], labels)]
        assert len(chosen) == 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_profile
def test_policies_choose_what_they_mean(name: str) -> None:
    """One denies for every pod, and each pod has one more that says its flows, by its own ports."""
    documents = profile(name)
    policies = of_kind(documents, "NetworkPolicy")
    (deny,) = [p for p in policies if p["metadata"]["name"].endswith("-deny")]
    assert "ingress" not in deny["spec"]
    for where, pod in pods(documents):
        labels = pod["metadata"]["labels"]
        assert matches(deny["spec"]["podSelector"], labels), where
        own = [p for p in policies
               if p is not deny and matches(p["spec"]["podSelector"], labels)]  # fmt: skip
        (policy,) = own
        ports = {port[key] for c in containers(pod) for port in c.get("ports", [])
                 for key in ("name", "containerPort")}  # fmt: skip
        for rule in policy["spec"].get("ingress", []):
            assert rule["ports"], where
            assert {port["port"] for port in rule["ports"]} <= ports, where
        for rule in policy["spec"].get("egress", []):
            assert rule["ports"], where
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_peers_in_policies_are_pods_of_ours() -> None:
    """Where a policy names pods of the release, there are such pods."""
    for name in PROFILES:
        documents = profile(name)
        labelled = [pod["metadata"]["labels"] for _, pod in pods(documents)]
        for policy in of_kind(documents, "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                for peer in rule.get("to", []):
                    if "podSelector" in peer:
                        assert any(matches(peer["podSelector"], labels) for labels in labelled)


def test_nobody_calls_a_worker() -> None:
    """Only Prometheus reaches a pool's pods, at the two ports of metrics."""
    policy = named(profile("national"), "NetworkPolicy", "onescan-pool")
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["metrics", 8002]
    assert rule["from"]


def test_the_edge_speaks_to_nobody_outside() -> None:
    """Its policies let nothing out but to its own pods, names, the hospital and the API server."""
    for policy in of_kind(profile("edge"), "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            blocks = {peer["ipBlock"]["cidr"] for peer in rule.get("to", []) if "ipBlock" in peer}
            assert blocks <= {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}
            if not rule.get("to"):
                assert {port["port"] for port in rule["ports"]} == {443, 6443}


def test_the_edge_pulls_nothing() -> None:
    """Images of an offline site are there already."""
    for _, pod in pods(profile("edge")):
        assert all(container["imagePullPolicy"] == "Never" for container in containers(pod))


@every_profile
def test_service_accounts_and_claims_are_there(name: str) -> None:
    """Every pod's account, claim and ConfigMap is made by the chart, or named by the values."""
    documents = profile(name)
    accounts = {d["metadata"]["name"] for d in of_kind(documents, "ServiceAccount")}
    claims = {d["metadata"]["name"] for d in of_kind(documents, "PersistentVolumeClaim")}
    claims.add("backups")  # of ci/all-values.yaml
    configs = {d["metadata"]["name"] for d in of_kind(documents, "ConfigMap")}
    for where, pod in pods(documents):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, where
        # A hook runs before the release's own accounts are there.
        allowed = {"default"} if where.startswith(("Job/", "StatefulSet/")) else accounts
        assert spec["serviceAccountName"] in allowed
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
            if "configMap" in volume:
                assert volume["configMap"]["name"] in configs


def test_roles_are_what_the_code_does() -> None:
    """The Roles are the rules of gateway/cluster/access.py, no more."""
    documents = profile("all")
    for role, rules in (("pool", WORKER_RULES), ("operator", OPERATOR_RULES)):
        made = named(documents, "Role", f"screening-{role}")
        assert made["rules"] == [{k: list(v) for k, v in rule.items()} for rule in rules]
        bound = named(documents, "RoleBinding", f"screening-{role}")
        assert bound["roleRef"]["name"] == made["metadata"]["name"]
    (subject,) = named(documents, "RoleBinding", "screening-pool")["subjects"]
    assert subject["namespace"] == "screening"


def test_without_a_deletion_cost_workers_know_no_cluster() -> None:
    """No Role, no token, no way to the API server."""
    documents = render(worker={"deletionCost": False})
    assert not [d for d in of_kind(tuple(documents), "Role") if "pool" in d["metadata"]["name"]]
    (pod,) = pool_pods(documents).values()
    assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume]
    assert "ONESCAN_WORKER__POD_NAME" not in environment(container_of(pod, "worker"))
    policy = named(documents, "NetworkPolicy", "onescan-pool")
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {5432, 443}  # of PostgreSQL and S3


def test_triton_is_a_sidecar_that_starts_first() -> None:
    """An init container that is restarted, with a startup probe: the worker waits for it."""
    for pod in pool_pods(profile("all")).values():
        last = pod["spec"]["initContainers"][-1]
        assert last["name"] == "triton"
        assert last["restartPolicy"] == "Always"
        assert last["startupProbe"]["exec"]["command"][1] == "-S"
        (worker,) = pod["spec"]["containers"]
        url = environment(worker)["ONESCAN_TRITON__URL"]
        assert url == f"unix:{last['startupProbe']['exec']['command'][2]}"
        file = environment(worker)["ONESCAN_TRITON__RESTART_FILE"]
        assert last["livenessProbe"]["exec"]["command"] == ["test", "!", "-e", file]
        for path in ("/dev/shm", "/run/onescan"):
            names = {mount["name"] for container in (last, worker)
                     for mount in container["volumeMounts"]
                     if mount["mountPath"] == path}  # fmt: skip
            (shared,) = names
            (volume,) = [v for v in pod["spec"]["volumes"] if v["name"] == shared]
            assert volume["emptyDir"]["medium"] == "Memory"


def test_the_startup_probe_waits_as_long_as_it_says() -> None:
    """Looks × period is triton.startTimeoutSeconds, rounded up."""
    (pod,) = pool_pods(render(triton={"startTimeoutSeconds": 903})).values()
    probe = container_of(pod, "triton")["startupProbe"]
    assert probe["failureThreshold"] * probe["periodSeconds"] == 905


@every_profile
def test_grace_outlasts_study_drain_and_triton(name: str) -> None:
    """The kubelet waits longer than what it waits for."""
    documents = profile(name)
    (config,) = [c for c in of_kind(documents, "ConfigMap") if "ONESCAN_HOME" in c["data"]]
    seconds = sum(
        float(config["data"][variable])
        for variable in (
            "ONESCAN_WORKER__STUDY_TIMEOUT_SECONDS",
            "ONESCAN_WORKER__DRAIN_SECONDS",
            "ONESCAN_TRITON__EXIT_TIMEOUT_SECONDS",
        )
    )
    for pod in pool_pods(documents).values():
        assert pod["spec"]["terminationGracePeriodSeconds"] > seconds


def test_pools_are_found_by_the_command() -> None:
    """`onescan pool` selects Deployments and pods by labels that the chart writes."""
    wanted = dict(part.split("=") for part in SELECTOR.split(","))
    found = {}
    for deployment in of_kind(profile("all"), "Deployment"):
        for labels in (
            deployment["metadata"]["labels"],
            deployment["spec"]["template"]["metadata"]["labels"],
        ):
            if wanted.items() <= labels.items():
                found.setdefault(labels[POOL_LABEL], []).append(deployment["metadata"]["name"])
    assert set(found) == {"main", "mig", "slices", "night"}
    assert all(len(names) == 2 for names in found.values())


def test_pools_get_what_their_values_say() -> None:
    """GPU, checks, lanes, priority and rollout of each."""
    by_name = {
        d["metadata"]["labels"][POOL_LABEL]: d
        for d in of_kind(profile("all"), "Deployment")
        if POOL_LABEL in d["metadata"]["labels"]
    }
    main, mig, slices, night = (by_name[n] for n in ("main", "mig", "slices", "night"))
    assert limits(main)["nvidia.com/gpu"] == 2
    assert limits(mig)["nvidia.com/mig-1g.18gb"] == 1
    assert not [k for k in limits(night) if EXTENDED.match(k)]
    assert worker_environment(main)["ONESCAN_WORKER__CHECKS"] == ""
    assert worker_environment(main)["ONESCAN_WORKER__LANES"] == ""
    assert worker_environment(slices)["ONESCAN_WORKER__CHECKS"] == "liver,nodule"
    assert worker_environment(slices)["ONESCAN_WORKER__LANES"] == "routine,backfill"
    assert worker_environment(main)["ONESCAN_WORKER__SHM_BYTES"] == str(12 * 1024**3)
    classes = [
        d["spec"]["template"]["spec"]["priorityClassName"] for d in (main, mig, slices, night)
    ]
    assert classes == ["gpu", "screening-screening-stat", "screening-screening-routine",
                       "screening-screening-backfill"]  # fmt: skip
    assert main["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
    assert mig["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    annotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert main["spec"]["template"]["metadata"]["annotations"][annotation] == "false"
    assert mig["spec"]["template"]["metadata"]["annotations"][annotation] == "true"
    # The autoscaler's number of replicas is not written over by an upgrade.
    assert all("replicas" not in deployment["spec"] for deployment in by_name.values())


def test_triton_gets_its_own_settings() -> None:
    """Those of its group, and no others."""
    settings = {
        "ONESCAN_TRITON__TRACE_ENDPOINT": "http://collector:4318/v1/traces",
        "ONESCAN_API__RENDER_LIMIT": 4,
    }
    (pod,) = pool_pods(render(settings=settings)).values()
    given = environment(container_of(pod, "triton"))
    assert given["ONESCAN_TRITON__TRACE_ENDPOINT"] == "http://collector:4318/v1/traces"
    assert "ONESCAN_API__RENDER_LIMIT" not in given


def test_backfill_preempts_nobody() -> None:
    """Lanes have priorities in their order; the lowest takes no other pod's place."""
    made = {d["metadata"]["name"].rsplit("-", 1)[1]: d for d in of_kind(profile("all"),
            "PriorityClass")}  # fmt: skip
    assert made["stat"]["value"] > made["routine"]["value"] > 0 > made["backfill"]["value"] > -10
    assert made["backfill"]["preemptionPolicy"] == "Never"


@pytest.mark.parametrize("controller", ["ingress-nginx", "nginx-inc", "haproxy-ingress", "traefik"])
def test_ingresses_have_no_limit_of_their_own(controller: str) -> None:
    """Bodies without a limit, no buffering, time-outs beyond an hour's stream."""
    (ingress,) = of_kind(
        tuple(render(api={"ingress": {"enabled": True, "host": "ct", "controller": controller}})),
        "Ingress",
    )
    annotations = ingress["metadata"].get("annotations", {})
    text = " ".join(f"{key}={value}" for key, value in sorted(annotations.items()))
    if controller == "traefik":
        assert not annotations
        return
    assert re.search(r"body-size=(0|unlimited)", text)
    seconds = [int(n) for n in re.findall(r"(?:read-timeout|timeout-server)=(\d+)s?", text)]
    assert seconds
    assert min(seconds) > 3600
    if "nginx" in controller:
        assert re.search(r"proxy-buffering=(off|False)", text)
        assert re.search(r"request.buffering[= ]off", text)


@pytest.mark.parametrize(
    ("models", "kind"),
    [
        ({"source": "pvc", "pvc": {"existingClaim": "models"}}, "persistentVolumeClaim"),
        ({"source": "s3", "s3": {"url": "s3://models/one"}}, "emptyDir"),
    ],
)
def test_models_come_from_where_they_are_said_to_be(models: Document, kind: str) -> None:
    """The api, worker and Triton of each pod read the same repository; nobody else has it."""
    documents = render(models=models)
    readers = set()
    for _, pod in pods(documents):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            mounts = {m["mountPath"]: m for m in container["volumeMounts"]}
            if (mount := mounts.get("/models-source")) is None:
                continue
            assert kind in volumes[mount["name"]]
            readers.add(container["name"])
            writes = container["name"] == "fetch-models"
            assert mount.get("readOnly", False) is not writes
            if container["name"] == "triton":
                path = environment(container)["ONESCAN_TRITON__MODEL_REPOSITORY"]
                assert path == "/models-source"
    data = named(documents, "ConfigMap", "onescan-settings")["data"]
    assert data["ONESCAN_TRITON__MODEL_REPOSITORY"] == "/models-source"
    assert readers - {"fetch-models"} == {"api", "worker", "triton"}
    assert ("fetch-models" in readers) == (models["source"] == "s3")


def test_migrations_come_first() -> None:
    """A hook before install and upgrade, or an init container where the database comes along."""
    (job,) = of_kind(profile("national"), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (migrate,) = job["spec"]["template"]["spec"]["containers"]
    assert migrate["args"] == ["migrate", "--scaler-role", "onescan_scaler"]
    assert not of_kind(profile("edge"), "Job")
    api = named(profile("edge"), "Deployment", "onescan-api")["spec"]["template"]
    assert api["spec"]["initContainers"][-1]["args"] == ["migrate"]


def test_a_change_of_settings_rolls_pods() -> None:
    """Their checksum is on the pods that read them."""
    sums = []
    for value in ("1", "2"):
        documents = render(settings={"ONESCAN_API__RENDER_LIMIT": value})
        api = named(documents, "Deployment", "onescan-api")["spec"]["template"]
        sums.append(api["metadata"]["annotations"]["checksum/config"])
    assert len(set(sums)) == 2


def pool_pods(documents: tuple[Document, ...] | list[Document]) -> dict[str, Document]:
    return {
        pod["metadata"]["labels"][POOL_LABEL]: pod
        for _, pod in pods(documents)
        if POOL_LABEL in pod["metadata"]["labels"]
    }


def container_of(pod: Document, name: str) -> Document:
    (found,) = [container for container in containers(pod) if container["name"] == name]
    return found


def limits(deployment: Document) -> dict[str, Any]:
    return dict(container_of(deployment["spec"]["template"], "triton")["resources"]["limits"])


def worker_environment(deployment: Document) -> dict[str, Any]:
    return environment(container_of(deployment["spec"]["template"], "worker"))
