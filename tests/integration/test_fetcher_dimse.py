"""Studies from archives by DIMSE: Orthanc and dcmqrscp, C-GET and C-MOVE, with their faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from gateway.cli import main
from gateway.dimse.archive import Hours, read_archive
from gateway.dimse.sender import Label
from gateway.exceptions import PartnersError, SourceTooLargeError, WrongStudyError
from gateway.fetcher.attempt import run_attempt
from gateway.fetcher.dimse import Keeper
from gateway.fetcher.kit import FetchKit, FetchLimits, archive_clients
from gateway.intake.partners import Partners
from gateway.intake.partners_reader import read_partners
from gateway.intake.remotes import Archive
from gateway.runtime.ports import free_port
from gateway.settings import WorkerSettings
from gateway.store import screenings
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects
from gateway.store.reaper import reap
from gateway.store.screenings import Order
from tests.ct_files import ct_dataset, part10
from tests.dcmqrscp import AE_TITLE, running_dcmqrscp
from tests.dimse_server import listening
from tests.orthanc import Orthanc, running_orthanc

pytestmark = pytest.mark.postgres

COUNT = 4
STUDY = "1.2.3.320.1"
TENANTS = ("default", "other")
WORKER = WorkerSettings(heartbeat_seconds=0.2, stalled_seconds=5.0, max_attempts=2)
LIMITS = FetchLimits(tries=2, first_delay_seconds=0.01)


@pytest.fixture(scope="module")
def orthanc(need_tool: Callable[[str], str]) -> Iterator[Orthanc]:
    """One Orthanc with one study."""
    rights = {f"DicomAlwaysAllow{name}": True for name in ("Find", "Get", "Move")}
    with running_orthanc(need_tool, **rights) as made:
        for index in range(COUNT):
            made.call("POST", "/instances", part10(ct_dataset(index, seed=320, size=64)))
        yield made


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=6) as made:
        async with made.connection() as connection:
            for tenant in TENANTS:
                await ensure_tenant(connection, tenant)
        yield made


def kit_of(database: Database, folder: Path, port: int, ae_title: str, **raw: Any) -> FetchKit:
    table = {"host": "127.0.0.1", "port": port, "ae_title": ae_title, "timeout_seconds": 20}
    archive = Archive(
        name="main", tenants=TENANTS, raw={**table, "requests_per_minute": 60_000, **raw}
    )
    partners = Partners(archives={"main": archive})
    return FetchKit(
        name="f",
        database=database,
        objects=FolderObjects(folder / "objects", reserve_bytes=0),
        partners=partners,
        archives=archive_clients(partners),
        default_checks=lambda modalities: ("liver",) if "CT" in set(modalities) else (),
        worker=WORKER,
        limits=LIMITS,
    )


async def order(database: Database, *, study: str = STUDY, tenant: str = "default") -> Any:
    asked = Order(
        study_instance_uid=study, checks=(), clinical={}, lane="stat", source={"dimse": "main"}
    )
    async with database.connection() as connection:
        row, _ = await screenings.create(connection, tenant, asked)
    return row


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # type: ignore[arg-type]


async def attempt(kit: FetchKit, row: Any) -> dict[str, Any]:
    await run_attempt(kit, row["screening_id"], row["attempt"])
    [after] = await rows(
        kit.database, f"SELECT * FROM screenings WHERE screening_id = '{row['screening_id']}'"
    )
    return after


async def kept(database: Database, tenant: str = "default") -> int:
    async with database.connection() as connection:
        return len(await study_instances(connection, tenant, STUDY))


async def test_a_study_comes_from_orthanc_by_c_get_and_goes_to_its_lane(
    database: Database, tmp_path: Path, orthanc: Orthanc
) -> None:
    """For the tenant that asked, and nobody else; nothing looks complete by itself."""
    kit = kit_of(database, tmp_path, orthanc.dicom_port, orthanc.ae_title)
    ended = await attempt(kit, await order(database, tenant="other"))
    assert (ended["state"], ended["checks"], ended["attempt"]) == ("accepted", ["liver"], 1)
    assert ended["fetched_at"] is not None
    assert (await kept(database, "other"), await kept(database)) == (COUNT, 0)
    [job] = await rows(database, "SELECT * FROM procrastinate_jobs WHERE queue_name LIKE 'stat:%'")
    assert (job["task_name"], job["id"]) == ("screen", ended["job_id"])
    assert not await rows(database, "SELECT 1 FROM arrivals WHERE due_at IS NOT NULL")


async def test_dcmtk_s_archive_gives_a_study_too(
    database: Database, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """By C-GET from dcmqrscp."""
    files = [part10(ct_dataset(index, seed=320, size=32)) for index in range(COUNT)]
    with running_dcmqrscp(need_tool, tmp_path / "qr", files) as port:
        kit = kit_of(database, tmp_path, port, AE_TITLE)
        ended = await attempt(kit, await order(database))
    assert ended["fetched_at"] is not None
    assert await kept(database) == COUNT


async def test_a_study_comes_by_c_move_to_our_own_listener(
    database: Database, database_url: str, tmp_path: Path, orthanc: Orthanc
) -> None:
    """And where the archive is a partner of another tenant, it is not this tenant's study."""
    with listening(database_url, tmp_path / "home") as listener:
        orthanc.add_modality("onescan", "ONESCAN", listener.port)
        kit = kit_of(database, tmp_path, orthanc.dicom_port, orthanc.ae_title, method="move")
        row = await order(database, tenant="other")
        for _ in range(WORKER.max_attempts):
            row = await attempt(kit, row)
        assert (row["state"], row["error_code"]) == ("failed", "source.invalid")
        assert "nothing of it came to this tenant" in row["error_message"]
        assert await kept(database, "other") == 0
        ended = await attempt(kit, await order(database))
    assert ended["fetched_at"] is not None
    assert await kept(database) == COUNT


