"""SIGTERM in the middle of work: what is in hand is finished or handed back, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from gateway.runtime.ports import free_port
from gateway.store import screenings
from tests.access_server import STORE_TYPE, body_of
from tests.integration.test_worker_screens import Bench, bench  # noqa: F401 - a fixture
from tests.rule_check import write_rule_repository
from tests.small_ct import write_small_ct

pytestmark = pytest.mark.postgres

KEY = "key-of-the-test"
STUDY = "1.2.826.0.1.3680043.8.498.99"
PATIENCE_SECONDS = 30.0


@contextmanager
def process(*command: str, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module until the end of the block."""
    running = subprocess.Popen(
        [sys.executable, "-m", *command], env={**os.environ, **environ}, stderr=subprocess.DEVNULL
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


@contextmanager
def api(database_url: str, home: Path, drain_seconds: float) -> Iterator[tuple[Any, str]]:
    port = free_port("127.0.0.1")
    write_rule_repository(home / "model_repository")
    with process(
        "gateway.cli",
        "serve",
        ONESCAN_HOME=str(home),
        DATABASE_URL=database_url,
        ONESCAN_API__KEY=KEY,
        ONESCAN_API__PORT=str(port),
        ONESCAN_API__DRAIN_SECONDS=str(drain_seconds),
        ONESCAN_TRITON__MODEL_REPOSITORY=str(home / "model_repository"),
    ) as running:
        yield running, f"http://127.0.0.1:{port}"


async def live(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                async with session.get(f"{url}/livez") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


async def refuses(url: str) -> None:
    """Wait until nobody new is let in."""
    async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz", headers={"Connection": "close"}):
                    await asyncio.sleep(0.05)
            except aiohttp.ClientConnectionError:
                return


def stored(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM instances").fetchone()
    assert row is not None
    return int(row[0])


async def test_promise_1_a_stow_request_in_hand_is_finished(
    database_url: str, tmp_path: Path
) -> None:
    """Told to stop in the middle of a body; new senders are turned away, this one gets its 200."""
    body = body_of(write_small_ct(tmp_path / "ct", slices=3, study_instance_uid=STUDY))
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        begun.set()
        await go_on.wait()
        yield body[len(body) // 2 :]

    with api(database_url, tmp_path / "home", 20.0) as (running, url):
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
            await live(session, url)

            async def send() -> int:
                async with session.post(
                    f"{url}/dicomweb/studies", data=chunks(), headers={"Content-Type": STORE_TYPE}
                ) as answer:
                    return answer.status

            sending = asyncio.create_task(send())
            await begun.wait()
            await asyncio.sleep(0.3)  # the server has the first half
            running.send_signal(signal.SIGTERM)
            await refuses(url)
            assert running.poll() is None
            go_on.set()
            assert await sending == 200
        assert await asyncio.to_thread(running.wait, PATIENCE_SECONDS) == 0
    assert stored(database_url) == 3


async def test_a_sender_that_never_ends_does_not_keep_the_api(
    database_url: str, tmp_path: Path
) -> None:
    """It ends within the grace; nothing half-received is kept."""
    body = body_of(write_small_ct(tmp_path / "ct", slices=3, study_instance_uid=STUDY))
    begun = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        begun.set()
        await asyncio.sleep(600)

    with api(database_url, tmp_path / "home", 1.0) as (running, url):
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
            await live(session, url)
            sending = asyncio.create_task(
                session.post(
                    f"{url}/dicomweb/studies", data=chunks(), headers={"Content-Type": STORE_TYPE}
                )
            )
            await begun.wait()
            await asyncio.sleep(0.3)
            told = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait, PATIENCE_SECONDS) == 0
            assert time.monotonic() - told < 10
            with pytest.raises(aiohttp.ClientError):
                await sending
    assert stored(database_url) == 0
    objects = tmp_path / "home" / "objects"
    assert [file.name for file in objects.rglob("*.seg")] == []


@pytest.mark.parametrize(
    ("delay_seconds", "drain_seconds", "state"), [(1.5, 20.0, "done"), (60.0, 0.3, "accepted")]
)
async def test_promise_1_a_screening_in_hand_is_finished_or_handed_back(
    bench: Bench,  # noqa: F811
    delay_seconds: float,
    drain_seconds: float,
    state: str,
) -> None:
    """Handed back it is whole, the attempt uncounted, and another worker can have it."""
    row = await bench.order()
    settings = bench.settings
    with process(
        "tests.worker_process",
        str(delay_seconds),
        ONESCAN_HOME=str(settings.home),
        DATABASE_URL=settings.store.database_url,
        ONESCAN_TRITON__MODEL_REPOSITORY=settings.triton.model_repository,
        ONESCAN_WORKER__DRAIN_SECONDS=str(drain_seconds),
    ) as running:
        await bench.until(row, lambda shown: shown["stage"] == "anatomy")
        running.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait, PATIENCE_SECONDS) == 0
    shown = await bench.shown(row)
    assert (shown["state"], shown["attempt"]) == (state, 1)
    async with bench.database.connection() as connection:
        again = await screenings.claim(connection, row["screening_id"], 1, "another")
    assert (again is None) == (state == "done")
