"""The rehearsal: an embedded server is lost, and another home goes on with its backup.

It was backed up while it worked and once it had stopped; the other home's server serves what it
served and finishes what it had begun.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gateway.backup.target import RESTORING
from gateway.runtime.home import Home, discard
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.settings import Settings, WorkerSettings
from gateway.store.migrate import migrate
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker import run_worker
from tests.ct_files import body
from tests.partner_api import Client, api_settings, order, running
from tests.small_ct import write_small_ct
from tests.stow_app import CONTENT_TYPE

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

PATIENCE_SECONDS = 60.0


@pytest.fixture
def homes() -> Iterator[tuple[Path, Path]]:
    """Two homes with short paths."""
    first, second = (Path(tempfile.mkdtemp(prefix="os-", dir="/tmp")) for _ in range(2))
    yield first, second
    discard(first)
    discard(second)


async def onescan(home: Path, *words: str) -> Any:
    """Run a command on a home as an operator does; gives its JSON."""
    environ = {**os.environ, "ONESCAN_HOME": str(home)}
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "gateway.cli", *words, "--json"],
        env=environ,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[tuple[Client, Settings]]:
    """Run PostgreSQL and the api on a home, as `onescan up` does, with its generated key."""
    made = Home(home)
    server = EmbeddedPostgres(made)
    with made.lock():
        try:
            url = await server.start()
            await asyncio.to_thread(migrate, url)
            settings = api_settings(url, home)
            settings = replace(
                settings,
                api=replace(settings.api, key=made.api_key()),
                worker=WorkerSettings(heartbeat_seconds=0.2, stalled_seconds=2, reap_seconds=0.2),
            )
            async with running(settings, f"1.2.840.{os.getpid()}.{made.digest[:4]}.1") as client:
                yield client, settings
        finally:
            await server.stop()


async def screened(client: Client, settings: Settings, *screenings: str) -> list[Any]:
    """Let a worker finish screenings; gives what partners see."""
    stop = asyncio.Event()
    triton = FakeTriton().script("anatomy", anatomy_inference())
    worker = asyncio.create_task(run_worker(settings, triton=triton, stop=stop))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                shown = [await show(client, one) for one in screenings]
                if all(one["state"] in ("done", "failed") for one in shown):
                    return shown
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await worker


async def show(client: Client, screening: str) -> Any:
    answer = await client.get(f"/v1/screenings/{screening}")
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def file_of(client: Client, study: str) -> bytes:
    answer = await client.get(
        f"/dicomweb/studies/{study}",
        headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
    )
    assert answer.status == 200
    return bytes(await answer.read())


async def test_a_server_lost_with_its_disk_goes_on_elsewhere(
    homes: tuple[Path, Path], tmp_path: Path
) -> None:
    """Studies, results, keys and open screenings; what came after the point is not there."""
    lost, new = homes
    dest = tmp_path / "dest"
    study = "1.2.826.0.1.3680043.8.498.500"
    files = [
        path.read_bytes() for path in write_small_ct(tmp_path / "ct", study_instance_uid=study)
    ]
    async with serving(lost) as (client, settings):
        answer = await client.post(
            "/dicomweb/studies", data=body(files), headers={"Content-Type": CONTENT_TYPE}
        )
        assert answer.status == 200
        done = (await order(client, study))["screening_id"]
        [result] = await screened(client, settings, done)
        waiting = (await order(client, study))["screening_id"]
        first = await onescan(lost, "backup", str(dest))  # beside the server
        later = (await order(client, study))["screening_id"]
        assert (first["objects"], first["copied"]) == (2, 2)  # the study, and its organs
    second = await onescan(lost, "backup", str(dest))  # starts PostgreSQL for itself
    assert (second["objects"], second["kept"]) == (2, 2)
    assert second["rows"]["screenings"] == first["rows"]["screenings"] + 1
    home = Home(lost)
    assert not await EmbeddedPostgres(home).running()

    made = Home(new)
    server = EmbeddedPostgres(made)
    with made.lock():  # a restore that was killed has left its second database behind
        url = await server.start()
        with psycopg.connect(make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {RESTORING}")
        with psycopg.connect(make_conninfo(url, dbname=RESTORING)) as half:
            half.execute("CREATE TABLE tenants (x int)")
        await server.stop()
    told = await onescan(new, "restore", str(dest), "--name", first["name"])
    assert (told["objects"], told["open_screenings"]) == (2, 1)
    assert (new / "key").read_text() == (lost / "key").read_text()
    async with serving(new) as (client, settings):
        sent = await file_of(client, study)
        assert [data in sent for data in files] == [True] * len(files)
        assert await show(client, done) == result
        [finished] = await screened(client, settings, waiting)
        assert finished["state"] == "done"
        assert finished["checks"][0]["state"] == result["checks"][0]["state"]
        assert (await client.get(f"/v1/screenings/{later}")).status == 404
        verified = await onescan(new, "audit", "verify")
        assert verified["whole"]
