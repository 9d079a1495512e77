"""DICOMweb: retrieval of studies, series and instances and their metadata (WADO-RS), PS3.18 10.4.

Files are streamed from the object store, so a study is never in memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS, PRINCIPAL
from gateway.api.media import ANY, DICOM, media_ranges, need_json, part_syntaxes
from gateway.api.multipart_answer import MultipartAnswer, break_off
from gateway.api.service_url import ROOT, service_url
from gateway.api.slots import SLOTS
from gateway.exceptions import NotAcceptableError, NotFoundError, PixelDataError
from gateway.intake.dicom_json import JSON
from gateway.intake.header import is_uid
from gateway.store.locate import StoredFile, stored_files
from gateway.study.metadata import metadata
from gateway.study.retrieve import explicit_file
from gateway.study.transcode import EXPLICIT_LITTLE, can_transcode

CHUNK_BYTES = 1024**2
"""Read and sent at once."""

MAX_TRANSCODED_BYTES = 256 * 1024**2
"""Of a stored file that is rewritten, which happens in memory; larger ones are given as stored."""

METADATA_AT_ONCE = 16
"""Headers that are read in one turn of a thread."""

STUDY = f"{ROOT}/studies/{{study}}"
SERIES = f"{STUDY}/series/{{series}}"
INSTANCE = f"{SERIES}/instances/{{instance}}"

routes = web.RouteTableDef()


@routes.get(STUDY, allow_head=False)
@routes.get(SERIES, allow_head=False)
@routes.get(INSTANCE, allow_head=False)
async def retrieve(request: web.Request) -> web.StreamResponse:
    """Give Part 10 files: as they came, byte by byte, or in Explicit VR Little Endian."""
    wanted = part_syntaxes(media_ranges(request), DICOM, EXPLICIT_LITTLE)
    files = await files_of(request)
    as_stored = [_is_given_as_stored(file, wanted) for file in files]
    if not all(as_stored):
        request.app[SLOTS].admit()
    answer = MultipartAnswer(request, DICOM)
    if all(as_stored):
        answer.response.content_length = _length(answer, files, service_url(request))
    async with answer:
        for file, stored in zip(files, as_stored, strict=True):
            await _send(request, answer, file, stored)
    return answer.response


@routes.get(f"{STUDY}/metadata", allow_head=False)
@routes.get(f"{SERIES}/metadata", allow_head=False)
@routes.get(f"{INSTANCE}/metadata", allow_head=False)
async def retrieve_metadata(request: web.Request) -> web.StreamResponse:
    """Give headers as DICOM JSON, bulk data by address."""
    need_json(request)
    files = await files_of(request)
    slots = request.app[SLOTS]
    slots.admit()
    url, objects = service_url(request), request.app[OBJECTS]

    def read(some: Sequence[StoredFile]) -> bytes:
        told = [metadata(objects, file, url=instance_url(url, file)) for file in some]
        return json.dumps(told)[1:-1].encode()

    response = web.StreamResponse(headers={"Content-Type": JSON})
    for first in range(0, len(files), METADATA_AT_ONCE):
        try:
            some = await slots.run(read, files[first : first + METADATA_AT_ONCE])
        except Exception as error:
            if first:
                break_off(request, error)
            raise
        if not first:
            await response.prepare(request)
        await response.write((b"[" if not first else b",") + some)
    await response.write(b"]")
    await response.write_eof()
    return response


async def files_of(request: web.Request) -> list[StoredFile]:
    """Find the files that the address names, in the tenant of the request.

    Raises
    ------
    NotFoundError
        When there are none.
    """
    named = request.match_info
    if not all(is_uid(named[name]) for name in ("study", "series", "instance") if name in named):
        raise NotFoundError("The address names no UID.")
    async with request.app[DATABASE].connection() as connection:
        files = await stored_files(
            connection,
            request[PRINCIPAL].tenant,
            named["study"],
            series_instance_uid=named.get("series", ""),
            sop_instance_uid=named.get("instance", ""),
        )
    if not files:
        raise NotFoundError("There is no such study, series or instance here.")
    return files


def instance_url(url: str, file: StoredFile) -> str:
    """Give the address of an instance."""
    return (
        f"{url}/studies/{file.study_instance_uid}/series/{file.series_instance_uid}"
        f"/instances/{file.sop_instance_uid}"
    )


def _is_given_as_stored(file: StoredFile, wanted: Sequence[str]) -> bool:
    """Choose the form of a file; refuse one that cannot be given in any that is taken."""
    for syntax in wanted:
        if syntax in (ANY, file.transfer_syntax_uid):
            return True
        if (
            syntax == EXPLICIT_LITTLE
            and can_transcode(file.transfer_syntax_uid)
            and file.object_length <= MAX_TRANSCODED_BYTES
        ):
            return False
    raise NotAcceptableError(
        f"An instance is stored in transfer syntax {file.transfer_syntax_uid} and cannot be given"
        " in the one that is asked for; ask for transfer-syntax=*."
    )


def _content_type(file: StoredFile, stored: bool) -> str:
    syntax = file.transfer_syntax_uid if stored else EXPLICIT_LITTLE
    return f"{DICOM}; transfer-syntax={syntax}"


def _length(answer: MultipartAnswer, files: Sequence[StoredFile], url: str) -> int:
    """Count the bytes of an answer, so that a client can tell that it has all."""
    total = answer.tail_bytes
    for number, file in enumerate(files):
        head = answer.head(_content_type(file, True), instance_url(url, file), first=number == 0)
        total += len(head) + file.object_length
    return total


async def _send(
    request: web.Request, answer: MultipartAnswer, file: StoredFile, stored: bool
) -> None:
    """Send one file; its first bytes are read before its head is sent."""
    objects = request.app[OBJECTS]
    location = instance_url(service_url(request), file)
    if not stored:
        data = await request.app[SLOTS].run(explicit_file, objects, file)
        await answer.part(_content_type(file, stored), location)
        await answer.write(data)
        return
    for offset in range(0, file.object_length, CHUNK_BYTES):
        length = min(CHUNK_BYTES, file.object_length - offset)
        data = await asyncio.to_thread(
            objects.read, file.object_key, file.object_offset + offset, length
        )
        if len(data) != length:
            raise PixelDataError("The stored object ends before the instance does.")
        if not offset:
            await answer.part(_content_type(file, stored), location)
        await answer.write(data)
