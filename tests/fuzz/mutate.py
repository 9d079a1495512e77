"""Damage that knows DICOM: bytes and ranges, lengths, VRs, values, nesting, fragments, syntaxes."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.seeds import SYNTAXES, Place, Seed, seeds

LENGTHS = (0, 1, 2, 3, 7, 255, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
"""Written where a length stands, besides its neighbours and its double."""

VRS = (b"SQ", b"UN", b"OB", b"OW", b"UT", b"US", b"DS", b"IS", b"UI", b"PN", b"zz", b"\0\0", b"LO")

VALUES = (
    *(b"", b"\0", b" ", b"-1", b"0", b"1e309", b"nan", b"-inf", b"1e-400", b"9" * 40, b"1\\2\\3"),
    *(b"\\" * 50, b"\xff\xfe\xfd", b"a\0b", b"\x1b$B\x1b(B\x1b", b"1.2.", b"..", b"1" * 70),
    *(b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xff\xff", b"\0\0", b"\x01\0", b"\0\x80"),
)
"""Written where a value stands."""

ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"

NESTED = (ITEM + b"\xff\xff\xff\xff" + b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff") * 40
"""Sequences in sequences, deeper than is taken; as the value of a sequence."""

CHARACTER_SETS = (b"ISO_IR 192", b"ISO 2022 IR 87", b"GB18030", b"\\ISO 2022 IR 149", b"nonsense")


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Draw a file with one to five damages; sometimes none."""
    seed = draw(st.sampled_from(seeds()))
    data = bytearray(seed.data)
    for _ in range(draw(st.sampled_from((0, 1, 1, 1, 2, 2, 3, 5)))):
        draw(st.sampled_from(DAMAGES))(draw, data, seed)
    return bytes(data)


def _at(draw: st.DrawFn, data: bytearray) -> int:
    return draw(st.integers(0, max(0, len(data) - 1)))


def _byte(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    if data:
        data[_at(draw, data)] = draw(st.integers(0, 255))


def _pixels(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    """Overwrite bytes of the pixel data, which for most decoders is a stream of their own."""
    start = seed.places[-1].value if seed.places else len(data) // 2
    if start < len(data):
        at = draw(st.integers(start, len(data) - 1))
        damage = draw(st.binary(min_size=1, max_size=8))[: len(data) - at]
        data[at : at + len(damage)] = damage


def _truncate(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    del data[_at(draw, data) :]


def _insert(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    at = _at(draw, data)
    data[at:at] = draw(st.binary(max_size=64))


def _delete(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    at = _at(draw, data)
    del data[at : at + draw(st.integers(1, 64))]


def _repeat(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    at = _at(draw, data)
    data[at:at] = data[at : at + draw(st.integers(1, 300))] * draw(st.integers(1, 4))


def _place(draw: st.DrawFn, seed: Seed) -> Place | None:
    return draw(st.sampled_from(seed.places)) if seed.places else None


def _length(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    if (place := _place(draw, seed)) is None:
        return
    known = (max(0, place.length - 1), place.length + 1, 2 * place.length, len(data))
    value = draw(st.sampled_from((*LENGTHS, *known)))
    order = "<" if place.coding.little else ">"
    short = not place.coding.implicit and place.value - place.header == 8
    form, at = ("H", place.value - 2) if short else ("I", place.value - 4)
    data[at : place.value] = struct.pack(order + form, value & (0xFFFF if short else 0xFFFFFFFF))


def _vr(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    if (place := _place(draw, seed)) is not None:
        data[place.header + 4 : place.header + 6] = draw(st.sampled_from(VRS))


def _value(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    """Overwrite a value in its own length, so that what follows still is where it was."""
    if (place := _place(draw, seed)) is not None and 0 < place.length < 10_000:
        value = draw(st.sampled_from((*VALUES, *CHARACTER_SETS)) | st.binary(max_size=64))
        filler = draw(st.sampled_from((b" ", b"\0")))
        data[place.value : place.value + place.length] = value[: place.length].ljust(
            place.length, filler
        )


def _nest(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    if (place := _place(draw, seed)) is not None:
        data[place.header : place.header] = (
            b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + NESTED[: 20 * draw(st.integers(1, 40))]
        )


def _swap(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    one, two = _place(draw, seed), _place(draw, seed)
    if one and two and one.value + one.length <= two.header and two.length < 10_000:
        first = data[one.header : one.value + one.length]
        second = data[two.header : two.value + two.length]
        data[two.header : two.value + two.length] = first
        data[one.header : one.value + one.length] = second


def _syntax(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    at = data.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return
    (length,) = struct.unpack_from("<H", data.ljust(at + 8, b"\0"), at + 6)
    uid = draw(st.sampled_from(SYNTAXES)).encode()
    uid += b"\0" * (len(uid) % 2)
    data[at + 6 : at + 8 + length] = struct.pack("<H", len(uid)) + uid


def _fragment(draw: st.DrawFn, data: bytearray, seed: Seed) -> None:
    """Change the tag or the length of an item, of a fragment or of a sequence."""
    found = [i for i in range(len(data)) if data[i : i + 4] in (ITEM, ITEM_END, SEQUENCE_END)]
    if not found:
        return
    at = draw(st.sampled_from(found))
    if draw(st.booleans()):
        data[at : at + 4] = draw(st.sampled_from((ITEM, ITEM_END, SEQUENCE_END, b"\0\0\0\0")))
    else:
        data[at + 4 : at + 8] = struct.pack("<I", draw(st.sampled_from(LENGTHS)))


DAMAGES: tuple[Any, ...] = (
    *(_byte, _pixels, _pixels, _pixels, _value, _value, _value, _syntax, _fragment, _swap, _vr),
    *(_length, _nest, _truncate, _insert, _delete, _repeat),
)
"""Those that leave most of the file whole are drawn more often: they get further in."""


@st.composite
def bodies(draw: st.DrawFn) -> list[bytes]:
    """Draw the chunks of a multipart body: parts, headers, boundaries and splits may be wrong."""
    boundary = b"BB"
    body = bytearray(draw(st.sampled_from((b"", b"", b"", b"preamble\r\n", b"\r\n"))))
    for _ in range(draw(st.integers(0, 4))):
        headers = draw(
            st.sampled_from(
                (
                    *(b"Content-Type: application/dicom\r\n",) * 40,
                    b"",
                    b"Content-Type: text/plain\r\n",
                    b"no colon\r\n",
                    b"Content-Transfer-Encoding: base64\r\n",
                    b"X: " + b"y" * 9000 + b"\r\n",
                    b"A: b\r\n c\r\n",
                    b"\xff: \xfe\r\n",
                )
            )
        )
        end = draw(st.sampled_from((*(b"\r\n",) * 40, b"\n", b"  \r\n", b"--\r\n", b"x\r\n")))
        body += b"--" + boundary + end + headers + b"\r\n" + draw(files()) + b"\r\n"
    body += draw(st.sampled_from((*(b"--BB--\r\n",) * 20, b"--BB--", b"--BB", b"", b"--BB\r\n")))
    if draw(st.integers(0, 15)) == 0:
        _byte(draw, body, seeds()[0])
    chunks = []
    data = bytes(body)
    while data:
        size = draw(st.sampled_from((len(data), len(data), 1, 7, 100, 1000, 4096)))
        if len(chunks) > 200:
            size = len(data)
        chunks.append(data[:size])
        data = data[size:]
    return chunks
