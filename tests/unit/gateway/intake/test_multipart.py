"""The multipart parser takes what senders send, however it is cut into chunks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exceptions import InvalidMultipartError, UnsupportedMediaTypeError
from gateway.intake.multipart import (
    MAX_HEADER_BYTES,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)

DICOM = "application/dicom"


def parse(body: bytes, *, boundary: bytes = b"XX", size: int = 0) -> list[tuple[str, bytes]]:
    """Give (content type, bytes) of each complete part."""
    parser = MultipartParser(boundary)
    done: list[tuple[str, bytes]] = []
    kind, data = "", b""
    for start in range(0, len(body), size or len(body) or 1):
        for event in parser.feed(body[start : start + (size or len(body))]):
            if isinstance(event, PartBegin):
                kind, data = event.headers.get("content-type", ""), b""
            elif isinstance(event, PartData):
                data += event.data
            elif isinstance(event, PartEnd):
                done.append((kind, data))
    parser.close()
    return done


@given(
    parts=st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--X", b"\r\n-", b"--XX"])),
    size=st.integers(1, 80),
    preamble=st.sampled_from([b"", b"for people\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nmore --XX"]),
)
@settings(max_examples=300, deadline=None)
def test_parts_come_out_as_they_went_in(
    parts: list[bytes], size: int, preamble: bytes, epilogue: bytes
) -> None:
    """Boundaries that fall between two chunks are found; near misses stay data."""
    parts = [part for part in parts if b"\r\n--XX" not in part and not part.startswith(b"--XX")]
    if not parts:
        return
    body = preamble
    for part in parts:
        body += b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n"
    body += b"--XX--" + epilogue
    assert parse(body, size=size) == [(DICOM, part) for part in parts]


def test_padding_after_a_boundary_and_odd_headers_are_taken() -> None:
    """Spaces after a boundary, lower-case and folded headers, a part without headers."""
    body = b"--XX \t\r\ncontent-type:\r\n application/dicom\r\n\r\na\r\n--XX\r\n\r\nb\r\n--XX--"
    assert parse(body) == [(" application/dicom", b"a"), ("", b"b")]


def test_a_part_without_a_body_is_empty() -> None:
    body = b"--XX\r\nA: b\r\n\r\n--XX\r\n\r\n\r\n--XX--"
    for size in range(1, len(body)):
        assert [data for _, data in parse(body, size=size)] == [b"", b""]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--XX\r\n\r\nabc",
        b"--XX\r\n\r\nabc\r\n--XX",
        b"--XX\r\n\r\nabc\r\n--XX-",
        b"--XX\r\n\r\nabc\r\n--XX\r\nA: b",
        b"--XXY\r\n\r\nabc\r\n--XX--",
        b"--XX-\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nno colon\r\n\r\nabc\r\n--XX--",
        b"--XX\r\nA: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\nabc\r\n--XX--",
        b"x" * 100_000 + b"\r\n--XX\r\n\r\nabc\r\n--XX--",
    ],
)
@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_body_that_breaks_the_form_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(InvalidMultipartError):
        parse(body, size=size)


@pytest.mark.parametrize(
    "content_type",
    [
        'multipart/related; type="application/dicom"; boundary=BB',
        "multipart/related;type=application/dicom;boundary=BB",
        'Multipart/Related; boundary="BB"; type="application/dicom"; start="x"',
        "multipart/related; boundary=BB",
    ],
)
def test_a_boundary_is_read_quoted_or_not(content_type: str) -> None:
    assert boundary_of(content_type, part_type=DICOM) == b"BB"


def test_a_quoted_boundary_may_have_special_characters() -> None:
    kind = 'multipart/related; type="application/dicom"; boundary="a b:c/d=?"'
    assert boundary_of(kind, part_type=DICOM) == b"a b:c/d=?"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/dicom",
        "multipart/form-data; boundary=BB",
        'multipart/related; type="application/dicom+json"; boundary=BB',
    ],
)
def test_other_content_types_are_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        boundary_of(content_type, part_type=DICOM)


@pytest.mark.parametrize("boundary", ["", '""', "B" * 300, '"B\x01B"'])
def test_an_unusable_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(InvalidMultipartError):
        boundary_of(f"multipart/related; boundary={boundary}", part_type=DICOM)