async def test_a_study_that_an_archive_does_not_have_fails_at_once(
    database: Database, tmp_path: Path, orthanc: Orthanc
) -> None:
    """With a code of its own, after one attempt."""
    kit = kit_of(database, tmp_path, orthanc.dicom_port, orthanc.ae_title)
    ended = await attempt(kit, await order(database, study="1.2.3.4.5"))
    assert (ended["state"], ended["error_code"], ended["attempt"]) == (
        "failed",
        "source.not_found",
        1,
    )


async def test_an_archive_that_stays_away_fails_visibly(database: Database, tmp_path: Path) -> None:
    """After the last attempt."""
    port = free_port("127.0.0.1")
    kit = kit_of(database, tmp_path, port, "NOBODY", timeout_seconds=2)
    row = await order(database)
    for number in range(1, WORKER.max_attempts + 1):
        assert (row["state"], row["attempt"]) == ("accepted", number)
        row = await attempt(kit, row)
    assert (row["state"], row["error_code"]) == ("failed", "source.unreachable")


async def test_outside_of_an_archive_s_hours_a_screening_waits_until_they_begin(
    database: Database, tmp_path: Path, orthanc: Orthanc
) -> None:
    """It says why, loses no attempt, is nothing for the reaper, and is fetched then."""
    now = datetime.now(UTC)
    start, end = now + timedelta(hours=5), now + timedelta(hours=6)
    closed = kit_of(
        database,
        tmp_path,
        orthanc.dicom_port,
        orthanc.ae_title,
        hours=f"{start:%H:%M}-{end:%H:%M}",
    )
    waiting = await attempt(closed, await order(database))
    assert (waiting["state"], waiting["attempt"], waiting["worker"]) == ("accepted", 1, None)
    assert waiting["error_code"] == "source.outside_hours"
    [job] = await rows(database, f"SELECT * FROM procrastinate_jobs WHERE id = {waiting['job_id']}")
    wait = (job["scheduled_at"] - now).total_seconds()
    assert 4.9 * 3600 < wait < 5.1 * 3600
    assert job["queue_name"] == "fetch"
    async with database.connection() as connection:
        assert (await reap(connection, WORKER)).enqueued == 0
    opened = kit_of(database, tmp_path, orthanc.dicom_port, orthanc.ae_title)
    ended = await attempt(opened, waiting)
    assert ended["fetched_at"] is not None
    assert await kept(database) == COUNT


async def test_an_instance_refused_here_is_left_out(
    database: Database, tmp_path: Path, orthanc: Orthanc
) -> None:
    """As by WADO-RS: the rest is screened."""
    kit = kit_of(database, tmp_path, orthanc.dicom_port, orthanc.ae_title)
    await attempt(kit, await order(database))
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE frames SET rescale_slope = 7 WHERE sop_instance_uid LIKE '%.1'"
        )
    ended = await attempt(kit, await order(database))
    assert (ended["state"], ended["version"]) == ("accepted", 2)
    assert ended["fetched_at"] is not None


