"""Open a Part 10 file: preamble, file meta, coding, and a window that holds the whole header."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from gateway.exceptions import (
    InstanceTooLargeError,
    InvalidHeaderError,
    NotDicomError,
    TruncatedInstanceError,
)
from gateway.intake.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Coding,
    IncompleteError,
    Scan,
    scan,
)
from gateway.intake.source import BytesSource, Source

HEAD_BYTES = 64 * 1024
"""Read at first; the header of a single CT slice has 2-40 kB."""

GROWTH = 16
"""A longer header is tried again with so much more."""

MAX_HEADER_BYTES = 64 * 1024**2
"""Enhanced CT of 4,000 frames has some 10 MB before its pixel data."""

INFLATE_BYTES = 1024**2
"""Inflated at a time."""

MAX_INFLATE_RATIO = 200
"""Inflated ÷ deflated; CT slices deflate by 2-4, blank ones by far less than 200."""

MAX_INFLATED_BYTES = 2 * 1024**3
"""The largest instance that is taken at all."""

IMPLICIT_SYNTAX, EXPLICIT_SYNTAX = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED_SYNTAX, BIG_ENDIAN_SYNTAX = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
MEDIA_STORAGE_CLASS, MEDIA_STORAGE_INSTANCE, TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010


@dataclass(frozen=True, slots=True)
class OpenDataset:
    """A dataset whose header was walked over."""

    source: Source
    """What the positions in `found` refer to; for a deflated file, its inflated dataset."""

    window: bytes
    """From the source's start, at least to the pixel data."""

    found: Scan
    coding: Coding
    transfer_syntax_uid: str
    deflated: bool


def open_dataset(source: Source, wanted: frozenset[int]) -> OpenDataset:
    """Walk over a file's header.

    Raises
    ------
    NotDicomError
        Without preamble and ``DICM``.
    TruncatedInstanceError
        When the file ends before its header does.
    InvalidHeaderError
        When the header is longer than `MAX_HEADER_BYTES` or makes no sense.
    InstanceTooLargeError
        When a deflated dataset inflates beyond the limits.
    """
    window = source.read_at(0, HEAD_BYTES)
    if window[128:132] != b"DICM":
        raise NotDicomError
    start, meta = _file_meta(window)
    syntax = meta.get(TRANSFER_SYNTAX, "")
    if syntax == DEFLATED_SYNTAX:
        inflated = _inflate(source, start)
        return _open(inflated, 0, syntax, EXPLICIT_LITTLE, wanted)
    coding = _coding_of(window, start, syntax)
    if not syntax:  # left out by the writer; what the bytes look like is what it is
        syntax = IMPLICIT_SYNTAX if coding.implicit else EXPLICIT_SYNTAX
    return _open(source, start, syntax, coding, wanted)


def media_storage_uids(window: bytes) -> tuple[str, str]:
    """Give SOP Class and SOP Instance UID by the file meta, empty where they are not there.

    Only to name an instance that is refused: senders err in them more often than in the dataset.
    """
    if window[128:132] != b"DICM":
        return "", ""
    try:
        _, values = _file_meta(window)
    except (InvalidHeaderError, struct.error):
        return "", ""
    return values.get(MEDIA_STORAGE_CLASS, ""), values.get(MEDIA_STORAGE_INSTANCE, "")


def _open(
    source: Source, start: int, syntax: str, coding: Coding, wanted: frozenset[int]
) -> OpenDataset:
    size = HEAD_BYTES
    while True:
        window = source.read_at(0, size)
        try:
            found = scan(window, start, len(window), coding, wanted)
        except IncompleteError:
            if len(window) >= source.size:
                raise TruncatedInstanceError("The file ends before its header does.") from None
        else:
            if found.pixels is not None or len(window) >= source.size:
                break
        if size >= MAX_HEADER_BYTES:
            raise InvalidHeaderError(f"The header is longer than {MAX_HEADER_BYTES} bytes.")
        size = min(size * GROWTH, MAX_HEADER_BYTES)
    return OpenDataset(source, window, found, coding, syntax, syntax == DEFLATED_SYNTAX)


def _file_meta(window: bytes) -> tuple[int, dict[int, str]]:
    """Give where the dataset begins, and the UIDs of the file meta by element number."""
    position = 132
    values: dict[int, str] = {}
    header, longer = EXPLICIT_LITTLE.explicit_header, EXPLICIT_LITTLE.length
    while position + 12 <= len(window):
        group, number, vr, length = header.unpack_from(window, position)
        if group != 2:
            break
        value = position + 8
        if vr in (b"OB", b"UN", b"UT"):
            value = position + 12
            (length,) = longer.unpack_from(window, position + 8)
        if vr == b"UI":
            values[number] = window[value : value + length].decode("latin_1").strip(" \0")
        position = value + length
    if position > len(window):
        raise InvalidHeaderError("The file meta information is longer than a header may be.")
    return position, values


def _coding_of(window: bytes, start: int, syntax: str) -> Coding:
    """Tell the coding; the first element's looks overrule a transfer syntax that is wrong."""
    if syntax == BIG_ENDIAN_SYNTAX:
        return EXPLICIT_BIG
    vr = window[start + 4 : start + 6]
    explicit = vr.isalpha() and vr.isupper()
    return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE


class _Inflated(BytesSource):
    """Head of an inflated dataset; `size` is that of the whole, which was never in memory."""

    def __init__(self, head: bytes, size: int) -> None:
        super().__init__(head)
        self.size = size


def _inflate(source: Source, start: int) -> Source:
    """Inflate a deflated dataset, keep what may be header, count the rest."""
    limit = min(
        MAX_INFLATED_BYTES, max(MAX_HEADER_BYTES, MAX_INFLATE_RATIO * (source.size - start))
    )
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    head = bytearray()
    size = 0
    position = start
    while not inflater.eof:
        packed = inflater.unconsumed_tail
        if not packed:
            packed = source.read_at(position, INFLATE_BYTES)
            position += len(packed)
            if not packed:
                raise TruncatedInstanceError
        try:
            part = inflater.decompress(packed, INFLATE_BYTES)
        except zlib.error:
            raise InvalidHeaderError("The deflated dataset does not inflate.") from None
        size += len(part)
        if len(head) < MAX_HEADER_BYTES:
            head += part
        if size > limit:
            raise InstanceTooLargeError(f"The dataset inflates to more than {limit} bytes.")
    return _Inflated(bytes(head), size)
