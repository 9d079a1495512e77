"""PDUs of the upper layer on a stream: framing, presentation data values, aborts (PS3.8, 9.3)."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.exceptions import PduError

ASSOCIATE_RQ: Final = 1
ASSOCIATE_AC: Final = 2
ASSOCIATE_RJ: Final = 3
P_DATA: Final = 4
RELEASE_RQ: Final = 5
RELEASE_RP: Final = 6
ABORT: Final = 7

MAX_ASSOCIATE_BYTES = 256 * 1024
"""128 presentation contexts of 40 transfer syntaxes each have some 180 kB."""

SMALL_BYTES = 4
"""Body of a release or an abort."""

RELEASED = struct.pack(">BBII", RELEASE_RP, 0, 4, 0)

UNRECOGNISED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
INVALID_PARAMETER: Final = 6
NOT_SPECIFIED: Final = 0
"""Reasons of an abort by the service provider."""

_HEAD = struct.Struct(">BBI")
_ITEM = struct.Struct(">IBB")

HEAD_BYTES = _HEAD.size


class Value(NamedTuple):
    """One presentation data value."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


def abort(reason: int, *, by_user: bool = False) -> bytes:
    """Write an A-ABORT; one of the service user has no reason."""
    return struct.pack(">BBIBBBB", ABORT, 0, 4, 0, 0, 0 if by_user else 2, reason)


def reject(result: int, source: int, reason: int) -> bytes:
    """Write an A-ASSOCIATE-RJ."""
    return struct.pack(">BBIBBBB", ASSOCIATE_RJ, 0, 4, 0, result, source, reason)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, int] | None:
    """Read type and length of a PDU; None at the end of the stream.

    Raises
    ------
    PduError
        When the type is none of the seven, or the stream ends within.
    """
    try:
        kind, _, length = _HEAD.unpack(await reader.readexactly(HEAD_BYTES))
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise PduError("The connection ended within a PDU.") from None
    if not ASSOCIATE_RQ <= kind <= ABORT:
        raise PduError(f"A PDU of type {kind:#04x} is unknown.", UNRECOGNISED_PDU)
    return kind, length


async def read_body(
    reader: asyncio.StreamReader, kind: int, length: int, max_pdu_bytes: int
) -> bytes:
    """Read the rest of a PDU.

    Raises
    ------
    PduError
        When it is longer than was agreed, or the stream ends within.
    """
    limits = {P_DATA: max_pdu_bytes, ASSOCIATE_RQ: MAX_ASSOCIATE_BYTES}
    if length > limits.get(kind, SMALL_BYTES):
        raise PduError(f"A PDU of {length} bytes is longer than agreed.", INVALID_PARAMETER)
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise PduError("The connection ended within a PDU.") from None


def values(body: bytes) -> Iterator[Value]:
    """Give the presentation data values of a P-DATA-TF.

    Raises
    ------
    PduError
        When lengths contradict each other.
    """
    view = memoryview(body)
    position = 0
    while position < len(view):
        if position + _ITEM.size > len(view):
            raise PduError("A presentation data value is cut off.", INVALID_PARAMETER)
        length, context_id, control = _ITEM.unpack_from(view, position)
        end = position + 4 + length
        if length < 2 or end > len(view):
            raise PduError("A presentation data value is cut off.", INVALID_PARAMETER)
        data = view[position + _ITEM.size : end]
        yield Value(context_id, bool(control & 1), bool(control & 2), data)
        position = end


def fragments(
    context_id: int, data: bytes, *, is_command: bool, max_pdu_bytes: int
) -> Iterator[bytes]:
    """Cut a message into P-DATA-TF PDUs of one value each.

    Parameters
    ----------
    max_pdu_bytes : int
        What the peer takes; 0 is without limit.
    """
    size = max(2, (max_pdu_bytes or len(data) + _ITEM.size) - _ITEM.size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        control = is_command | 2 * (start + size >= len(data))
        yield (
            _HEAD.pack(P_DATA, 0, len(part) + _ITEM.size)
            + _ITEM.pack(len(part) + 2, context_id, control)
            + part
        )
