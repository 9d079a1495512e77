"""What the chart makes of alerts, dashboards and ports."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.chart.rendering import ROOT, Document, of_kind, profile, render, template
from tests.monitoring.alerts import DASHBOARDS, NAMES, RUNBOOKS, rule

KINDS = ("PrometheusRule", "PodMonitor", "ServiceMonitor")
KEY = {"name": "onescan-prometheus", "key": "key"}
OVERRIDDEN = {"OneScanBackfillLaneLate", "OneScanStatLaneLate", "OneScanOrphansMany"}
"""By ci/all-values.yaml."""


def monitored(**values: Any) -> list[Document]:
    return render("ci/minimal-values.yaml", monitoring=values)


def groups(documents: list[Document] | tuple[Document, ...]) -> list[dict[str, Any]]:
    [made] = of_kind(tuple(documents), "PrometheusRule")
    return list(made["spec"]["groups"])


def test_nothing_is_made_that_was_not_asked_for() -> None:
    """A cluster without the Prometheus operator knows none of these kinds."""
    assert not of_kind(profile("default"), *KINDS)


def test_the_rule_is_the_files(need_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Expression, time, labels and annotations are those of the file, and promtool takes them."""
    made = {group["name"]: group for group in groups(monitored(prometheusRule={"enabled": True}))}
    assert sorted(made) == NAMES
    for name in NAMES:
        [got], wanted = made[name]["rules"], rule(name)
        assert got.pop("expr").strip() == wanted.pop("expr").strip()
        assert got == wanted
    path = tmp_path / "rules.yaml"
    all_groups = groups(profile("all"))
    path.write_text(yaml.safe_dump({"groups": all_groups}), encoding="utf-8")
    command = [need_tool("promtool"), "check", "rules", str(path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_an_alert_can_be_other_than_in_its_file() -> None:
    """Left out, later, of another severity, with labels, with runbooks elsewhere."""
    made = {group["name"]: group["rules"][0] for group in groups(profile("all"))}
    assert set(NAMES) - set(made) == {"OneScanBackfillLaneLate"}
    assert made["OneScanStatLaneLate"]["for"] == "1m"
    assert made["OneScanStatLaneLate"]["labels"] == {"severity": "critical", "team": "radiology"}
    assert made["OneScanOrphansMany"]["labels"] == {"severity": "warning"}
    for name in set(made) - OVERRIDDEN:
        assert made[name]["labels"] == rule(name)["labels"]
        assert made[name]["annotations"]["runbook_url"] == (
            f"https://runbooks.example.org/onescan/{name}.md"
        )


def test_an_alert_that_is_none_is_refused() -> None:
    """A typing error would leave an alert as it was."""
    overrides = {"OneScanStatLineLate": {"enabled": False}}
    done = template(monitoring={"prometheusRule": {"enabled": True, "overrides": overrides}})
    assert done.returncode != 0
    assert "overrides.OneScanStatLineLate is none of the alerts" in done.stderr


def test_the_api_wants_a_key() -> None:
    """Without one Prometheus would be told 401 for ever."""
    done = template(monitoring={"serviceMonitor": {"enabled": True}})
    assert done.returncode != 0
    assert "onescan keys create prometheus --roles operate" in done.stderr
    [made] = of_kind(
        tuple(monitored(serviceMonitor={"enabled": True, "keySecret": KEY})), "ServiceMonitor"
    )
    [endpoint] = made["spec"]["endpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": KEY}


def test_an_api_that_speaks_https_is_scraped_by_https() -> None:
    """By the name of its certificate."""
    secured = {"serverName": "ct.example.org"}
    values = {"enabled": True, "keySecret": KEY, "tlsConfig": secured}
    for tls, scheme in (({"existingSecret": "onescan-tls"}, "https"), ({}, None)):
        done = template(monitoring={"serviceMonitor": values}, api={"tls": tls})
        assert done.returncode == 0, done.stderr
        [monitor] = [
            document
            for document in yaml.safe_load_all(done.stdout)
            if document and document["kind"] == "ServiceMonitor"
        ]
        [endpoint] = monitor["spec"]["endpoints"]
        assert endpoint.get("scheme") == scheme
        assert endpoint.get("tlsConfig") == (secured if scheme else None)


def ports(containers: list[Document]) -> set[str]:
    return {port["name"] for container in containers for port in container.get("ports", [])}


def test_what_is_scraped_is_there() -> None:
    """Selectors find pods and services of ours, and their ports have these names."""
    documents = profile("all")
    monitors = of_kind(documents, "PodMonitor")
    assert len(monitors) == 2
    deployments = [d["spec"]["template"] for d in of_kind(documents, "Deployment")]
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [pod for pod in deployments if wanted <= pod["metadata"]["labels"].items()]
        assert found
        for pod in found:
            spec = pod["spec"]
            there = ports([*spec["containers"], *spec.get("initContainers", [])])
            assert {e["port"] for e in monitor["spec"]["podMetricsEndpoints"]} <= there
    [monitor] = of_kind(documents, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    [service] = [
        s for s in of_kind(documents, "Service") if wanted <= s["metadata"]["labels"].items()
    ]
    assert {e["port"] for e in monitor["spec"]["endpoints"]} <= {
        port["name"] for port in service["spec"]["ports"]
    }


def test_dashboards_are_those_of_the_files() -> None:
    """One ConfigMap each, with the labels that Grafana's sidecar looks for."""
    made = [
        d for d in of_kind(profile("all"), "ConfigMap") if "-dashboard-" in d["metadata"]["name"]
    ]
    held = {name: text for document in made for name, text in document["data"].items()}
    assert sorted(held) == [path.name for path in sorted(DASHBOARDS.iterdir())]
    for name, text in held.items():
        assert text.strip() == (DASHBOARDS / name).read_text(encoding="utf-8").strip()
    assert all(d["metadata"]["labels"]["grafana_dashboard"] == "1" for d in made)


def test_runbooks_name_what_the_chart_makes() -> None:
    """Deployments and jobs of a release by the name `onescan`."""
    made = {
        f"{short}/{document['metadata']['name']}"
        for short, kind in (("deploy", "Deployment"), ("job", "Job"))
        for document in of_kind(profile("minimal"), kind)
    }
    named = {
        word
        for path in RUNBOOKS.iterdir()
        for word in path.read_text(encoding="utf-8").split()
        if word.startswith(("deploy/onescan", "job/onescan"))
    }
    assert named
    assert named <= made


def test_the_schemas_of_the_operator_refuse() -> None:
    """What is written down of the operator's kinds takes no field that it does not know."""
    folder = ROOT / "tests" / "chart" / "crds"
    for document in of_kind(profile("all"), *KINDS):
        schema = yaml.safe_load((folder / f"{document['kind'].lower()}.yaml").read_text())
        validator = jsonschema.Draft7Validator(schema)
        assert validator.is_valid(document)
        assert not validator.is_valid({**document, "spec": {**document["spec"], "group": []}})
        assert not validator.is_valid({**document, "spec": {}}) or (
            document["kind"] == "PrometheusRule"
        )
