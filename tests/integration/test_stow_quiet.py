"""A STOW request that takes longer than the quiet time of its sender."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from gateway.intake.partners import Partner, Partners
from gateway.store.completer import complete
from gateway.store.database import Database
from gateway.store.objects import FolderObjects
from tests.ct_files import body, part10, slices
from tests.stow_app import CONTENT_TYPE, stow_app

pytestmark = pytest.mark.postgres

QUIET_SECONDS = 1.5
PIECES = 12
WARD = Partner(name="ward", tenant="default", keys=(), quiet_seconds=QUIET_SECONDS)
PARTNERS = Partners(partners={"ward": WARD})
FILES = [part10(ds) for ds in slices(6)]
STUDY = str(slices(1)[0].StudyInstanceUID)

Client = TestClient[Any, Any]


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=4) as made:
        yield made


@pytest_asyncio.fixture
async def client(database: Database, tmp_path: Path) -> AsyncIterator[Client]:
    app = await stow_app(database, FolderObjects(tmp_path, reserve_bytes=0), partners=PARTNERS)
    async with TestClient(TestServer(app)) as made:
        yield made


async def post(client: Client, data: Any, path: str = "/dicomweb/studies") -> None:
    answer = await client.post(path, data=data, headers={"Content-Type": CONTENT_TYPE})
    assert answer.status == 200, await answer.text()


async def slowly(pause_seconds: float, *, at_once: bool = False) -> AsyncIterator[bytes]:
    """Give all but the first instance in pieces, or most of it, one long pause, and the rest."""
    whole = body(FILES[1:])
    size = len(whole) // (1 if at_once else PIECES) - 10
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
        await asyncio.sleep(pause_seconds)


async def screened(database: Database) -> int:
    """Look as the completer does; give how many screenings there are."""
    async with database.connection() as connection:
        await complete(connection, PARTNERS, lambda modalities: ("liver",))
        made = await connection.execute("SELECT count(*) AS count FROM screenings")
        row = await made.fetchone()
        assert row is not None
        return int(row["count"])


async def watched(database: Database, sending: asyncio.Task[None]) -> list[int]:
    """Look until a request has ended; give what was seen."""
    seen = []
    while not sending.done():
        seen.append(await screened(database))
        await asyncio.sleep(0.1)
    await sending
    return seen


@pytest.mark.parametrize("path", ["/dicomweb/studies", f"/dicomweb/studies/{STUDY}"])
async def test_a_slow_body_holds_its_study_back(
    client: Client, database: Database, path: str
) -> None:
    """Twice as long as the quiet time, and then it is screened once, whole."""
    await post(client, body(FILES[:1]))
    pause = 2 * QUIET_SECONDS / PIECES
    sending = asyncio.create_task(post(client, slowly(pause), path))
    assert set(await watched(database, sending)) == {0}
    await asyncio.sleep(QUIET_SECONDS + 0.2)
    assert await screened(database) == 1
    await asyncio.sleep(QUIET_SECONDS + 0.2)
    assert await screened(database) == 1


async def test_a_body_that_stalls_does_not(client: Client, database: Database) -> None:
    """Nobody holds a study open by sending nothing; what comes then is a new version."""
    await post(client, body(FILES[:1]))
    sending = asyncio.create_task(post(client, slowly(QUIET_SECONDS * 2, at_once=True)))
    assert 1 in await watched(database, sending)
    await asyncio.sleep(QUIET_SECONDS + 0.2)
    assert await screened(database) == 2
