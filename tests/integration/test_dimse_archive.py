"""What we ask of archives, on a real Orthanc and on dcmtk's own."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from gateway.cli import main
from gateway.dimse.archive import ArchiveProfile, Hours, read_archive
from gateway.dimse.depot import Depot
from gateway.dimse.pace import Pace
from gateway.dimse.scu import ArchiveClient, Retrieved, retrieve_study
from gateway.dimse.sender import Sender
from gateway.exceptions import (
    OneScanError,
    PacsClosedError,
    PacsError,
    PacsIncompleteError,
    PacsNotFoundError,
    PacsUnreachableError,
    PartnersError,
    UsageError,
)
from gateway.intake.partners import Partner
from gateway.intake.remotes import Archive
from gateway.runtime.ports import free_port
from gateway.store.database import Database
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects
from tests.ct_files import ct_dataset, part10
from tests.databases import fresh_database
from tests.dimse_server import listening
from tests.orthanc import Orthanc, running_orthanc

pytestmark = pytest.mark.postgres

SENDER = Sender(
    partner=Partner(name="orthanc", tenant="default"),
    calling="ORTHANC",
    called="ONESCAN",
    address="127.0.0.1",
)


@pytest.fixture(scope="module")
def orthanc(
    tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[[str], str]
) -> Iterator[Orthanc]:
    """One Orthanc with three studies: plain slices, compressed ones, a document."""
    rights = {f"DicomAlwaysAllow{name}": True for name in ("Find", "Get", "Move")}
    with running_orthanc(need_tool, **rights) as made:
        for index in range(5):
            made.call("POST", "/instances", part10(ct_dataset(index, seed=300, size=64)))
        for index in range(3):
            ds = ct_dataset(index, seed=301, size=64)
            ds.compress(JPEGLSLossless, generate_instance_uid=False)
            made.call("POST", "/instances", part10(ds))
        yield made


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """A database of its own."""
    with fresh_database(postgres_url) as made:
        yield made


def profile_of(orthanc: Orthanc, **changes: object) -> ArchiveProfile:
    """How Orthanc is asked."""
    raw = {
        "host": "127.0.0.1",
        "port": orthanc.dicom_port,
        "ae_title": orthanc.ae_title,
        "requests_per_minute": 60_000,
        "timeout_seconds": 20,
    }
    return read_archive(Archive(name="main", tenants=("default",), raw=raw | changes))


async def fetch(url: str, folder: Path, archive: ArchiveClient, study: str) -> Retrieved:
    """Fetch a study through the durable path."""
    async with Database(url, size=2) as database:
        async with database.connection() as connection:
            await ensure_tenant(connection, "default")
        with ThreadPoolExecutor(4) as executor:
            depot = Depot(
                database,
                FolderObjects(folder, reserve_bytes=0),
                executor,
                max_instance_bytes=2**30,
                patience_seconds=5,
            )
            async with depot.storing(SENDER) as store:
                return await retrieve_study(archive, study, store)


def rows_of(url: str, study: str) -> list[tuple[str, str, int, int]]:
    """Give transfer syntax and place of a study's instances."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT transfer_syntax_uid, object_key, object_offset, object_length FROM instances"
            " WHERE tenant = 'default' AND study_instance_uid = %s ORDER BY object_offset",
            (study,),
        ).fetchall()


