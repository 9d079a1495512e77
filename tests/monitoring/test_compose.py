"""Prometheus and Grafana beside compose.yaml read what they are given."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.monitoring.alerts import ALERTS, DASHBOARDS, ROOT

COMPOSE = ROOT / "compose"
PROMETHEUS = COMPOSE / "prometheus" / "prometheus.yml"
PROVISIONING = COMPOSE / "grafana" / "provisioning"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def mounts(service: str) -> dict[str, Path]:
    """Give what a service of compose.yaml sees of the checkout: path there → path here."""
    volumes = read(ROOT / "compose.yaml")["services"][service]["volumes"]
    split = [volume.split(":") for volume in volumes if volume.startswith("./")]
    return {there: ROOT / here for here, there, _ in split}


def test_prometheus_takes_its_configuration(
    need_tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Promtool reads it with the rules and the key where compose puts them."""
    key = tmp_path / "key"
    key.write_text("secret")
    text = PROMETHEUS.read_text(encoding="utf-8")
    text = text.replace("/run/secrets/metrics_key", str(key))
    text = text.replace("/etc/onescan/alerts", str(ALERTS))
    path = tmp_path / "prometheus.yml"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [need_tool("promtool"), "check", "config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(ALERTS.iterdir()))} rule files found" in done.stdout


def test_prometheus_finds_its_files() -> None:
    """Configuration, alerts and key lie where compose.yaml mounts them."""
    seen, services = mounts("prometheus"), read(ROOT / "compose.yaml")["services"]
    assert seen["/etc/prometheus"] == PROMETHEUS.parent
    [glob] = read(PROMETHEUS)["rule_files"]
    assert seen[glob.removesuffix("/*.yaml")] == ALERTS
    assert "metrics_key" in services["prometheus"]["secrets"]


def test_what_is_scraped_is_a_service() -> None:
    """Each target is a service or an alias of one, at the port of its metrics."""
    services = read(ROOT / "compose.yaml")["services"]
    names = set(services)
    for service in services.values():
        networks = service.get("networks", {})
        for network in networks.values() if isinstance(networks, dict) else ():
            names |= set((network or {}).get("aliases", ()))
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"][0]
        for job in read(PROMETHEUS)["scrape_configs"]
    }
    assert {target.partition(":")[0] for target in targets.values()} <= names
    for name, setting in (("worker", "WORKER"), ("dimse", "DIMSE")):
        port = services[name]["environment"][f"ONESCAN_{setting}__METRICS_PORT"]
        assert targets[name] == f"{name}:{port}"
    assert f"--metrics-port={targets['triton'].partition(':')[2]}" in str(services["triton-cpu"])


def test_grafana_finds_its_files() -> None:
    """Provisioning and dashboards lie where compose.yaml mounts them; the source is Prometheus."""
    seen = mounts("grafana")
    assert seen["/etc/grafana/provisioning"] == PROVISIONING
    [provider] = read(PROVISIONING / "dashboards" / "onescan.yaml")["providers"]
    assert seen[provider["options"]["path"]] == DASHBOARDS
    [source] = read(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
