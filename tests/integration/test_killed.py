"""Promise 1 through real processes: killed, they have lost nothing that they acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from gateway.runtime.ports import free_port
from tests.access_server import STORE_TYPE, body_of
from tests.integration.test_drain import KEY, PATIENCE_SECONDS, live, process
from tests.rule_check import write_rule_repository
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

STUDY = "1.2.826.0.1.3680043.8.498.101"
QUICK = {
    "ONESCAN_WORKER__HEARTBEAT_SECONDS": "0.2",
    "ONESCAN_WORKER__STALLED_SECONDS": "1.5",
    "ONESCAN_WORKER__REAP_SECONDS": "0.2",
}
"""A dead worker is noticed within two seconds."""


class Killable:
    """An api and a worker, each a process of its own, on one home and database."""

    def __init__(self, database_url: str, home: Path) -> None:
        self.home = home
        write_rule_repository(home / "model_repository")
        self.environ = {
            "ONESCAN_HOME": str(home),
            "DATABASE_URL": database_url,
            "ONESCAN_API__KEY": KEY,
            "ONESCAN_TRITON__MODEL_REPOSITORY": str(home / "model_repository"),
            **QUICK,
        }

    @asynccontextmanager
    async def running(self, triton_seconds: float) -> AsyncIterator[aiohttp.ClientSession]:
        """Run both; whatever happens they are killed, not told to stop."""
        port = free_port("127.0.0.1")
        headers = {"Authorization": f"Bearer {KEY}"}
        with (
            process("gateway.cli", "serve", **self.environ, ONESCAN_API__PORT=str(port)),
            process("tests.worker_process", str(triton_seconds), **self.environ),
        ):
            base = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession(base, headers=headers) as session:
                await live(session, base)
                yield session


async def until(session: aiohttp.ClientSession, path: str, **wanted: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with session.get(path) as answer:
                shown: dict[str, Any] = await answer.json()
            if all(shown[key] == value for key, value in wanted.items()):
                return shown
            await asyncio.sleep(0.05)


async def test_promise_1_what_was_acknowledged_outlives_a_kill(
    database_url: str, tmp_path: Path
) -> None:
    """Each file byte by byte, and a screening that is finished once, by another worker."""
    paths = write_small_ct(tmp_path / "ct", slices=24, study_instance_uid=STUDY)
    deployment = Killable(database_url, tmp_path / "home")
    body = {"study_instance_uid": STUDY, "checks": ["liver"]}
    once = {"Idempotency-Key": "order-1"}
    async with deployment.running(triton_seconds=600.0) as session:
        async with session.post(
            "/dicomweb/studies", data=body_of(paths), headers={"Content-Type": STORE_TYPE}
        ) as answer:
            assert answer.status == 200, await answer.text()
        async with session.post("/v1/screenings", json=body, headers=once) as answer:
            assert answer.status == 202, await answer.text()
            ordered = await answer.json()
        where = f"/v1/screenings/{ordered['screening_id']}"
        await until(session, where, stage="anatomy")
    async with deployment.running(triton_seconds=0.0) as session:
        shown = await until(session, where, state="done")
        async with session.post("/v1/screenings", json=body, headers=once) as answer:
            assert (await answer.json())["screening_id"] == ordered["screening_id"]
        async with session.get(
            f"/dicomweb/studies/{STUDY}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        ) as answer:
            retrieved = await answer.read()
    assert shown["attempt"] == 2
    assert [(check["check"], check["state"]) for check in shown["checks"]] == [
        ("liver", "negative")
    ]
    assert [path.name for path in paths if path.read_bytes() not in retrieved] == []
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT kind FROM screening_events ORDER BY event_id").fetchall()
    kinds = [kind for (kind,) in rows]
    assert (kinds.count("released"), kinds.count("done")) == (1, 1)
