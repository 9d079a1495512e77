"""DIMSE by the byte: a sender's dialogues, whole or damaged, and the listener they come to."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psycopg
from hypothesis import strategies as st
from pynetdicom import DEFAULT_TRANSFER_SYNTAXES

from gateway.dimse.command import decode_command, encode_command
from gateway.dimse.pdu import P_DATA, fragments, values
from gateway.dimse.server import DimseServer
from gateway.intake.partners import Partners
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.objects import FolderObjects
from gateway.store.partitions import ensure_partition
from loadtests.dimse_sender import CT_IMAGE, EXPLICIT, MAX_PDU_BYTES, data_sets, request
from tests.databases import fresh_database, running_postgres

VERIFICATION = "1.2.840.10008.1.1"
RELEASE = struct.pack(">BBII", 5, 0, 4, 0)
ABORT = struct.pack(">BBIBBBB", 7, 0, 4, 0, 0, 0, 0)

STORE_RESPONSE = 0x8001

LENGTHS = (0, 1, 2, 4, 5, 6, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Written where a PDU, an item, a value or a command element has its length."""

ANSWER_SECONDS = 8.0
"""For the listener to end an association whose sender is gone; less than an input may take."""


@cache
def pieces() -> tuple[bytes, ...]:
    """PDUs of a whole dialogue: request, echo, two stores, release, abort."""
    contexts = ((CT_IMAGE, (EXPLICIT,)), (VERIFICATION, DEFAULT_TRANSFER_SYNTAXES))
    return (request("FUZZ", contexts), *_echo(), *_stores(), RELEASE, ABORT)


@st.composite
def dialogues(draw: st.DrawFn) -> list[bytes]:
    """Draw what a sender writes, in chunks as the network may cut it."""
    request, *middle, release, abort = pieces()
    sent = [request, *middle]
    sent.append(draw(st.sampled_from((release, release, release, abort, b""))))
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 3)))):
        draw(st.sampled_from((_drop, _repeat, _swap)))(draw, sent)
    data = bytearray(b"".join(sent))
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 4)))):
        draw(st.sampled_from((_byte, _length, _cut, _insert)))(draw, data)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _drop(draw: st.DrawFn, sent: list[bytes]) -> None:
    if sent:
        sent.pop(draw(st.integers(0, len(sent) - 1)) or -1)  # seldom the request


def _repeat(draw: st.DrawFn, sent: list[bytes]) -> None:
    piece = draw(st.sampled_from(pieces()))
    sent.insert(draw(st.integers(0, len(sent))), piece)


def _swap(draw: st.DrawFn, sent: list[bytes]) -> None:
    if len(sent) > 1:
        at = draw(st.integers(0, len(sent) - 2)) or len(sent) - 2
        sent[at], sent[at + 1] = sent[at + 1], sent[at]


def _at(draw: st.DrawFn, data: bytearray, width: int = 1) -> int:
    """Draw a place, mostly behind the request, without which nothing else is looked at."""
    last = max(0, len(data) - width)
    return draw(st.integers(min(last, draw(st.sampled_from((0, *[len(pieces()[0])] * 4)))), last))


def _byte(draw: st.DrawFn, data: bytearray) -> None:
    if data:
        data[_at(draw, data)] = draw(st.integers(0, 255))


