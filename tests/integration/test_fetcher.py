"""Studies from remote sources: our own DICOMweb server and moto's S3, with their faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import obstore
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from obstore.store import S3Store

from gateway.fetcher import run_fetcher
from gateway.fetcher.attempt import run_attempt
from gateway.fetcher.kit import FetchKit, FetchLimits
from gateway.intake.header import read_header
from gateway.intake.partners import Partners
from gateway.intake.remotes import DicomwebSource, S3Source
from gateway.settings import WorkerSettings
from gateway.store import screenings
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects
from gateway.store.reaper import reap
from gateway.store.screenings import Order
from tests.ct_files import body, part10, slices
from tests.s3_server import S3Server, running_s3
from tests.stow_app import CONTENT_TYPE, stow_app

pytestmark = pytest.mark.postgres

FILES = [part10(ds) for ds in slices(4)]
STUDY = read_header(FILES[0]).study_instance_uid
WORKER = WorkerSettings(heartbeat_seconds=0.2, stalled_seconds=5.0, max_attempts=3)
LIMITS = FetchLimits(silence_seconds=5.0, tries=3, first_delay_seconds=0.01)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def checks(modalities: Iterable[str]) -> tuple[str, ...]:
    return ("liver",) if "CT" in set(modalities) else ()


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=6) as made:
        async with made.connection() as connection:
            await ensure_tenant(connection, "other")
        yield made


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A source that answers every request for a study in one way."""
    app = web.Application()
    app.router.add_get("/studies/{study}", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def answer(parts: list[bytes] = FILES) -> web.Response:
    return web.Response(body=body(parts), headers={"Content-Type": CONTENT_TYPE})


def kit_of(database: Database, folder: Path, url: str = "", **sources: S3Source) -> FetchKit:
    central = DicomwebSource(name="central", tenants=("other",), url=url)
    return FetchKit(
        name="f",
        database=database,
        objects=FolderObjects(folder, reserve_bytes=0),
        partners=Partners(sources={"central": central, **sources}),
        default_checks=checks,
        worker=WORKER,
        limits=LIMITS,
    )


async def order(
    database: Database, source: dict[str, str] | None = None, study: str = STUDY
) -> screenings.Row:
    asked = Order(
        study_instance_uid=study,
        checks=(),
        clinical={},
        lane="stat",
        source=source or {"dicomweb": "central"},
    )
    async with database.connection() as connection:
        row, _ = await screenings.create(connection, "other", asked)
    return row


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]


async def now(database: Database) -> dict[str, Any]:
    [row] = await rows(database, "SELECT * FROM screenings ORDER BY created_at DESC LIMIT 1")
    return row


async def kept(database: Database, study: str = STUDY) -> int:
    async with database.connection() as connection:
        return len(await study_instances(connection, "other", study))


async def attempt(kit: FetchKit, row: screenings.Row) -> dict[str, Any]:
    await run_attempt(kit, row["screening_id"], row["attempt"])
    return await now(kit.database)


async def test_a_study_comes_by_wado_rs_from_our_own_server_and_goes_to_its_lane(
    database: Database, tmp_path: Path
) -> None:
    """The job waits on the fetch queue, then, with the study durable, on the lane."""
    there = FolderObjects(tmp_path / "there", reserve_bytes=0)
    async with TestServer(await stow_app(database, there)) as server:
        url = str(server.make_url("/dicomweb"))
        import aiohttp

        async with aiohttp.ClientSession() as session:
            sent = await session.post(
                f"{url}/studies", data=body(FILES), headers={"Content-Type": CONTENT_TYPE}
            )
            assert sent.status == 200
        row = await order(database)
        [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
        assert (job["queue_name"], job["task_name"]) == ("fetch", "fetch")
        ended = await attempt(kit_of(database, tmp_path / "here", url), row)
    assert (ended["state"], ended["checks"], ended["version"]) == ("accepted", ["liver"], 1)
    assert ended["fetched_at"] is not None
    assert await kept(database) == len(FILES)
    jobs = await rows(database, "SELECT * FROM procrastinate_jobs ORDER BY id")
    assert (jobs[-1]["queue_name"].split(":")[0], jobs[-1]["task_name"]) == ("stat", "screen")
    assert jobs[-1]["id"] == ended["job_id"]
    events = await rows(database, "SELECT kind, data FROM screening_events ORDER BY event_id")
    assert {"kind": "stage", "data": {"stage": "fetching"}} in events


async def test_the_fetcher_takes_its_queue_only(database: Database, tmp_path: Path) -> None:
    """As a task of the api; a screening that is here already is left to the workers."""

    async def give(request: web.Request) -> web.Response:
        return answer()

    async with serving(give) as url:
        await order(database)
        task = asyncio.create_task(run_fetcher(kit_of(database, tmp_path, url)))
        async with asyncio.timeout(20):
            while (await now(database))["fetched_at"] is None:  # noqa: ASYNC110 - another task's row
                await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await now(database))["state"] == "accepted"


