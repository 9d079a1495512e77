"""Pools and pods as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from gateway.commands.table import report_console

ABSENT = "–"


def print_pools(view: dict[str, Any]) -> None:
    """Print pools, their cost, and pods; then why a figure is not there."""
    console = report_console()
    for table in (_pools(view), _costs(view), _pods(view)):
        console.print(table)
    for figure, source in view["sources"].items():
        if source and figure in ("utilisation", "gpu_seconds_spent", "gpu_hours_held"):
            console.print(f"{_words(figure)}: {source}.", style="dim")
    for figure, reason in view["missing"].items():
        console.print(f"{_words(figure)}: {ABSENT}, since: {reason}", style="yellow")


def _pools(view: dict[str, Any]) -> Table:
    table = _table(f"Pools in {view['namespace']}")
    for heading in ("pool", "GPU", "scaled by"):
        table.add_column(heading, overflow="fold")
    for heading in ("pods", "models", "in flight", "waiting", "oldest s", "GPU-s", "busy"):
        table.add_column(heading, justify="right")
    for pool in view["pools"]:
        table.add_row(
            pool["pool"] + (" (drained)" if pool["drained"] else ""),
            _gpu(pool["gpu"], (pool["gpu"] or {}).get("model")),
            pool["scaled_by"] or ABSENT,
            f"{pool['pods_ready']}/{pool['pods_wanted']}",
            _of(pool["models_ready"], pool["workers"]),
            _of(pool["in_flight"], pool["slots"]),
            _number(pool["waiting"]),
            _number(pool["oldest_seconds"]),
            _number(pool["gpu_seconds_queued"], 1),
            _share(pool["utilisation"]),
        )
    return table


def _costs(view: dict[str, Any]) -> Table:
    table = _table(f"Cost of the last {view['hours']:g} h, EUR per thousand studies")
    table.add_column("pool", overflow="fold")
    for heading in ("studies", "GPU-s spent", "GPU-h held", "EUR/GPU-h", "used", "with idle"):
        table.add_column(heading, justify="right")
    for pool in view["pools"]:
        table.add_row(
            pool["pool"],
            _number(pool["studies"]),
            _number(pool["gpu_seconds_spent"], 1),
            _number(pool["gpu_hours_held"], 2),
            _number(pool["price"], 2),
            _number(pool["cost_used"], 2),
            _number(pool["cost_held"], 2),
        )
    return table


def _pods(view: dict[str, Any]) -> Table:
    table = _table("Pods")
    for heading in ("pod", "pool", "phase", "node", "GPU", "ready", "models", "work"):
        table.add_column(heading, overflow="fold")
    for heading in ("in flight", "busy"):
        table.add_column(heading, justify="right")
    for pod in view["pods"]:
        table.add_row(
            pod["pod"],
            pod["pool"],
            pod["phase"] + (f", {pod['restarts']} restarts" if pod["restarts"] else ""),
            pod["node"] or ABSENT,
            _gpu(pod["gpu"], pod["model"]),
            "yes" if pod["ready"] else "no",
            {None: ABSENT, True: "ready", False: "not ready"}[pod["models_ready"]],
            _work(pod),
            _of(pod["in_flight"], pod["slots"]),
            _share(pod["utilisation"]),
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _work(pod: dict[str, Any]) -> str:
    if pod["drained"]:
        return "drained"
    if pod["draining"] or pod["drain_asked"]:
        return "draining"
    return ABSENT if pod["worker"] is None else "taking"


def _gpu(gpu: dict[str, Any] | None, model: str | None) -> str:
    if gpu is None:
        return "CPU"
    short = gpu["resource"].removeprefix("nvidia.com/")
    kind = gpu["type"] or model
    return f"{gpu['count']} × {short}" + (f" ({kind})" if kind else "")


def _of(part: int | None, whole: int | None) -> str:
    return ABSENT if part is None else f"{part}/{whole}"


def _number(value: float | None, digits: int = 0) -> str:
    return ABSENT if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.0%}"


def _words(figure: str) -> str:
    return figure.replace("_", " ")
