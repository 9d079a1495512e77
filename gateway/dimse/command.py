"""DIMSE command sets: group 0000 in implicit VR little endian (PS3.7, 6.3.1 and annex E)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from gateway.exceptions import DimseError

Command = dict[int, int | str]
"""Element number of group 0000 → value; what is not in `TEXTS` or `SHORTS` is left out."""

AFFECTED_CLASS: Final = 0x0002
REQUESTED_CLASS: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
ANSWERED_ID: Final = 0x0120
DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
ERROR_COMMENT: Final = 0x0902
AFFECTED_INSTANCE: Final = 0x1000
REQUESTED_INSTANCE: Final = 0x1001
EVENT_TYPE: Final = 0x1002
ACTION_TYPE: Final = 0x1008

TEXTS = frozenset(
    (AFFECTED_CLASS, REQUESTED_CLASS, ERROR_COMMENT, AFFECTED_INSTANCE, REQUESTED_INSTANCE)
)
SHORTS = frozenset(
    (COMMAND_FIELD, MESSAGE_ID, ANSWERED_ID, DATA_SET_TYPE, STATUS, EVENT_TYPE, ACTION_TYPE)
)

C_STORE_RQ: Final = 0x0001
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
N_EVENT_REPORT_RQ: Final = 0x0100
N_ACTION_RQ: Final = 0x0130
RESPONSE: Final = 0x8000
"""Bit of a command field that makes it a response."""

NO_DATA_SET: Final = 0x0101
"""Of (0000,0800); anything else announces one."""

MAX_COMMENT = 64
"""Characters of a LO."""

_HEADER = struct.Struct("<HHI")
_SHORT = struct.Struct("<H")


def decode_command(data: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    DimseError
        When it is cut off, of another group, or has no command field.
    """
    found: Command = {}
    position = 0
    while position < len(data):
        if position + 8 > len(data):
            raise DimseError("The command set is cut off.")
        group, element, length = _HEADER.unpack_from(data, position)
        position += 8
        value = data[position : position + length]
        position += length
        if group or len(value) < length:
            raise DimseError("The command set is cut off or of another group.")
        if element in TEXTS:
            found[element] = value.decode("ascii", "replace").strip(" \0")
        elif element in SHORTS:
            if length != 2:
                raise DimseError(f"The command's element (0000,{element:04X}) has {length} bytes.")
            (found[element],) = _SHORT.unpack(value)
    if COMMAND_FIELD not in found:
        raise DimseError("The command set has no command field.")
    return found


def encode_command(command: Mapping[int, int | str]) -> bytes:
    """Write a command set with its group length."""
    parts = []
    for element in sorted(command):
        value = command[element]
        if isinstance(value, int):
            raw = _SHORT.pack(value)
        else:
            raw = value.encode("ascii", "replace")
            raw += b"" if len(raw) % 2 == 0 else b" " if element == ERROR_COMMENT else b"\0"
        parts.append(_HEADER.pack(0, element, len(raw)) + raw)
    body = b"".join(parts)
    return _HEADER.pack(0, 0, 4) + struct.pack("<I", len(body)) + body


def response(request: Mapping[int, int | str], status: int, comment: str = "") -> Command:
    """Make the response to a request, without a data set.

    Parameters
    ----------
    request : mapping
        The request's command set.
    status : int
        (0000,0900).
    comment : str
        (0000,0902), cut to its 64 characters.
    """
    field = request[COMMAND_FIELD]
    assert isinstance(field, int)
    made: Command = {
        COMMAND_FIELD: field | RESPONSE,
        ANSWERED_ID: request.get(MESSAGE_ID, 0),
        DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
    }
    for asked, answered in (
        (AFFECTED_CLASS, AFFECTED_CLASS),
        (AFFECTED_INSTANCE, AFFECTED_INSTANCE),
        (REQUESTED_CLASS, AFFECTED_CLASS),
        (REQUESTED_INSTANCE, AFFECTED_INSTANCE),
    ):
        if asked in request:
            made[answered] = request[asked]
    if ACTION_TYPE in request:
        made[ACTION_TYPE] = request[ACTION_TYPE]
    if comment:
        made[ERROR_COMMENT] = comment[:MAX_COMMENT]
    return made
