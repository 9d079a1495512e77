"""DICOMweb: frames, bulk data and rendered pictures of an instance (WADO-RS), PS3.18 10.4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS, PRINCIPAL
from gateway.api.media import ANY, OCTETS, MediaRange, choose, media_ranges, part_syntaxes
from gateway.api.multipart_answer import MultipartAnswer
from gateway.api.service_url import service_url
from gateway.api.slots import SLOTS
from gateway.api.wado import INSTANCE, files_of, instance_url
from gateway.exceptions import NotAcceptableError, NotFoundError
from gateway.instance import Frame, Instance
from gateway.intake.rendered import frame_numbers, read_rendering
from gateway.store.index import one_instance
from gateway.store.locate import StoredFile
from gateway.study.metadata import PIXEL_DATA, bulk_value, read_dataset_header
from gateway.study.render import JPEG, PNG, Viewport, Window
from gateway.study.retrieve import native_frame, picture, stored_frame
from gateway.study.transcode import EXPLICIT_LITTLE, can_transcode

CODED_TYPES = {
    "1.2.840.10008.1.2.4.50": ("image/jpeg", False),
    "1.2.840.10008.1.2.4.51": ("image/jpeg", False),
    "1.2.840.10008.1.2.4.57": ("image/jpeg", False),
    "1.2.840.10008.1.2.4.70": ("image/jpeg", True),
    "1.2.840.10008.1.2.4.80": ("image/jls", True),
    "1.2.840.10008.1.2.4.81": ("image/jls", False),
    "1.2.840.10008.1.2.4.90": ("image/jp2", True),
    "1.2.840.10008.1.2.4.91": ("image/jp2", False),
    "1.2.840.10008.1.2.4.201": ("image/jphc", True),
    "1.2.840.10008.1.2.4.202": ("image/jphc", False),
    "1.2.840.10008.1.2.4.203": ("image/jphc", False),
    "1.2.840.10008.1.2.5": ("image/dicom-rle", True),
}
"""Transfer syntax → media type of its frames, and whether it is the type's default
(PS3.18 table 8.7.3-5)."""

UNCODED = (
    EXPLICIT_LITTLE,
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
)
"""Transfer syntaxes whose frames are the same bytes."""

routes = web.RouteTableDef()


class _Form(NamedTuple):
    """In which form frames are given."""

    part_type: str
    content_type: str
    stored: bool


@routes.get(f"{INSTANCE}/frames/{{frames}}", allow_head=False)
async def retrieve_frames(request: web.Request) -> web.StreamResponse:
    """Give frames as they are stored or as uncompressed little-endian values."""
    file, instance = await _instance_of(request)
    frames = _frames_of(request, instance)
    form = _form_of(media_ranges(request), frames[0].transfer_syntax_uid)
    location = f"{instance_url(service_url(request), file)}/frames/"
    return await _send_frames(request, file, frames, form, location)


@routes.get(f"{INSTANCE}/bulkdata/{{path}}", allow_head=False)
async def retrieve_bulk_data(request: web.Request) -> web.StreamResponse:
    """Give one binary value of the header, or all pixels uncompressed."""
    ranges = media_ranges(request)
    path = request.match_info["path"].upper()
    location = f"{instance_url(service_url(request), (await files_of(request))[0])}/bulkdata/{path}"
    if path == PIXEL_DATA:
        file, instance = await _instance_of(request)
        if not instance.frames:
            raise NotFoundError("There is no bulk data of that name.")
        form = _form_of(ranges, instance.frames[0].transfer_syntax_uid)
        if not form.stored or form.part_type == OCTETS:
            return await _send_pixels(request, file, instance, form, location)
        return await _send_frames(request, file, instance.frames, form, location + "#")
    part_syntaxes(ranges, OCTETS, EXPLICIT_LITTLE)
    [file] = await files_of(request)
    objects, slots = request.app[OBJECTS], request.app[SLOTS]
    slots.admit()
    data = await slots.run(lambda: bulk_value(read_dataset_header(objects, file)[0], path))
    async with MultipartAnswer(request, OCTETS) as answer:
        await answer.part(OCTETS, location)
        await answer.write(data)
    return answer.response


@routes.get(f"{INSTANCE}/rendered")
@routes.get(f"{INSTANCE}/frames/{{frames}}/rendered")
async def retrieve_rendered(request: web.Request) -> web.Response:
    """Give one frame as JPEG or PNG; of several, the first where none is named."""
    media_type = choose(media_ranges(request), (JPEG, PNG))
    asked = read_rendering(request.query.items())
    file, instance = await _instance_of(request)
    frames = _frames_of(request, instance)
    if len(frames) > 1 and "frames" in request.match_info:
        raise NotAcceptableError("One frame is rendered at a time.")
    slots = request.app[SLOTS]
    slots.admit()
    data = await slots.run(
        picture,
        request.app[OBJECTS],
        file,
        frames[0],
        media_type=media_type,
        window=Window(*asked.window) if asked.window else None,
        viewport=Viewport(*asked.viewport, asked.part) if asked.viewport else None,
        quality=asked.quality,
    )
    return web.Response(body=data, content_type=media_type)


async def _instance_of(request: web.Request) -> tuple[StoredFile, Instance]:
    [file] = await files_of(request)
    async with request.app[DATABASE].connection() as connection:
        instance = await one_instance(
            connection,
            request[PRINCIPAL].tenant,
            file.study_instance_uid,
            file.sop_instance_uid,
        )
    if instance is None:  # dropped in between
        raise NotFoundError("There is no such instance here.")
    return file, instance


def _frames_of(request: web.Request, instance: Instance) -> list[Frame]:
    if not instance.frames:
        raise NotFoundError("This instance has no frames.")
    text = request.match_info.get("frames", "1")
    try:
        numbers = frame_numbers(text, len(instance.frames))
    except IndexError:
        raise NotFoundError(f"This instance has {len(instance.frames)} frames.") from None
    return [instance.frames[number - 1] for number in numbers]


def _form_of(ranges: Sequence[MediaRange], stored: str) -> _Form:
    """Choose the best form that the request takes and that can be made."""
    coded_type, is_default = CODED_TYPES.get(stored, (OCTETS, False))
    as_stored = f"{OCTETS}; transfer-syntax={stored}"
    for one in ranges:
        if not one.multipart and one.kind not in ("*/*", "multipart/*"):
            continue
        kind = one if one.multipart else MediaRange("*/*", True, "", one.quality)
        syntax = kind.transfer_syntax_uid
        if kind.takes(OCTETS):
            if syntax == stored or (syntax == ANY and kind.kind != "*/*"):
                return _Form(OCTETS, as_stored, True)
            if syntax in ("", EXPLICIT_LITTLE) and can_transcode(stored):
                plain = f"{OCTETS}; transfer-syntax={EXPLICIT_LITTLE}"
                return _Form(OCTETS, plain, stored in UNCODED)
        if kind.takes(coded_type) and (
            syntax in (ANY, stored) or (syntax == "" and (is_default or kind.kind == "*/*"))
        ):
            return _Form(coded_type, f"{coded_type}; transfer-syntax={stored}", True)
    raise NotAcceptableError(
        f"Frames are stored in transfer syntax {stored}; they are given as {coded_type}"
        f" with transfer-syntax={stored}, or decoded as {OCTETS}."
    )


async def _send_frames(
    request: web.Request,
    file: StoredFile,
    frames: Sequence[Frame],
    form: _Form,
    location: str,
) -> web.StreamResponse:
    slots, objects = request.app[SLOTS], request.app[OBJECTS]
    slots.admit()
    async with MultipartAnswer(request, form.part_type) as answer:
        for frame in frames:
            read = stored_frame if form.stored else native_frame
            data = await slots.run(read, objects, file, frame)
            await answer.part(form.content_type, f"{location}{frame.frame_number}")
            await answer.write(data)
    return answer.response


async def _send_pixels(
    request: web.Request, file: StoredFile, instance: Instance, form: _Form, location: str
) -> web.StreamResponse:
    """Send all frames as one value, one after another."""
    slots, objects = request.app[SLOTS], request.app[OBJECTS]
    slots.admit()
    async with MultipartAnswer(request, form.part_type) as answer:
        for frame in instance.frames:
            read = stored_frame if form.stored else native_frame
            data = await slots.run(read, objects, file, frame)
            if frame.frame_number == 1:
                await answer.part(form.content_type, location)
            await answer.write(data)
    return answer.response