def test_echo_and_find(orthanc: Orthanc) -> None:
    """Verification, and queries at each level."""

    async def ask() -> None:
        archive = ArchiveClient(profile_of(orthanc))
        await archive.echo()
        studies = await archive.find("STUDY", {"PatientID": "4711", "StudyDate": ""})
        assert {item.StudyInstanceUID for item in studies} == {"1.2.3.300.1", "1.2.3.301.1"}
        [series] = await archive.find("SERIES", {"StudyInstanceUID": "1.2.3.300.1", "Modality": ""})
        assert series.Modality == "CT"
        keys = {"StudyInstanceUID": "1.2.3.300.1", "SeriesInstanceUID": series.SeriesInstanceUID}
        assert len(await archive.find("IMAGE", keys)) == 5
        assert await archive.find("STUDY", {"PatientID": "nobody"}) == []
        with pytest.raises(UsageError):
            await archive.find("SERIES", {})

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("study", "count", "syntax"),
    [("1.2.3.300.1", 5, "1.2.840.10008.1.2.1"), ("1.2.3.301.1", 3, JPEGLSLossless)],
)
def test_a_study_comes_by_c_get_as_it_is(
    study: str, count: int, syntax: str, orthanc: Orthanc, url: str, tmp_path: Path
) -> None:
    """No listener is needed, nothing is transcoded, everything is durable when it returns."""
    archive = ArchiveClient(profile_of(orthanc))
    done = asyncio.run(fetch(url, tmp_path / "objects", archive, study))
    assert done.completed == count
    rows = rows_of(url, study)
    assert [row[0] for row in rows] == [syntax] * count
    objects = FolderObjects(tmp_path / "objects")
    for _, key, offset, length in rows:
        ds = pydicom.dcmread(io.BytesIO(objects.read(key, offset, length)))
        assert ds.StudyInstanceUID == study
        assert ds.pixel_array.shape == (64, 64)
    asyncio.run(fetch(url, tmp_path / "objects", archive, study))  # again: the same, kept once
    assert len(rows_of(url, study)) == count


