"""A C-STORE's success comes after flush and commit, and indexes as a STOW request does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from gateway.dimse.depot import Depot
from gateway.dimse.sender import Label
from gateway.dimse.sender import Sender as Sender_
from gateway.exceptions import InstanceError, InstanceTooLargeError
from gateway.intake.header import read_header
from gateway.intake.partners import Partner
from gateway.settings import StoreSettings
from gateway.store.database import Database
from gateway.store.index import add_instances, study_day
from gateway.store.index_one import add_new_instance
from gateway.store.keys import ensure_tenant
from gateway.store.objects import FolderObjects
from gateway.store.s3 import S3Objects
from loadtests.dimse_sender import Sender, data_sets
from tests.ct_files import CT_IMAGE, ct_dataset, part10
from tests.dimse_server import listening
from tests.s3_server import S3Server

pytestmark = pytest.mark.postgres

CALLS = "openat,fsync,fdatasync,rename,sendto,write,writev,sendmsg"

COMMIT = r"\x43\x4f\x4d\x4d\x49\x54"

SUCCESS = r"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"
"""(0000,0900) = 0000, as strace writes it."""


def test_flush_commit_and_then_the_answer(
    database_url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """strace: the first instance gives the segment its name; each further one is one flush."""
    trace = tmp_path / "trace"
    strace = [need_tool("strace"), "-f", "-y", "-x", "-s", "200", "-o", str(trace)]
    with (
        listening(database_url, tmp_path / "home", *strace, "-e", f"trace={CALLS}") as made,
        Sender(made.port) as sender,
    ):
        seen = []
        for number, (uid, data) in enumerate(data_sets(4, size=64)):
            assert sender.store(sender.message(number, uid, data)) == 0
            seen.append(len(trace.read_text().splitlines()))
    lines = trace.read_text().splitlines()
    first = events_of(lines[: seen[0]])
    steps = [event for event in first if event != "commit"]  # others commit at their own times
    assert steps == ["flush", "rename", "answer"]
    assert first[-2:] == ["commit", "answer"]
    for start, end in pairwise(seen):
        events = events_of(lines[start:end])
        assert [event for event in events if event != "commit"] == ["flush", "answer"]
        assert events[-2:] == ["commit", "answer"]


def events_of(lines: list[str]) -> list[str]:
    """Name the steps of the way to success, each when its call has returned."""
    flushing: set[str] = set()
    events = []
    for line in lines:
        thread = line.split()[0]
        if re.search(r"\bf(?:data)?sync\(\d+<.*\.seg>", line):
            if "<unfinished" in line:
                flushing.add(thread)
            else:
                events.append("flush")
        elif "sync resumed>" in line and thread in flushing:
            flushing.discard(thread)
            events.append("flush")
        elif re.search(r"\brename\(.*incoming.*\.seg", line):
            events.append("rename")
        elif COMMIT in line:
            events.append("commit")
        elif SUCCESS in line:
            events.append("answer")
    return events


def rows(url: str, tenant: str) -> dict[str, Any]:
    """Give every row of a tenant, without what differs between two runs."""
    found: dict[str, Any] = {}
    with psycopg.connect(url, row_factory=dict_row) as connection:
        for table in ("studies", "series", "instances", "frames"):
            found[table] = [
                {k: v for k, v in row.items() if k not in ("tenant",) and not k.endswith("_at")}
                for row in connection.execute(
                    f"SELECT * FROM {table} WHERE tenant = %s ORDER BY 2, 3, 4, 5", (tenant,)
                ).fetchall()
            ]
    return found


async def test_one_by_one_is_the_same_as_in_bulk(database_url: str) -> None:
    """Rows of instances, frames, series and studies are equal, whichever way they came."""
    instances = [
        read_header(part10(ct_dataset(index, seed=7)), object_key="k", object_offset=index)
        for index in range(4)
    ]
    async with Database(database_url, size=2) as database:
        for tenant in ("bulk", "single"):
            async with database.connection() as connection:
                await ensure_tenant(connection, tenant)
        async with database.connection() as connection:
            for item in instances:
                await add_instances(connection, "bulk", [item], same_pixels=lambda a, b: False)
        async with database.connection() as connection:
            first = instances[0]
            await add_instances(connection, "single", [first], same_pixels=lambda a, b: False)
            day = await study_day(connection, "single", first.study_instance_uid)
        for item in instances[1:]:
            async with database.connection() as connection:
                assert await add_new_instance(connection, "single", item, day) == day
        assert rows(database_url, "bulk") == rows(database_url, "single")


async def test_what_is_known_or_not_simple_is_left_to_the_bulk_way(database_url: str) -> None:
    """A known UID, an unknown study, another day, many frames: nothing is changed."""
    known = read_header(part10(ct_dataset(0, seed=8)), object_key="k", object_offset=0)
    new = read_header(part10(ct_dataset(1, seed=8)), object_key="k", object_offset=1)
    many = dataclasses.replace(new, frames=new.frames * 17)
    async with Database(database_url, size=2) as database:
        async with database.connection() as connection:
            await ensure_tenant(connection, "t")
            await add_instances(connection, "t", [known], same_pixels=lambda a, b: False)
            day = await study_day(connection, "t", known.study_instance_uid)
        assert day is not None
        before = rows(database_url, "t")
        for item, on in ((known, day), (new, None), (many, day), (new, day.replace(year=1999))):
            async with database.connection() as connection:
                assert await add_new_instance(connection, "t", item, on) is None
        other = read_header(part10(ct_dataset(0, seed=9)), object_key="k", object_offset=0)
        async with database.connection() as connection:
            assert await add_new_instance(connection, "t", other, day) is None
        assert rows(database_url, "t") == before


async def test_into_a_bucket_each_instance_is_an_object(database_url: str, s3: S3Server) -> None:
    """Nothing grows there: a new instance is one object, a copy or a refused one leaves none."""
    objects = S3Objects(StoreSettings(objects=s3.url, s3_endpoint=s3.endpoint))
    sets = data_sets(2, size=32)
    sender = Sender_(
        partner=Partner(name="p", tenant="t"), calling="A", called="B", address="127.0.0.1"
    )
    with ThreadPoolExecutor(4) as executor:
        async with Database(database_url, size=2) as database:
            async with database.connection() as connection:
                await ensure_tenant(connection, "t")
            depot = Depot(
                database, objects, executor, max_instance_bytes=2**20, patience_seconds=10
            )
            async with depot.storing(sender) as store:
                for uid, data in (*sets, sets[0]):
                    label = Label(
                        sop_class_uid=CT_IMAGE,
                        sop_instance_uid=uid,
                        transfer_syntax_uid="1.2.840.10008.1.2.1",
                    )
                    await store(label, data)
                with pytest.raises(InstanceError):
                    await store(dataclasses.replace(label, sop_instance_uid="1.2.3"), sets[1][1])
                with pytest.raises(InstanceTooLargeError):
                    await store(label, bytes(2**20))
    assert len(list(objects.list())) == 2
    assert len(rows(database_url, "t")["instances"]) == 2


async def test_an_instance_and_its_arrival_are_committed_together(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails after the rows are written leaves none of them: no study without its arrival."""

    async def lost(*arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("gateway.dimse.depot.note_arrivals", lost)
    [(uid, data)] = data_sets(1, size=64)
    label = Label(
        sop_class_uid=CT_IMAGE, sop_instance_uid=uid, transfer_syntax_uid="1.2.840.10008.1.2.1"
    )
    sender = Sender_(
        partner=Partner(name="p", tenant="t"), calling="A", called="B", address="127.0.0.1"
    )
    async with Database(database_url, size=2) as database:
        async with database.connection() as connection:
            await ensure_tenant(connection, "t")
        with ThreadPoolExecutor(2) as executor:
            depot = Depot(
                database,
                FolderObjects(tmp_path / "objects"),
                executor,
                max_instance_bytes=2**20,
                patience_seconds=10,
            )
            async with depot.storing(sender) as store:
                with pytest.raises(RuntimeError):
                    await store(label, data)
    assert rows(database_url, "t")["instances"] == []