async def test_a_source_that_is_busy_is_asked_again(database: Database, tmp_path: Path) -> None:
    """503 twice, then the study, in one attempt."""
    statuses = [503, 503]

    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=statuses.pop()) if statuses else answer()

    async with serving(busy) as url:
        ended = await attempt(kit_of(database, tmp_path, url), await order(database))
    assert (ended["state"], ended["attempt"]) == ("accepted", 1)
    assert not statuses


async def test_a_source_that_stays_away_fails_visibly(database: Database, tmp_path: Path) -> None:
    """After the last attempt, with a stable code."""
    kit = kit_of(database, tmp_path, "http://127.0.0.1:1")
    row = await order(database)
    for number in (1, 2, 3):
        assert row["attempt"] == number
        row = await attempt(kit, row)
    assert (row["state"], row["error_code"]) == ("failed", "source.unreachable")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "source.not_found"), (401, "source.refused"), (302, "source.refused")],
)
async def test_what_asking_again_would_not_change_fails_at_once(
    database: Database, tmp_path: Path, status: int, code: str
) -> None:
    """A redirect is one of them: nobody but the file says whom we ask."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(refuse) as url:
        ended = await attempt(kit_of(database, tmp_path, url), await order(database))
    assert (ended["state"], ended["error_code"]) == ("failed", code)


async def test_half_a_study_leaves_nothing(database: Database, tmp_path: Path) -> None:
    """A body that breaks off is neither indexed nor kept; the next attempt gets it whole."""
    whole = body(FILES)
    halves = [True]

    async def half(request: web.Request) -> web.Response:
        if halves:
            halves.pop()
            return web.Response(
                body=whole[: len(whole) // 2], headers={"Content-Type": CONTENT_TYPE}
            )
        return answer()

    async with serving(half) as url:
        kit = kit_of(database, tmp_path, url)
        row = await attempt(kit, await order(database))
        assert (row["state"], row["attempt"], row["error_code"]) == (
            "accepted",
            2,
            "source.invalid",
        )
        assert await kept(database) == 0
        assert not [
            path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 1024
        ]
        row = await attempt(kit, row)
    assert row["fetched_at"] is not None
    assert await kept(database) == len(FILES)


async def test_another_study_in_the_answer_is_not_taken(database: Database, tmp_path: Path) -> None:
    """Neither alone nor beside the one that was asked for."""
    [stranger] = slices(1, seed=5)
    stranger.StudyInstanceUID = "1.2.99"
    parts = [part10(stranger), *FILES]

    async def mixed(request: web.Request) -> web.Response:
        return answer(parts)

    async with serving(mixed) as url:
        kit = kit_of(database, tmp_path, url)
        ended = await attempt(kit, await order(database))
        assert ended["fetched_at"] is not None
        assert (await kept(database), await kept(database, "1.2.99")) == (len(FILES), 0)
        row = await order(database, study="1.2.77")
        for _ in range(3):
            row = await attempt(kit, row)
    assert (row["state"], row["error_code"]) == ("failed", "source.invalid")
    assert "instance.wrong_study" in row["error_message"]


async def test_an_endless_body_is_cut(database: Database, tmp_path: Path) -> None:
    """And nothing of it stays."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        await response.prepare(request)
        await response.write(body(FILES)[:200])
        while True:
            await response.write(bytes(65536))

    async with serving(endless) as url:
        kit = replace(
            kit_of(database, tmp_path, url), limits=replace(LIMITS, max_study_bytes=2**20)
        )
        ended = await attempt(kit, await order(database))
    assert (ended["state"], ended["error_code"]) == ("failed", "source.too_large")
    assert await kept(database) == 0


