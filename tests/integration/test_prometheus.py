"""A real Prometheus scrapes a real api with the chart's alerts, and one of them is raised."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.monitoring.alerts import ALERTS, NAMES
from tests.partner_api import KEY, api_settings, order, running

pytestmark = pytest.mark.postgres

PATIENCE_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask(port: int, path: str, **query: str) -> Any:
    """Ask Prometheus' own API."""
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]


def raised_by(port: int) -> set[str]:
    """Name the alerts that are pending or raised."""
    return {alert["labels"]["alertname"] for alert in ask(port, "alerts")["alerts"]}


async def until(look: Callable[[], Any]) -> Any:
    """Look until there is something; a server that is not up yet has nothing."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                found = await asyncio.to_thread(look)
            except OSError:
                found = None
            if found:
                return found
            await asyncio.sleep(0.2)


@asynccontextmanager
async def prometheus(program: str, home: Path, target: str) -> AsyncIterator[int]:
    """Run Prometheus on one target, with every alert of the chart; gives its port."""
    key = home / "key"
    key.write_text(KEY)
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{ALERTS}/*.yaml"],
        "scrape_configs": [
            {
                "job_name": "api",
                "authorization": {"credentials_file": str(key)},
                "static_configs": [
                    {"targets": [target], "labels": {"namespace": "ct", "pod": "api-1"}}
                ],
            }
        ],
    }
    path = home / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={path}",
        f"--storage.tsdb.path={home / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        yield port
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()


async def test_an_urgent_study_that_waits_raises_its_alert(
    database_url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """The rules load, the api is scraped, and only what is wrong is raised."""
    program = need_tool("prometheus")
    async with running(api_settings(database_url, tmp_path / "home")) as api:
        await order(api, lane="stat")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("UPDATE screenings SET created_at = now() - interval '10 minutes'")
        target = f"{api.host}:{api.port}"
        async with prometheus(program, tmp_path, target) as port:
            groups = await until(lambda: ask(port, "rules")["groups"])
            assert sorted(group["name"] for group in groups) == NAMES
            late = 'ALERTS{alertname="OneScanStatLaneLate"}'
            [raised] = await until(lambda: ask(port, "query", query=late)["result"])
            assert raised["metric"]["namespace"] == "ct"
            assert raised["metric"]["severity"] == "critical"
            rules = await until(
                lambda: [
                    rule
                    for group in ask(port, "rules")["groups"]
                    for rule in group["rules"]
                    if rule["lastEvaluation"] > "0001-01-02"
                ]
            )
            assert {rule["health"] for rule in rules} == {"ok"}
            # No worker runs here, so nobody is ready either. What was missing before the first
            # scrape is pending until its rule is evaluated once more.
            expected = {"OneScanStatLaneLate", "OneScanNoReadyWorker"}
            await until(
                lambda: "OneScanStatLaneLate" in raised_by(port) and raised_by(port) <= expected
            )
            [up] = ask(port, "query", query='onescan_dependency_up{dependency="database"}')[
                "result"
            ]
            assert up["value"][1] == "1"
