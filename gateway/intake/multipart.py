"""Parse a multipart body as it streams in, without copying its parts.

Of our own because the web framework's reader takes every part through several buffers and so
halves the rate at which a study comes in. RFC 2046, 5.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from enum import Enum, auto

from gateway.exceptions import InvalidMultipartError, UnsupportedMediaTypeError

MAX_BOUNDARY_CHARACTERS = 200
"""RFC 2046 allows 70; some senders exceed it."""

MAX_HEADER_BYTES = 8 * 1024
"""All headers of one part; DICOMweb clients send under 200 bytes."""

MAX_LINE_BYTES = 1024
"""Padding after a boundary."""

MAX_PREAMBLE_BYTES = 64 * 1024
"""Before the first boundary; meant for people, so nobody sends much."""


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins."""

    headers: dict[str, str]
    """Lower-case name → value."""


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part; a view of the chunk that was fed."""

    data: memoryview


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    BODY_START = auto()
    BODY = auto()
    EPILOGUE = auto()


def boundary_of(content_type: str, *, part_type: str) -> bytes:
    """Read the boundary of a ``multipart/related`` content type.

    Raises
    ------
    UnsupportedMediaTypeError
        When it is another type, or announces parts of another type than `part_type`.
    InvalidMultipartError
        When it has no usable boundary.
    """
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/related":
        raise UnsupportedMediaTypeError(
            f'Content-Type must be multipart/related; type="{part_type}".'
        )
    kind = message.get_param("type", failobj=part_type)
    if not isinstance(kind, str) or kind.strip().lower() != part_type:
        raise UnsupportedMediaTypeError(f"Only parts of type {part_type} are taken.")
    boundary = message.get_param("boundary", failobj="")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= MAX_BOUNDARY_CHARACTERS:
        raise InvalidMultipartError("Content-Type names no usable boundary.")
    if not boundary.isascii() or not boundary.isprintable():
        raise InvalidMultipartError("The boundary has characters that a boundary may not have.")
    return boundary.encode("ascii")


class MultipartParser:
    """Takes chunks of a body, gives what they complete.

    Parameters
    ----------
    boundary : bytes
        Without the leading hyphens.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._state = _State.PREAMBLE
        self._skipped = 0
        # The first boundary stands at the very beginning, without a line break of its own.
        self._rest = b"\r\n"

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Parse a chunk; run the iterator to its end before the next one.

        Raises
        ------
        InvalidMultipartError
            When the body breaks the form.
        """
        if self._rest:
            chunk = self._rest + chunk
            self._rest = b""
        view = memoryview(chunk)
        position = 0
        while position < len(chunk):
            if self._state is _State.EPILOGUE:
                return
            if self._state is _State.HEADERS:
                if chunk.startswith(b"--", position):
                    self._state = _State.EPILOGUE
                    return
                end = self._headers_end(chunk, position)
                if end < 0:
                    return
                yield PartBegin(_headers(chunk[position:end]))
                position = end + 4
                self._state = _State.BODY_START
                continue
            if self._state is _State.BODY_START:
                # A part without a body: its boundary's line break is the headers' own.
                line = self._delimiter[2:]
                begin = chunk[position : position + len(line)]
                if begin != line and line.startswith(begin):
                    self._rest = chunk[position:]
                    return
                self._state = _State.BODY
                if begin == line:
                    yield PartEnd()
                    position += len(line)
                    self._state = _State.HEADERS
                    continue
            found = chunk.find(self._delimiter, position)
            in_body = self._state is _State.BODY
            end = found if found >= 0 else len(chunk) - self._held(chunk, position)
            if in_body and end > position:
                yield PartData(view[position:end])
            if not in_body:
                self._skipped += end - position
                if self._skipped > MAX_PREAMBLE_BYTES:
                    raise InvalidMultipartError("The body does not begin with its boundary.")
            if found < 0:
                self._rest = chunk[end:]
                return
            if in_body:
                yield PartEnd()
            position = found + len(self._delimiter)
            self._state = _State.HEADERS

    def close(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        InvalidMultipartError
            When the closing boundary has not come.
        """
        if self._state is _State.HEADERS and self._rest.startswith(b"--"):
            self._state = _State.EPILOGUE
        if self._state is not _State.EPILOGUE:
            raise InvalidMultipartError("The body ends before its closing boundary.")

    def _headers_end(self, chunk: bytes, position: int) -> int:
        """Give where the headers after a boundary end, or -1 when more is needed."""
        line = chunk.find(b"\r\n", position, position + MAX_LINE_BYTES)
        padding = chunk[position : line if line >= 0 else position + MAX_LINE_BYTES]
        if padding.strip(b" \t" if line >= 0 else b" \t\r-") or len(padding) >= MAX_LINE_BYTES:
            raise InvalidMultipartError("A boundary is followed by something else.")
        end = chunk.find(b"\r\n\r\n", position, position + MAX_HEADER_BYTES)
        if end < 0:
            if len(chunk) - position >= MAX_HEADER_BYTES:
                raise InvalidMultipartError(
                    f"The headers of a part are longer than {MAX_HEADER_BYTES} bytes."
                )
            self._rest = chunk[position:]
        return end

    def _held(self, chunk: bytes, position: int) -> int:
        """Give how many bytes at the end may be the beginning of a boundary."""
        start = max(position, len(chunk) - len(self._delimiter) + 1)
        while (start := chunk.find(b"\r", start)) >= 0:
            if self._delimiter.startswith(chunk[start:]):
                return len(chunk) - start
            start += 1
        return 0


def _headers(block: bytes) -> dict[str, str]:
    """Read header lines; the block begins with the rest of the boundary's own line."""
    headers: dict[str, str] = {}
    name = ""
    for line in block.decode("latin_1").split("\r\n")[1:]:
        if line[:1] in (" ", "\t") and name:  # folded
            headers[name] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        name = name.strip().lower()
        if not colon or not name:
            raise InvalidMultipartError("A part has a malformed header line.")
        headers[name] = value.strip()
    return headers
