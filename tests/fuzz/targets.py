"""What is fed with damaged input, and what must hold whatever comes; another target goes here.

A target takes an input and returns; anything that it raises is a finding.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psycopg
from hypothesis import strategies as st
from psycopg.rows import dict_row

from gateway.exceptions import InstanceError, RequestError, SeriesError
from gateway.instance import Frame, Instance
from gateway.intake.header import read_header
from gateway.intake.resend import same_pixels
from gateway.intake.stow import store
from gateway.store.index import Outcome, Status, add_instances
from gateway.store.objects import FolderObjects
from gateway.store.partitions import ensure_partition
from gateway.study.decode import decode_series
from gateway.study.decoders import stored_values
from gateway.study.series import group_series
from gateway.study.stored import check_decodable
from tests.databases import fresh_database, running_postgres
from tests.fuzz.associations import Associations
from tests.fuzz.mutate import bodies, files
from tests.stored_series import MemoryObjects

MEMORY = "/dev/shm"
"""Where the segments lie: what is looked for does not depend on a disk's flushes."""

MAX_FRAMES = 8
"""Decoded one by one; a damaged number of frames may be large."""

MAX_VOXELS = 4 * 1024**2
"""Larger volumes are not decoded here; their headers have been read."""


class Target(Protocol):
    """One entrance of the product."""

    inputs: st.SearchStrategy[Any]

    def open(self) -> None:
        """Get what all inputs share."""
        ...

    def feed(self, value: Any) -> str:
        """Feed one input; gives in a word what became of it."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


class Header:
    """`read_header`, and the decoder behind it."""

    inputs = files()

    def open(self) -> None:
        """Need nothing."""

    def close(self) -> None:
        """Hold nothing."""

    def feed(self, value: bytes) -> str:
        """Refused as an instance, as a series, or decoded; frames never point outside the file."""
        try:
            instance = read_header(value, object_key="k", object_offset=0)
        except InstanceError as error:
            return error.code
        for frame in instance.frames:
            for offset, length in frame.fragments or ((frame.pixel_offset, frame.pixel_length),):
                assert offset < 0 or 0 <= offset <= offset + length <= len(value)
        objects = MemoryObjects()
        objects.objects["k"] = value
        told = "decoded"
        for frame in instance.frames[:MAX_FRAMES]:
            if frame.pixel_offset >= 0 and frame.rows * frame.columns <= MAX_VOXELS:
                told = self._frame(value, frame) or told
        try:
            for series in group_series([instance]):
                if np.prod([float(n) for n in series.geometry.shape]) > MAX_VOXELS:
                    return "large"
                out = np.empty(series.geometry.shape, np.int16)
                decode_series(series, series.geometry, objects, out, threads=1)
        except SeriesError as error:
            return f"{told}, {error.code}"
        return told

    def _frame(self, value: bytes, frame: Frame) -> str:
        """Decode one frame, whatever is wrong with the series; gives why not."""
        ranges = frame.fragments or ((frame.pixel_offset, frame.pixel_length),)
        data = b"".join(value[offset : offset + length] for offset, length in ranges)
        try:
            check_decodable(frame)
            values = stored_values(data, frame)
        except SeriesError as error:
            return error.code
        assert values.shape == (frame.rows, frame.columns)
        return ""


class Store:
    """`store` with a real folder and a real database, which are empty again after each input."""

    inputs = bodies()

    def open(self) -> None:
        """Start PostgreSQL."""
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._stack.callback(self._loop.close)
        url = self._stack.enter_context(
            fresh_database(self._stack.enter_context(running_postgres()))
        )
        self._folder = Path(tempfile.mkdtemp(prefix="os-fuzz-", dir=MEMORY))
        self._stack.callback(shutil.rmtree, self._folder)
        self._connection = self._loop.run_until_complete(
            psycopg.AsyncConnection.connect(url, row_factory=dict_row)
        )
        self._stack.callback(lambda: self._loop.run_until_complete(self._connection.close()))
        self._objects = FolderObjects(self._folder / "objects", reserve_bytes=0)
        self._loop.run_until_complete(self._make_tenant())

    def close(self) -> None:
        """Stop it."""
        self._stack.close()

    def feed(self, value: list[bytes]) -> str:
        """Acknowledged means indexed and readable; refused leaves neither file nor row."""
        before = len(os.listdir("/proc/self/fd"))
        try:
            told = self._loop.run_until_complete(self._feed(value))
        finally:
            self._loop.run_until_complete(self._connection.rollback())
            for key, _ in list(self._objects.list()):
                self._objects.delete(key)
            self._objects.sweep_temporary()
        assert len(os.listdir("/proc/self/fd")) <= before + 1, "a file was left open"
        return told

    async def _make_tenant(self) -> None:
        await self._connection.execute("INSERT INTO tenants (tenant) VALUES ('fuzz')")
        await ensure_partition(self._connection, datetime.now(UTC).date())  # slow to make
        await self._connection.commit()

    async def _feed(self, chunks: list[bytes]) -> str:
        async def stream() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        await self._connection.execute("SELECT")  # begins what the end of this rolls back
        outcomes: list[Outcome] = []

        def same(old: Instance, new: Instance) -> bool:
            return same_pixels(self._objects, old, new)

        async def index(instances: list[Instance]) -> list[Outcome]:
            outcomes.extend(
                await add_instances(self._connection, "fuzz", instances, same_pixels=same)
            )
            return outcomes

        try:
            received = await store(
                stream(),
                boundary=b"BB",
                objects=self._objects,
                index=index,
                max_instance_bytes=1_000_000,
            )
        except RequestError as error:
            assert not self._files(), "a refused body has left a file"
            assert await self._rows() == set()
            return error.code
        kept = {o.instance.object_key for o in outcomes if o.status is Status.STORED}
        assert self._files() == kept, "a segment that nobody points at is left"
        assert await self._rows() == {
            (o.instance.study_instance_uid, o.instance.sop_instance_uid)
            for o in outcomes
            if o.status is Status.STORED
        }
        for outcome in outcomes:
            if outcome.status is Status.STORED:
                one = outcome.instance
                data = self._objects.read(one.object_key, one.object_offset, one.object_length)
                again = read_header(
                    data, object_key=one.object_key, object_offset=one.object_offset
                )
                assert again == one
        refused = Counter(item.error.code for item in received if item.error is not None)
        return ", ".join(sorted(refused)) or "stored"

    def _files(self) -> set[str]:
        root = self._objects.root
        return {f.relative_to(root).as_posix() for f in root.rglob("*") if f.is_file()}

    async def _rows(self) -> set[tuple[str, str]]:
        cursor = await self._connection.execute(
            "SELECT study_instance_uid, sop_instance_uid FROM instances"
        )
        return {tuple(row.values()) for row in await cursor.fetchall()}  # type: ignore[misc]


TARGETS: dict[str, type[Target]] = {"header": Header, "store": Store, "dimse": Associations}
"""By name."""
