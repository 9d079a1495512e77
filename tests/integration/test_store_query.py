"""Queries on a real PostgreSQL: what matches, in which order, of which tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy
from alembic import command
from alembic.config import Config

from gateway.exceptions import InvalidQueryError
from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.store.database import Connection, Database
from gateway.store.index import add_instances
from gateway.store.keys import ensure_tenant
from gateway.store.locate import stored_files
from gateway.store.matching import Level
from gateway.store.migrate import MIGRATIONS
from gateway.store.query import Query, find
from tests.ct_files import ct_dataset, multi_frame, part10, slices

pytestmark = pytest.mark.postgres


def equal(old: Instance, new: Instance) -> bool:
    return True


def read(ds: Any, key: str = "k") -> Instance:
    return read_header(part10(ds), object_key=f"{key}/{ds.SOPInstanceUID}")


async def add(connection: Connection, *datasets: Any, tenant: str = "default") -> None:
    instances = [read(ds) for ds in datasets]
    await add_instances(connection, tenant, instances, same_pixels=equal)


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    """Four studies: seed 1 of Müller, 2 of Yamada, 3 without a name or date, 4 with MR and CT."""
    async with Database(database_url, size=1) as database, database.connection() as made:
        for tenant in ("default", "other"):
            await ensure_tenant(made, tenant)
        await add(
            made,
            *slices(3, seed=1, PatientName="Müller^Ute", PatientID="A1", AccessionNumber="X_1"),
            *slices(2, seed=2, SpecificCharacterSet="ISO_IR 192", PatientID="B_2",
                    PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"),
            ct_dataset(seed=3, PatientName=None, StudyDate=None, StudyTime=None),
            ct_dataset(seed=4, StudyDate="20251231", StudyTime="235959.5", PatientID="AX1"),
            ct_dataset(
                1, seed=4, SeriesInstanceUID="1.2.3.4.22", Modality="MR", SeriesNumber="11",
                SeriesDescription="T2 50%", BodyPartExamined="LIVER", InstanceNumber="7",
                StudyDate="20251231", StudyTime="235959.5", PatientID="AX1",
            ),
        )  # fmt: skip
        await add(made, *slices(2, seed=1), tenant="other")
        yield made


async def studies(connection: Connection, tenant: str = "default", **keys: str) -> list[int]:
    """Give the seeds of the studies that match, in their order."""
    query = Query(level=Level.STUDY, keys=keys, limit=100)
    found = await find(connection, tenant, query)
    return [int(match.study_instance_uid.split(".")[3]) for match in found]


STUDIES: list[tuple[dict[str, str], list[int]]] = [
    ({}, [1, 2, 4, 3]),
    ({"PatientName": "muller^ute"}, [1]),
    ({"PatientName": "MÜLLER*"}, [1]),
    ({"PatientName": "*ute"}, [1]),
    ({"PatientName": "M?ller^Ute"}, [1]),
    ({"PatientName": "Müller"}, []),
    ({"PatientName": "yama*"}, [2]),
    ({"PatientName": "山田*"}, [2]),
    ({"PatientName": "*たろう"}, [2]),
    ({"PatientName": "yamada*=山田*"}, [2]),
    ({"PatientName": "yamada*=佐藤*"}, []),
    ({"PatientID": "A1"}, [1]),
    ({"PatientID": "a1"}, []),
    ({"PatientID": "A*1"}, [1, 4]),
    ({"PatientID": "B_2"}, [2]),
    ({"PatientID": "A_1"}, []),
    ({"AccessionNumber": "X_1"}, [1]),
    ({"StudyDate": "20260101"}, [1, 2]),
    ({"StudyDate": "-20251231"}, [4]),
    ({"StudyDate": "20251201-20260101"}, [1, 2, 4]),
    ({"StudyTime": "10"}, [1, 2]),
    ({"StudyTime": "2359-"}, [4]),
    ({"StudyTime": "235959.6-"}, []),
    ({"ModalitiesInStudy": "MR"}, [4]),
    ({"ModalitiesInStudy": "M*"}, [4]),
    ({"ModalitiesInStudy": "MR\\CT"}, [1, 2, 4, 3]),
    ({"StudyInstanceUID": "1.2.3.2.1\\1.2.3.4.1"}, [2, 4]),
    ({"PatientSex": "F", "PatientID": "A*"}, [1, 4]),
    ({"PatientName": "x'; DROP TABLE studies; --"}, []),
]


async def test_studies_match(connection: Connection) -> None:
    """Newest first; the one without a date last."""
    for keys, seeds in STUDIES:
        assert await studies(connection, **keys) == seeds, keys


async def test_a_tenant_finds_its_own_only(connection: Connection) -> None:
    assert await studies(connection, "other") == [1]
    [match] = await find(connection, "other", Query(level=Level.STUDY, keys={}, limit=9))
    assert match.attributes["NumberOfStudyRelatedInstances"] == 2
    assert match.attributes["PatientName"] == "Doe^Jane"
    assert not await stored_files(connection, "other", "1.2.3.2.1")


async def test_a_study_is_described_and_counted(connection: Connection) -> None:
    query = Query(level=Level.STUDY, keys={"StudyInstanceUID": "1.2.3.4.1"}, limit=2)
    [match] = await find(connection, "default", query)
    assert match.attributes["ModalitiesInStudy"] == ["CT", "MR"]
    assert match.attributes["NumberOfStudyRelatedSeries"] == 2
    assert match.attributes["NumberOfStudyRelatedInstances"] == 2


SERIES: list[tuple[dict[str, str], list[str]]] = [
    ({"Modality": "MR"}, ["1.2.3.4.22"]),
    ({"SeriesNumber": "11"}, ["1.2.3.4.22"]),
    ({"SeriesDescription": "*50%"}, ["1.2.3.4.22"]),
    ({"BodyPartExamined": "LIVER"}, ["1.2.3.4.22"]),
    ({"StudyInstanceUID": "1.2.3.4.1"}, ["1.2.3.4.2", "1.2.3.4.22"]),
    ({"PatientName": "yamada*", "Modality": "CT"}, ["1.2.3.2.2"]),
    ({"StudyInstanceUID": "1.2.3.1.1", "Modality": "MR"}, []),
    ({}, ["1.2.3.1.2", "1.2.3.2.2", "1.2.3.4.2", "1.2.3.4.22", "1.2.3.3.2"]),
]


async def test_series_match(connection: Connection) -> None:
    for keys, uids in SERIES:
        found = await find(connection, "default", Query(level=Level.SERIES, keys=keys, limit=100))
        assert [match.series_instance_uid for match in found] == uids, keys


INSTANCES: list[tuple[dict[str, str], list[str]]] = [
    ({"StudyInstanceUID": "1.2.3.1.1"}, ["1.2.3.1.3.1", "1.2.3.1.3.2", "1.2.3.1.3.3"]),
    ({"StudyInstanceUID": "1.2.3.4.1", "InstanceNumber": "7"}, ["1.2.3.4.3.2"]),
    ({"SOPInstanceUID": "1.2.3.2.3.2"}, ["1.2.3.2.3.2"]),
    ({"SOPClassUID": "1.2.3", "StudyInstanceUID": "1.2.3.1.1"}, []),
    ({"StudyInstanceUID": "1.2.3.9.1"}, []),
    ({"PatientID": "AX1", "Modality": "MR"}, ["1.2.3.4.3.2"]),
]


async def test_instances_match(connection: Connection) -> None:
    for keys, uids in INSTANCES:
        found = await find(connection, "default", Query(level=Level.IMAGE, keys=keys, limit=100))
        assert [match.sop_instance_uid for match in found] == uids, keys


async def test_instances_say_their_own_and_what_is_above(connection: Connection) -> None:
    keys = {"SOPInstanceUID": "1.2.3.4.3.2"}
    [match] = await find(connection, "default", Query(level=Level.IMAGE, keys=keys, limit=2))
    told = match.attributes
    assert (told["Rows"], told["InstanceNumber"], told["SeriesNumber"]) == (16, 7, 11)
    assert (told["PatientID"], told["NumberOfStudyRelatedInstances"]) == ("AX1", 2)
    assert told["AvailableTransferSyntaxUID"] == "1.2.840.10008.1.2.1"


async def test_pages_neither_repeat_nor_leave_out(connection: Connection) -> None:
    """Whatever the size of a page, all pages together are the whole."""
    for level in Level:
        whole = await find(connection, "default", Query(level=level, keys={}, limit=100))
        paged = []
        for offset in range(0, len(whole) + 1, 2):
            query = Query(level=level, keys={}, limit=2, offset=offset)
            paged += await find(connection, "default", query)
        assert paged == whole


SENSELESS: list[tuple[Level, dict[str, str], int]] = [
    (Level.STUDY, {"Modality": "CT"}, 0),
    (Level.SERIES, {"SOPInstanceUID": "1.2"}, 0),
    (Level.STUDY, {}, -1),
    (Level.STUDY, {}, 10**9),
]


async def test_a_query_that_makes_no_sense_is_refused(connection: Connection) -> None:
    for level, keys, offset in SENSELESS:
        with pytest.raises(InvalidQueryError):
            await find(connection, "default", Query(level=level, keys=keys, limit=1, offset=offset))


async def test_a_copy_is_counted_once_and_its_correction_found(connection: Connection) -> None:
    copy = ct_dataset(0, seed=1, PatientName="Maier^Ute", PatientID="A1", AccessionNumber="X_1")
    copy.SeriesDescription = "corrected"
    await add_instances(connection, "default", [read(copy, "later")], same_pixels=equal)
    assert await studies(connection, PatientName="maier*") == [1]
    keys = {"SeriesDescription": "corrected"}
    [match] = await find(connection, "default", Query(level=Level.SERIES, keys=keys, limit=9))
    assert match.attributes["NumberOfSeriesRelatedInstances"] == 3
    files = await stored_files(connection, "default", "1.2.3.1.1")
    assert [file.corrections for file in files] == [
        {"PatientName": "Maier^Ute", "SeriesDescription": "corrected"},
        {},
        {},
    ]


async def test_files_are_located_by_series_and_instance(connection: Connection) -> None:
    study = "1.2.3.4.1"
    assert len(await stored_files(connection, "default", study)) == 2
    [file] = await stored_files(connection, "default", study, series_instance_uid="1.2.3.4.22")
    assert file.sop_instance_uid == "1.2.3.4.3.2"
    assert not await stored_files(
        connection, "default", study, series_instance_uid="1.2.3.4.22",
        sop_instance_uid="1.2.3.4.3.1",
    )  # fmt: skip


async def test_no_query_reads_a_frame(connection: Connection) -> None:
    """They work when the table is not there at all."""
    await add(connection, multi_frame(slices(3, seed=8)))
    await connection.execute("DROP TABLE frames")
    for level in Level:
        assert await find(connection, "default", Query(level=level, keys={}, limit=100))
    assert await stored_files(connection, "default", "1.2.3.1.1")


async def test_rows_of_an_older_release_are_filled_in(
    connection: Connection, database_url: str
) -> None:
    """Down to the schema without the query index and up again: nothing differs."""
    columns = (
        "study_instance_uid, patient_id, accession_number, patient_birth_date, study_date,"
        " study_time, patient_name, patient_name_ideographic, patient_name_phonetic,"
        " referring_physician_name, modalities, series_count, instance_count"
    )
    selects = (
        f"SELECT tenant, {columns} FROM studies ORDER BY tenant, study_instance_uid",
        "SELECT tenant, study_instance_uid, series_instance_uid, day, attributes, modality,"
        " series_number, instance_count FROM series ORDER BY tenant, series_instance_uid",
    )
    before = [await (await connection.execute(sql)).fetchall() for sql in selects]
    await connection.commit()
    engine = sqlalchemy.create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://"),
        poolclass=sqlalchemy.pool.NullPool,
    )
    with engine.begin() as migrating:
        config = Config(attributes={"connection": migrating})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        command.downgrade(config, "0003")
        command.upgrade(config, "0004")
    after = [await (await connection.execute(sql)).fetchall() for sql in selects]
    assert after == before
    assert len(before[1]) == 6
