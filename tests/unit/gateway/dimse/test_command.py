"""Command sets as bytes, held to pynetdicom's own."""

from __future__ import annotations

import pytest
from pynetdicom.dimse_messages import C_STORE_RQ, C_STORE_RSP
from pynetdicom.dimse_primitives import C_STORE

from gateway.dimse.command import (
    AFFECTED_CLASS,
    AFFECTED_INSTANCE,
    ANSWERED_ID,
    COMMAND_FIELD,
    DATA_SET_TYPE,
    ERROR_COMMENT,
    MESSAGE_ID,
    NO_DATA_SET,
    STATUS,
    decode_command,
    encode_command,
    response,
)
from gateway.exceptions import DimseError
from tests.ct_files import CT_IMAGE


def encoded(message: C_STORE_RQ | C_STORE_RSP, primitive: C_STORE) -> bytes:
    """Let pynetdicom write a command set."""
    message.primitive_to_message(primitive)
    [first, *_] = message.encode_msg(1, 16382)
    return bytes(first.presentation_data_value_list[0][1][1:])


def test_a_request_of_pynetdicom_is_read() -> None:
    """Field, identifiers, class and instance."""
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = 7, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT_IMAGE, "1.2.3.4"
    found = decode_command(encoded(C_STORE_RQ(), primitive))
    assert found[COMMAND_FIELD] == 1
    assert found[MESSAGE_ID] == 7
    assert (found[AFFECTED_CLASS], found[AFFECTED_INSTANCE]) == (CT_IMAGE, "1.2.3.4")


def test_a_response_is_what_pynetdicom_writes() -> None:
    """Byte for byte, an odd comment and an odd UID padded as their VR asks."""
    request = {
        COMMAND_FIELD: 1,
        MESSAGE_ID: 9,
        DATA_SET_TYPE: 1,
        AFFECTED_CLASS: CT_IMAGE,
        AFFECTED_INSTANCE: "1.2.3.4.5.66",
    }
    made = response(request, 0xA700, "The storage is full.!")
    assert made[ANSWERED_ID] == 9
    primitive = C_STORE()
    primitive.MessageIDBeingRespondedTo, primitive.Status = 9, 0xA700
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = CT_IMAGE, "1.2.3.4.5.66"
    primitive.ErrorComment = "The storage is full.!"
    assert encode_command(made) == encoded(C_STORE_RSP(), primitive)
    assert decode_command(encode_command(made)) == made


def test_a_comment_is_cut_to_its_vr() -> None:
    """64 characters, ASCII."""
    made = response({COMMAND_FIELD: 1, MESSAGE_ID: 1}, STATUS, "ä" * 100)
    assert decode_command(encode_command(made))[ERROR_COMMENT] == "?" * 64
    assert made[DATA_SET_TYPE] == NO_DATA_SET


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        b"\0\0\0\1\xff\xff\xff\xff",
        b"\x08\0\x16\0\2\0\0\0ab",
        b"\0\0\0\1\4\0\0\0abcd",
    ],
)
def test_what_is_no_command_set(data: bytes) -> None:
    """Empty, cut off, another group, another length: one clear error."""
    with pytest.raises(DimseError):
        decode_command(data)