def _length(draw: st.DrawFn, data: bytearray) -> None:
    at, length = _at(draw, data, 4), draw(st.sampled_from(LENGTHS))
    form = draw(st.sampled_from((">I", "<I", ">H", "<H")))
    told = struct.pack(form, length & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
    data[at : at + len(told)] = told


def _cut(draw: st.DrawFn, data: bytearray) -> None:
    start = _at(draw, data)
    del data[start : start + draw(st.sampled_from((1, 2, 7, 100, 10**9)))]


def _insert(draw: st.DrawFn, data: bytearray) -> None:
    at = _at(draw, data)
    data[at:at] = draw(st.binary(min_size=1, max_size=12))


class Associations:
    """A listener with a real folder and database, which are empty again after each input."""

    inputs = dialogues()

    def open(self) -> None:
        """Start PostgreSQL and the listener."""
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._stack.callback(self._loop.close)
        self._url = self._stack.enter_context(
            fresh_database(self._stack.enter_context(running_postgres()))
        )
        self._folder = Path(tempfile.mkdtemp(prefix="os-fuzz-", dir="/dev/shm"))
        self._stack.callback(shutil.rmtree, self._folder)
        self._objects = FolderObjects(self._folder / "objects", reserve_bytes=0)
        self._wrong: list[dict[str, object]] = []
        self._loop.run_until_complete(self._start())
        self._stack.callback(lambda: self._loop.run_until_complete(self._stop()))

    def close(self) -> None:
        """Stop them."""
        self._stack.close()

    def feed(self, value: list[bytes]) -> str:
        """Acknowledged means indexed and readable; nothing else is left of a sender."""
        before = len(os.listdir("/proc/self/fd"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of UIDs that are none
            told = self._loop.run_until_complete(self._feed(value))
        assert len(os.listdir("/proc/self/fd")) <= before + 2, "a file was left open"
        return told

    async def _start(self) -> None:
        self._loop.set_exception_handler(lambda _, context: self._wrong.append(context))
        self._database = Database(self._url, size=4)
        await self._database.open()
        settings = Settings(home=self._folder)
        settings = replace(
            settings,
            dimse=replace(
                settings.dimse,
                open_tenant="fuzz",
                max_pdu_bytes=MAX_PDU_BYTES,
                request_seconds=1.0,
                idle_seconds=1.0,
                stall_seconds=1.0,
            ),
            api=replace(settings.api, max_instance_bytes=1_000_000),
        )
        self._server = DimseServer(settings, self._database, self._objects, Partners())
        await self._server.start()
        async with self._database.connection() as connection:
            await ensure_partition(connection, datetime.now(UTC).date())

    async def _stop(self) -> None:
        await self._server.drain()
        await self._database.close()

    async def _feed(self, chunks: list[bytes]) -> str:
        answer = await asyncio.wait_for(self._speak(chunks), ANSWER_SECONDS)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._server._all_ended()
        assert not self._wrong, self._wrong
        said = acknowledged(answer)
        with psycopg.connect(self._url, autocommit=True) as connection:
            rows = connection.execute(
                "SELECT object_key, object_offset, object_length, sop_instance_uid FROM instances"
            ).fetchall()
            for table in ("instances", "frames", "series", "studies", "arrivals"):
                connection.execute(f"DELETE FROM {table}")
        kept = {key for key, *_ in rows}
        assert said <= {uid for *_, uid in rows}, "what was acknowledged is not indexed"
        for key, offset, length, _ in rows:
            data = self._objects.read(key, offset, length)
            assert len(data) == length, "what is indexed is not there"
            assert data[128:132] == b"DICM"
        here = {key for key, _ in self._objects.list()}
        for key in here:
            self._objects.delete(key)
        assert here == kept, "a segment that nobody points at is left, or one is missing"
        assert not any((self._objects.root / "incoming").iterdir()), "a file was left"
        return f"{answer[:1].hex() or 'nothing'}, {len(rows)} kept"

    async def _speak(self, chunks: list[bytes]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
            return await reader.read(-1)
        except ConnectionError:
            return b""
        finally:
            writer.close()


def acknowledged(answer: bytes) -> set[str]:
    """Read from what the listener wrote the SOP Instance UIDs that it says it stored."""
    found, at = set(), 0
    while at + 6 <= len(answer):
        kind, length = struct.unpack_from(">BxI", answer, at)
        body = answer[at + 6 : at + 6 + length]
        at += 6 + length
        for value in values(body) if kind == P_DATA else ():
            command = decode_command(bytes(value.data))
            if command.get(0x0100) == STORE_RESPONSE and command.get(0x0900) == 0:
                found.add(str(command.get(0x1000)))
    return found


def _echo() -> list[bytes]:
    command = {0x0002: VERIFICATION, 0x0100: 0x30, 0x0110: 1, 0x0800: 0x0101}
    return list(fragments(3, encode_command(command), is_command=True, max_pdu_bytes=MAX_PDU_BYTES))


def _stores() -> list[bytes]:
    made = []
    for number, (uid, data) in enumerate(data_sets(2, size=16, seed="fuzz")):
        command = {
            0x0002: CT_IMAGE, 0x0100: 1, 0x0110: number + 2, 0x0700: 0, 0x0800: 1, 0x1000: uid,
        }  # fmt: skip
        made += fragments(1, encode_command(command), is_command=True, max_pdu_bytes=MAX_PDU_BYTES)
        made += fragments(1, data, is_command=False, max_pdu_bytes=MAX_PDU_BYTES)
    return made
