"""Metrics are documented, and name nobody."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from gateway import metrics

ROOT = Path(__file__).resolve().parents[2]
DECLARED = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def documented() -> dict[str, list[str]]:
    """Rows of docs/metrics.md by name."""
    lines = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "| `" in line]
    return {row[0].strip("`"): row[1:] for row in rows}


def shown_name(metric: MetricWrapperBase) -> str:
    return metric._name + ("_total" if metric._type == "counter" else "")


def test_every_metric_has_its_row() -> None:
    """Name, type, labels and meaning are those of the code; no row is left over."""
    expected = {
        shown_name(metric): [
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames) or "–",
            metric._documentation,
        ]
        for metric in DECLARED
    }
    assert documented() == expected


def test_no_label_can_hold_a_uid() -> None:
    """Labels come from short closed lists."""
    allowed = {"method", "route", "status", "lane", "triton", "outcome", "stage", "check", "state"}
    allowed |= {"quota", "bound", "kind", "what", "version", "dependency", "model"}
    assert {label for metric in DECLARED for label in metric._labelnames} <= allowed


def test_every_name_is_ours() -> None:
    """One prefix."""
    assert all(metric._name.startswith("onescan_") for metric in DECLARED)