def test_an_instance_refused_here_is_told(orthanc: Orthanc, url: str, tmp_path: Path) -> None:
    """What the store refuses makes the retrieval incomplete, with the code; the rest is kept."""
    asyncio.run(fetch(url, tmp_path / "objects", ArchiveClient(profile_of(orthanc)), "1.2.3.300.1"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE frames SET rescale_slope = 7 WHERE sop_instance_uid LIKE '%.1'")
    with pytest.raises(PacsIncompleteError, match=r"instance\.different_pixels"):
        asyncio.run(
            fetch(url, tmp_path / "objects", ArchiveClient(profile_of(orthanc)), "1.2.3.300.1")
        )


def test_what_an_archive_does_not_have(orthanc: Orthanc, url: str, tmp_path: Path) -> None:
    """Not found, as an error of its own."""
    archive = ArchiveClient(profile_of(orthanc))
    with pytest.raises(PacsNotFoundError):
        asyncio.run(fetch(url, tmp_path / "objects", archive, "1.2.3.4.5.6"))


def test_a_study_comes_by_c_move_to_our_own_listener(
    orthanc: Orthanc, url: str, tmp_path: Path
) -> None:
    """The listener acknowledges, so that everything is indexed when the move returns."""
    with listening(url, tmp_path / "home") as made:
        orthanc.add_modality("onescan", "ONESCAN", made.port)
        archive = ArchiveClient(profile_of(orthanc, method="move"))
        done = asyncio.run(fetch(url, tmp_path / "unused", archive, "1.2.3.300.1"))
        assert done.completed == 5
        assert len(rows_of(url, "1.2.3.300.1")) == 5
        lost = ArchiveClient(profile_of(orthanc, method="move", move_to="NOWHERE"))
        with pytest.raises(PacsError):
            asyncio.run(fetch(url, tmp_path / "unused", lost, "1.2.3.300.1"))


def test_dcmtk_s_archive_answers_too(
    url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """`dcmqrscp` gives by C-GET what storescu brought it."""
    port = free_port("127.0.0.1")
    (tmp_path / "db").mkdir()
    (tmp_path / "qr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {tmp_path / 'db'} RW (9, 1024mb) ANY\nAETable END\n"
    )
    server = subprocess.Popen(
        [need_tool("dcmqrscp"), "-c", tmp_path / "qr.cfg"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        files = []
        for index in range(3):
            files.append(tmp_path / f"{index}.dcm")
            files[-1].write_bytes(part10(ct_dataset(index, seed=310, size=32)))
        command = [need_tool("storescu"), "-aec", "QR", "127.0.0.1", str(port), *map(str, files)]
        for _ in range(50):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                break
        raw = {"host": "127.0.0.1", "port": port, "ae_title": "QR", "requests_per_minute": 60_000}
        archive = ArchiveClient(read_archive(Archive(name="qr", tenants=("default",), raw=raw)))
        done = asyncio.run(fetch(url, tmp_path / "objects", archive, "1.2.3.310.1"))
        assert done.completed == 3
        assert len(rows_of(url, "1.2.3.310.1")) == 3
    finally:
        server.kill()
        server.wait()


def test_who_does_not_answer_or_rejects(orthanc: Orthanc) -> None:
    """Nobody there, a name without an address, a peer that is no DICOM: one clear error each."""

    async def fails(**changes: object) -> OneScanError:
        with pytest.raises(PacsError) as caught:
            await ArchiveClient(profile_of(orthanc, timeout_seconds=2, **changes)).echo()
        return caught.value

    async def ask() -> None:
        nobody = await fails(port=free_port("127.0.0.1"))
        assert isinstance(nobody, PacsUnreachableError)
        assert isinstance(await fails(host="archive.invalid"), PacsUnreachableError)
        http = int(orthanc.url.rpartition(":")[2])
        assert isinstance(await fails(port=http), PacsError)

    asyncio.run(ask())


def test_limits_are_kept(orthanc: Orthanc) -> None:
    """Outside of its hours an archive is not asked; within, no more often than it allows."""

    async def ask() -> None:
        night = profile_of(orthanc, hours="22:00-06:00", timezone="Asia/Shanghai")
        noon = Pace(night, now=lambda: datetime(2026, 1, 1, 4, tzinfo=UTC))
        with pytest.raises(PacsClosedError, match="22:00-06:00 Asia/Shanghai"):
            await ArchiveClient(night, pace=noon).echo()
        late = Pace(night, now=lambda: datetime(2026, 1, 1, 15, tzinfo=UTC))
        await ArchiveClient(night, pace=late).echo()
        slow = ArchiveClient(replace(night, hours=None, requests_per_minute=300))
        loop = asyncio.get_running_loop()
        started = loop.time()
        await asyncio.gather(*(slow.echo() for _ in range(4)))
        assert loop.time() - started >= 3 * 60 / 300

    asyncio.run(ask())


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"host": "h", "port": 104, "ae_title": "X" * 17},
        {"host": "h", "port": "104", "ae_title": "A"},
        {"host": "h", "port": 104, "ae_title": "A", "method": "pull"},
        {"host": "h", "port": 104, "ae_title": "A", "hours": "22:00"},
        {"host": "h", "port": 104, "ae_title": "A", "hours": "22:00-06:00", "timezone": "Mars/X"},
        {"host": "h", "port": 104, "ae_title": "A", "colour": "red"},
        {"host": "h", "port": 104, "ae_title": "A", "requests_per_minute": 0},
        {"host": "h", "port": 104, "ae_title": "A", "ca": "ca.pem"},
    ],
)
def test_an_archive_s_table_is_read_strictly(raw: dict[str, object]) -> None:
    """Each mistake is one error that names the table."""
    with pytest.raises(PartnersError, match=r"\[archives.main\]"):
        read_archive(Archive(name="main", tenants=("default",), raw=raw))


def test_hours_over_midnight_and_within_a_day() -> None:
    """The start belongs to the hours, the end does not."""
    raw = {"host": "h", "port": 104, "ae_title": "A", "timezone": "UTC"}
    for text, inside, outside in (
        ("22:00-06:00", (22, 23, 0, 5), (6, 12, 21)),
        ("08:00-18:00", (8, 17), (18, 7, 0)),
    ):
        archive = Archive(name="main", tenants=("default",), raw=raw | {"hours": text})
        hours = read_archive(archive).hours
        assert isinstance(hours, Hours)
        assert all(hours.contain(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in inside)
        assert not any(hours.contain(datetime(2026, 1, 1, hour, tzinfo=UTC)) for hour in outside)


def test_the_command_asks_an_archive_of_the_partners_file(
    orthanc: Orthanc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`onescan archive echo` and `find`; a name that is not there and a typing error are told."""
    (tmp_path / "partners.toml").write_text(
        f'[archives.main]\ntenants = ["default"]\nhost = "127.0.0.1"\n'
        f'port = {orthanc.dicom_port}\nae_title = "ORTHANC"\nrequests_per_minute = 60000\n'
    )
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))
    assert main(["archive", "echo", "main"]) == 0
    assert "main answers" in capsys.readouterr().out
    assert main(["archive", "find", "main", "PatientID=4711", "StudyDate="]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {item["StudyInstanceUID"] for item in found} == {"1.2.3.300.1", "1.2.3.301.1"}
    assert main(["archive", "echo", "nobody"]) == 2
    assert "known: main" in capsys.readouterr().err
    assert main(["archive", "find", "main", "PatientId=1"]) == 2
    assert "no DICOM keyword" in capsys.readouterr().err
