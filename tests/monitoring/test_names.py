"""Alerts and dashboards ask for metrics that exist, with labels and words that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from gateway import metrics
from gateway.screening.manifest_reader import load_manifests
from gateway.store.queue import LANES
from gateway.store.suspensions import SUSPENDABLE
from gateway.triton.client import OUTCOMES
from tests.monitoring.alerts import CASES, DASHBOARDS, NAMES, ROOT, case, rule
from tests.promql import Selector, groupings, selectors

TARGET = {"namespace", "pod", "instance", "job", "container", "endpoint", "pool"}
"""Labels that Prometheus gives each series of ours when it scrapes."""

EXPORTED = {"exported_namespace", "exported_pod", "exported_container"}
"""What it makes of those that an exporter gives itself."""

PROMETHEUS = {"up": set[str]()}


def ours() -> dict[str, set[str]]:
    """Give the series of gateway/metrics.py with their labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        labels = set(metric._labelnames)
        if isinstance(metric, Histogram):
            found[f"{metric._name}_bucket"] = labels | {"le"}
            found[f"{metric._name}_sum"] = found[f"{metric._name}_count"] = labels
        else:
            found[metric._name + ("_total" if metric._type == "counter" else "")] = labels
    return found


def foreign() -> dict[str, set[str]]:
    """Give those of others that we have written down."""
    path = CASES.parent / "foreign_metrics.yaml"
    sources = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: set(labels) for source in sources.values() for name, labels in source.items()}


KNOWN = {
    **{name: labels | TARGET for name, labels in ours().items()},
    **{name: labels | TARGET | EXPORTED for name, labels in foreign().items()},
    **{name: labels | TARGET for name, labels in PROMETHEUS.items()},
}

WORDS: dict[tuple[str, str], set[str]] = {
    **{
        (f"{counter._name}_total", counter._labelnames[0]): set(words)
        for counter, words in metrics.BEGINNING.items()
    },
    **{
        (name, "lane"): set(LANES)
        for name in ("onescan_queue_oldest_seconds", "onescan_queue_depth", "onescan_gpu_seconds")
    },
    ("onescan_suspended", "what"): set(SUSPENDABLE),
    ("onescan_checks_total", "state"): set(metrics.STATES),
    ("onescan_inferences_total", "outcome"): set(OUTCOMES),
    ("onescan_workers", "triton"): {"ready", "not_ready"},
    ("onescan_gpu_seconds", "state"): {"accepted", "running"},
    ("onescan_dependency_up", "dependency"): {"database", "objects", "migrations"},
    ("onescan_disk_bytes", "kind"): {"objects", "shm"},
    ("onescan_disk_free_bytes", "kind"): {"objects", "shm"},
    ("onescan_last_run_timestamp_seconds", "what"): {"reaper", "measure", "retention", "orphans"},
    ("kube_pod_init_container_status_restarts_total", "container"): {"triton"},
    ("onescan_checks_total", "check"): {
        manifest.name
        for manifest in load_manifests(ROOT / "model_repository").values()
        if manifest.is_check
    },
}
"""Metric and label → the words that it has, where they are few and known."""


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.stem}: {panel['title']}", target["expr"]


EXPRESSIONS = [(name, rule(name)["expr"]) for name in NAMES] + list(dashboard_expressions())


def check(selector: Selector) -> None:
    """Hold a metric with its matchers to what is known."""
    assert selector.metric in KNOWN, f"{selector.metric} is nobody's metric"
    for label, operator, value in selector.matchers:
        assert label in KNOWN[selector.metric], f"{selector.metric} has no label {label}"
        words = WORDS.get((selector.metric, label))
        if words is None or "$" in value:
            continue
        parts = value.split("|") if operator in ("=~", "!~") else [value]
        plain = {part for part in parts if re.fullmatch(r"\w+", part)}
        assert plain <= words, f"{selector.metric}: {label} is never {plain - words}"


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[e[0] for e in EXPRESSIONS])
def test_every_metric_is_somebodys(where: str, expression: str) -> None:
    """Names, labels and their words; and what is grouped by is a label of what is asked."""
    asked = list(selectors(re.sub(r"\$__\w+", "5m", expression)))
    assert asked
    for selector in asked:
        check(selector)
    labels = {label for selector in asked for label in KNOWN[selector.metric]}
    assert groupings(expression) <= labels


@pytest.mark.parametrize("name", NAMES)
def test_the_cases_have_real_series(name: str) -> None:
    """An alert that is silent over a series with a typing error proves nothing."""
    scenes: list[dict[str, Any]] = [*case(name)["fires"], *case(name)["silent"]]
    for scene in scenes:
        for series in scene["series"]:
            [selector] = selectors(series)
            check(selector)
    asked = {selector.metric for selector in selectors(rule(name)["expr"])}
    for scene in case(name)["silent"]:
        given = {selector.metric for text in scene["series"] for selector in selectors(text)}
        assert given & asked, scene["why"]


def test_a_typing_error_would_be_seen() -> None:
    """The reader of expressions sees names, labels and words in every place."""
    asked = list(
        selectors(
            'sum by (a, b) (rate(x_total{c="}", d=~"e|f"}[5m])) / on (a) group_left (g) y > 1e3'
            ' unless label_replace(z, "h", "$1", "i", "(.+)") and on (a) w offset 5m'
        )
    )
    assert [selector.metric for selector in asked] == ["x_total", "y", "z", "w"]
    assert asked[0].matchers == (("c", "=", "}"), ("d", "=~", "e|f"))
    assert groupings("sum by (a, b) (x) * on (c) group_right () y") == {"a", "b", "c"}
    with pytest.raises(AssertionError, match="nobody's metric"):
        check(Selector("onescan_quue_depth", ()))
    with pytest.raises(AssertionError, match="has no label"):
        check(Selector("onescan_queue_depth", (("line", "=", "stat"),)))
    with pytest.raises(AssertionError, match="is never"):
        check(Selector("onescan_queue_depth", (("lane", "=~", "stat|urgent"),)))