async def test_a_fetcher_killed_in_the_middle_is_replaced_and_its_study_screened_once(
    database: Database, tmp_path: Path
) -> None:
    """The reaper brings it back to the fetch queue; the late one's word does not count."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        await go.wait()
        return answer()

    async with serving(slow) as url:
        kit = replace(
            kit_of(database, tmp_path, url), worker=replace(WORKER, heartbeat_seconds=3600.0)
        )
        row = await order(database)
        late = asyncio.create_task(run_attempt(kit, row["screening_id"], 1))
        await begun.wait()
        async with database.connection() as connection:
            await connection.execute(
                "UPDATE screenings SET heartbeat_at = now() - interval '1 minute'"
            )
            assert (await reap(connection, WORKER)).retried == 1
        again = await now(database)
        [job] = await rows(database, "SELECT * FROM procrastinate_jobs")
        assert (job["queue_name"], job["args"]["attempt"]) == ("fetch", 2)
        go.set()
        await late
        assert (await now(database))["fetched_at"] is None
        ended = await attempt(kit, again)
    assert (ended["state"], ended["attempt"]) == ("accepted", 2)
    assert await kept(database) == len(FILES)
    jobs = await rows(database, "SELECT * FROM procrastinate_jobs WHERE queue_name LIKE 'stat:%'")
    assert len(jobs) == 1


async def test_a_fetcher_that_stops_hands_back(database: Database, tmp_path: Path) -> None:
    """The attempt does not count, and the job is on the fetch queue again."""
    begun = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(60)
        return answer()

    async with serving(hang) as url:
        row = await order(database)
        task = asyncio.create_task(
            run_attempt(kit_of(database, tmp_path, url), row["screening_id"], 1)
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    back = await now(database)
    assert (back["state"], back["attempt"], back["worker"]) == ("accepted", 1, None)
    jobs = await rows(database, "SELECT * FROM procrastinate_jobs ORDER BY id")
    assert jobs[-1]["queue_name"] == "fetch"


def bucket(s3: S3Server, tmp_path: Path, files: dict[str, bytes]) -> S3Source:
    """Fill the bucket; give it as a source."""
    s3.empty()
    store = S3Store(
        s3.bucket,
        endpoint=s3.endpoint,
        region=s3.region,
        access_key_id="k",
        secret_access_key="s",
        client_options={"allow_http": True},
    )
    for key, data in files.items():
        obstore.put(store, key, data)
    secret = tmp_path / "secret"
    secret.write_text("s\n")
    return S3Source(
        name="lake",
        tenants=("other",),
        bucket=s3.bucket,
        prefix="in",
        endpoint=s3.endpoint,
        region=s3.region,
        access_key_id="k",
        secret_key_file=str(secret),
    )


async def test_a_study_of_a_bucket_gets_its_uid_and_version_when_it_is_known(
    database: Database, tmp_path: Path, s3: S3Server
) -> None:
    """What is no DICOM is left out; an earlier screening of the study is superseded."""
    files = {f"in/a/{n}.dcm": data for n, data in enumerate(FILES)}
    source = bucket(
        s3, tmp_path, files | {"in/a/readme.txt": b"hello", "in/ab/9.dcm": b"", "out/x": b"x"}
    )
    kit = kit_of(database, tmp_path / "objects", lake=source)
    asked = {"s3": "lake", "prefix": "a"}
    first = await order(database, asked, study="")
    assert first["study_instance_uid"] is None
    second = await order(database, asked, study="")
    ended = await attempt(kit, first)
    assert (ended["study_instance_uid"], await kept(database)) == (None, len(FILES))
    await run_attempt(kit, second["screening_id"], 1)
    one, two = await rows(database, "SELECT * FROM screenings ORDER BY created_at")
    assert {one["study_instance_uid"], two["study_instance_uid"]} == {STUDY}
    assert (one["version"], two["version"]) == (1, 2)
    assert two["supersedes"] == one["screening_id"]


async def test_several_studies_below_a_prefix_need_a_name(
    database: Database, tmp_path: Path, s3: S3Server
) -> None:
    """Without one nothing is kept; with one only that study is."""
    [stranger] = slices(1, seed=5)
    stranger.StudyInstanceUID = "1.2.99"
    files = {f"in/b/{n}": data for n, data in enumerate([part10(stranger), *FILES])}
    kit = kit_of(database, tmp_path / "objects", lake=bucket(s3, tmp_path, files))
    asked = {"s3": "lake", "prefix": "b"}
    ended = await attempt(kit, await order(database, asked, study=""))
    assert (ended["state"], ended["error_code"]) == ("failed", "source.several_studies")
    assert await kept(database) == 0
    ended = await attempt(kit, await order(database, asked))
    assert ended["fetched_at"] is not None
    assert (await kept(database), await kept(database, "1.2.99")) == (len(FILES), 0)


async def test_an_empty_prefix_of_a_bucket_is_not_found(
    database: Database, tmp_path: Path, s3: S3Server
) -> None:
    """At once, with its code."""
    kit = kit_of(database, tmp_path / "objects", lake=bucket(s3, tmp_path, {}))
    row = await order(database, {"s3": "lake", "prefix": "none"}, study="")
    ended = await attempt(kit, row)
    assert (ended["state"], ended["error_code"]) == ("failed", "source.not_found")


async def test_what_was_here_before_is_not_stored_twice(database: Database, tmp_path: Path) -> None:
    """A fetch of a study that is complete already passes it on."""

    async def give(request: web.Request) -> web.Response:
        return answer()

    async with serving(give) as url:
        kit = kit_of(database, tmp_path, url)
        await attempt(kit, await order(database))
        before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
        ended = await attempt(kit, await order(database))
    assert (ended["version"], ended["state"]) == (2, "accepted")
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert await kept(database) == len(FILES)
