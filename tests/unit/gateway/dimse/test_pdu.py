"""Presentation data values, cut and put together."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ, P_DATA_TF

from gateway.dimse import pdu
from gateway.exceptions import PduError


@given(st.binary(min_size=1, max_size=5000), st.integers(0, 2000), st.booleans())
def test_fragments_join_to_what_was_cut(data: bytes, size: int, is_command: bool) -> None:
    """Of any length, under any limit, and pynetdicom reads them so too."""
    limit = size if size == 0 or size > 7 else 8
    made = list(pdu.fragments(3, data, is_command=is_command, max_pdu_bytes=limit))
    joined = b""
    for number, part in enumerate(made, 1):
        assert not limit or len(part) - 6 <= max(limit, 8)
        [value] = pdu.values(part[6:])
        assert value.context_id == 3
        assert value.is_command == is_command
        assert value.is_last == (number == len(made))
        joined += value.data
        theirs = P_DATA_TF()
        theirs.decode(part)
        [item] = theirs.presentation_data_value_items
        assert item.presentation_data_value[1:] == bytes(value.data)
    assert joined == data


def test_several_values_in_one_pdu() -> None:
    """A command and its data set may share a PDU."""
    body = struct.pack(">IBB", 4, 1, 3) + b"ab" + struct.pack(">IBB", 3, 1, 2) + b"c"
    assert [bytes(value.data) for value in pdu.values(body)] == [b"ab", b"c"]


@pytest.mark.parametrize("body", [b"\0", b"\0\0\0\1\1\1", b"\0\0\0\x63\1\1a", b"\xff" * 6])
def test_lengths_that_lie(body: bytes) -> None:
    """No length is believed beyond the PDU."""
    with pytest.raises(PduError) as caught:
        list(pdu.values(body))
    assert caught.value.reason == pdu.INVALID_PARAMETER


def test_aborts_and_rejections_are_as_pynetdicom_reads_them() -> None:
    """Source, reason, result."""
    theirs = A_ABORT_RQ()
    theirs.decode(pdu.abort(pdu.UNEXPECTED_PDU))
    assert (theirs.source, theirs.reason_diagnostic) == (2, 2)
    theirs.decode(pdu.abort(0, by_user=True))
    assert theirs.source == 0
    rejected = A_ASSOCIATE_RJ()
    rejected.decode(pdu.reject(2, 3, 2))
    assert (rejected.result, rejected.source, rejected.reason_diagnostic) == (2, 3, 2)


async def test_a_stream_that_ends_within_a_pdu() -> None:
    """The end between PDUs is an end; within one it is an error."""
    reader = asyncio.StreamReader()
    reader.feed_data(b"\4\0\0\0\0\x0aabc")
    reader.feed_eof()
    head = await pdu.read_head(reader)
    assert head == (4, 10)
    with pytest.raises(PduError):
        await pdu.read_body(reader, *head, 100)
    assert await pdu.read_head(reader) is None