async def test_the_command_fetches_a_study_into_the_server_s_store(
    database: Database,
    database_url: str,
    tmp_path: Path,
    orthanc: Orthanc,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`onescan archive fetch`; a tenant that may not ask, or is not there, is told."""
    (tmp_path / "partners.toml").write_text(
        f'[archives.main]\ntenants = ["other", "gone"]\nhost = "127.0.0.1"\n'
        f'port = {orthanc.dicom_port}\nae_title = "ORTHANC"\nrequests_per_minute = 60000\n'
    )
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))
    monkeypatch.setenv("DATABASE_URL", database_url)

    async def run(*arguments: str) -> int:
        return await asyncio.to_thread(main, ["archive", "fetch", "main", STUDY, *arguments])

    assert await run() == 2
    assert "--tenant" in capsys.readouterr().err
    assert await run("--tenant", "default") == 2
    assert await run("--tenant", "gone") == 2
    assert await kept(database, "other") == 0
    assert await run("--tenant", "other") == 0
    assert await kept(database, "other") == COUNT
    assert (tmp_path / "objects" / "node").is_file()


def test_partners_check_reads_an_archive_s_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake is told before the api would not start because of it."""
    file = tmp_path / "partners.toml"
    good = '[archives.main]\ntenants = ["default"]\nhost = "h"\nport = 104\nae_title = "A"\n'
    file.write_text(good)
    assert main(["partners", "check", str(file)]) == 0
    assert "archive main: for default" in capsys.readouterr().out
    file.write_text(good + 'hours = "22:00"\n')
    assert main(["partners", "check", str(file)]) != 0
    assert "[archives.main]" in capsys.readouterr().err
    with pytest.raises(PartnersError, match=r"\[archives.main\]"):
        archive_clients(read_partners(file))


async def test_an_archive_taken_out_of_the_file_fails_at_once(
    database: Database, tmp_path: Path
) -> None:
    """A screening that was accepted before the restart says so."""
    kit = replace(kit_of(database, tmp_path, 104, "X"), archives={})
    ended = await attempt(kit, await order(database))
    assert (ended["state"], ended["error_code"]) == ("failed", "source.unsupported")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
async def test_an_instance_of_another_study_is_not_taken(syntax: str) -> None:
    """Whatever an archive sends; what cannot be read is left to the store to refuse."""
    stored: list[bytes] = []

    async def store(label: Label, data: bytes) -> None:
        stored.append(data)

    ours, theirs = (data_set(ct_dataset(seed=seed, size=16), syntax) for seed in (320, 321))
    label = Label(sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax_uid=syntax)
    keeper = Keeper(store, STUDY, max_bytes=3 * len(ours))
    await keeper.keep(label, ours)
    with pytest.raises(WrongStudyError):
        await keeper.keep(label, theirs)
    assert keeper.failure is None
    await keeper.keep(label, b"no data set")
    assert stored == [ours, b"no data set"]
    with pytest.raises(SourceTooLargeError):
        await keeper.keep(label, ours)
    with pytest.raises(SourceTooLargeError):
        await keeper.keep(label, b"")
    assert isinstance(keeper.failure, SourceTooLargeError)
    assert len(stored) == 2


def data_set(ds: FileDataset, syntax: str) -> bytes:
    """Encode a data set alone, as it is on an association."""
    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = UID(syntax).is_implicit_VR
    write_dataset(buffer, ds)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("text", "zone", "moment", "hours"),
    [
        ("22:00-06:00", "UTC", datetime(2026, 1, 1, 12, tzinfo=UTC), 10),
        ("22:00-06:00", "UTC", datetime(2026, 1, 1, 23, tzinfo=UTC), 0),
        ("08:00-18:00", "UTC", datetime(2026, 1, 1, 20, tzinfo=UTC), 12),
        ("08:00-18:00", "Asia/Shanghai", datetime(2026, 1, 1, 12, tzinfo=UTC), 12),
        ("03:30-04:00", "Europe/Berlin", datetime(2026, 3, 29, 0, tzinfo=UTC), 1.5),  # an hour lost
    ],
)
def test_when_an_archive_opens(text: str, zone: str, moment: datetime, hours: float) -> None:
    """Over midnight, in other zones, over the change of the clock."""
    raw = {"host": "h", "port": 104, "ae_title": "A", "hours": text, "timezone": zone}
    read = read_archive(Archive(name="main", tenants=("default",), raw=raw)).hours
    assert isinstance(read, Hours)
    assert read.seconds_until(moment) == hours * 3600
