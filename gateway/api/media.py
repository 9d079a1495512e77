"""Which form of an answer a request takes: Accept, its multipart types and transfer syntaxes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message

from aiohttp import web

from gateway.exceptions import NotAcceptableError
from gateway.intake.dicom_json import JSON

MULTIPART = "multipart/related"
DICOM, OCTETS = "application/dicom", "application/octet-stream"
ANY = "*"
"""A transfer syntax: whichever it is stored in."""

_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
"""Outside of quotes."""

MAX_ACCEPT_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One alternative of an Accept header."""

    kind: str
    """Of the answer, or of its parts when `multipart`; may end in ``*``."""

    multipart: bool
    transfer_syntax_uid: str
    """Empty where none is named: the default of the media type."""

    quality: float

    fhir_version: str = ""
    """FHIR's parameter of its media types; empty where none is named."""

    def takes(self, media_type: str) -> bool:
        """Tell whether a media type is one of the range."""
        if self.kind.endswith("/*"):
            return self.kind == "*/*" or media_type.startswith(self.kind[:-1])
        return self.kind == media_type


def media_ranges(request: web.Request) -> list[MediaRange]:
    """Read the alternatives, best first; everything where the request names none.

    The query parameter ``accept`` goes before the header (PS3.18 8.3.3.1).
    """
    text = request.query.get("accept") or ",".join(request.headers.getall("Accept", []))
    if len(text) > MAX_ACCEPT_CHARACTERS:
        raise NotAcceptableError("The Accept header is too long.")
    ranges = [_range(item) for item in _COMMA.split(text) if item.strip()]
    if not ranges:
        return [MediaRange("*/*", False, "", 1.0)]
    return sorted((r for r in ranges if r.quality > 0), key=lambda r: -r.quality)


def need_json(request: web.Request) -> None:
    """Refuse a request that does not take DICOM JSON."""
    if not any(
        not one.multipart and (one.takes(JSON) or one.takes("application/json"))
        for one in media_ranges(request)
    ):
        raise NotAcceptableError(f"The answer is given as {JSON} only.")


def part_syntaxes(ranges: Iterable[MediaRange], media_type: str, default: str) -> list[str]:
    """List the transfer syntaxes in which parts of a media type are taken, best first.

    A range that names none means the default; one that leaves everything open takes any after
    that.

    Raises
    ------
    NotAcceptableError
        When such parts are not taken at all.
    """
    found: list[str] = []
    for one in ranges:
        if one.multipart and one.takes(media_type):
            found.append(one.transfer_syntax_uid or default)
        elif not one.multipart and one.kind in ("*/*", "multipart/*"):
            found += [default, ANY]
    if not found:
        raise NotAcceptableError(f'The answer is given as {MULTIPART}; type="{media_type}" only.')
    return list(dict.fromkeys(found))


def choose(ranges: Iterable[MediaRange], media_types: Mapping[str, str] | Iterable[str]) -> str:
    """Choose the media type of an answer that has no parts; the first where all are taken."""
    types = list(media_types)
    for one in ranges:
        for media_type in types:
            if not one.multipart and one.takes(media_type):
                return media_type
    raise NotAcceptableError(f"The answer is given as {' or '.join(types)} only.")


def _range(item: str) -> MediaRange:
    message = Message()
    message["Content-Type"] = item.strip()
    parameters = {
        name.lower(): value
        for name, value in message.get_params(failobj=[])[1:]
        if isinstance(value, str)
    }
    kind = item.partition(";")[0].strip().lower()
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 1.0
    multipart = kind == MULTIPART
    if multipart:
        kind = parameters.get("type", "*/*").strip().lower()
    return MediaRange(
        kind,
        multipart,
        parameters.get("transfer-syntax", "").strip(),
        quality,
        parameters.get("fhirversion", "").strip(),
    )
