"""Find each frame's pixel bytes inside a file, without reading them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.exceptions import InvalidHeaderError, TruncatedInstanceError
from gateway.intake.elements import ITEM, SEQUENCE_END, Coding
from gateway.intake.source import Source

MAX_FRAMES = 65_536
"""Frames of one instance; the largest enhanced CT seen has some 4,000."""

MAX_FRAGMENTS = 262_144
"""Fragments of one instance: four for each of `MAX_FRAMES`."""

THROUGH_PYDICOM = -1
"""As a frame's offset: its bytes cannot be pointed at (see `gateway.instance.Frame`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """The attributes that say how pixels are coded (Image Pixel module, PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    samples_per_pixel: int
    photometric_interpretation: str
    frames: int

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame."""
        samples = 2 if self.photometric_interpretation == "YBR_FULL_422" else self.samples_per_pixel
        return self.rows * self.columns * samples * self.bits_allocated


@dataclass(frozen=True, slots=True)
class Place:
    """Where one frame's bytes lie in the file."""

    offset: int
    length: int
    fragments: tuple[tuple[int, int], ...] = ()
    """(offset, length) of each, where there is more than one."""


def native_frames(form: PixelFormat, *, offset: int, length: int, size: int) -> list[Place]:
    """Locate the frames of uncompressed pixel data.

    Parameters
    ----------
    offset, length : int
        Of the value of Pixel Data, as declared.
    size : int
        Bytes of the whole file.

    Raises
    ------
    TruncatedInstanceError
        When the declared value reaches beyond the end of the file.
    InvalidHeaderError
        When the value is shorter than the frames that the header announces.
    """
    bits = form.frame_bits
    need = (bits * form.frames + 7) // 8
    if length < need:
        raise InvalidHeaderError(
            f"Pixel Data has {length} bytes where {form.frames} × {form.rows} × {form.columns}"
            f" pixels take {need}."
        )
    if offset + length > size and offset + need > size:
        raise TruncatedInstanceError
    if bits % 8:  # packed bits that cross from one byte, and frame, into the next
        return [Place(THROUGH_PYDICOM, (bits + 7) // 8)] * form.frames
    step = bits // 8
    return [Place(offset + step * index, step) for index in range(form.frames)]


def encapsulated_frames(
    source: Source, form: PixelFormat, *, offset: int, coding: Coding, table: list[tuple[int, int]]
) -> list[Place]:
    """Locate the frames of compressed pixel data (PS3.5 A.4).

    Parameters
    ----------
    offset : int
        Of the value of Pixel Data: its first item, the Basic Offset Table.
    table : list of (offset, length)
        Extended Offset Table with its lengths; empty where there is none.

    Raises
    ------
    TruncatedInstanceError
        When fragments are missing or cut.
    InvalidHeaderError
        When it cannot be told which fragments are which frame.
    """
    basic, fragments = _fragments(source, offset, coding)
    count = form.frames
    if not fragments or len(fragments) < count:
        raise TruncatedInstanceError(f"{count} frames are announced, {len(fragments)} are there.")
    if count == 1:
        return [_place(fragments)]
    if len(fragments) == count and not table:
        return [_place([fragment]) for fragment in fragments]
    starts = [start for start, _ in table] or _offsets(source, basic, coding)
    if len(starts) != count or starts[0] != 0:
        raise InvalidHeaderError("It cannot be told which fragments belong to which frame.")
    # Offsets count from the first fragment's item header, which is 8 bytes long.
    origin = fragments[0][0]
    index = {start - origin: number for number, (start, _) in enumerate(fragments)}
    try:
        first = [index[start] for start in starts]
    except KeyError:
        raise InvalidHeaderError("The offset table points at no fragment.") from None
    last = [*first[1:], len(fragments)]
    if any(a >= b for a, b in zip(first, last)):
        raise InvalidHeaderError("The offset table is not in ascending order.")
    return [_place(fragments[a:b]) for a, b in zip(first, last)]


def _place(fragments: list[tuple[int, int]]) -> Place:
    length = sum(size for _, size in fragments)
    return Place(fragments[0][0], length, tuple(fragments) if len(fragments) > 1 else ())


def _offsets(source: Source, basic: tuple[int, int], coding: Coding) -> list[int]:
    offset, length = basic
    raw = source.read_at(offset, length)
    return list(struct.unpack(f"{'<' if coding.little else '>'}{len(raw) // 4}I", raw))


def _fragments(
    source: Source, offset: int, coding: Coding
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Give (offset, length) of the Basic Offset Table's value and of each fragment's."""
    found: list[tuple[int, int]] = []
    position = offset
    while True:
        header = source.read_at(position, 8)
        if len(header) < 8:
            _check_undelimited(source, found)
            break
        group, number, length = coding.implicit_header.unpack(header)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            break
        if tag != ITEM or (not found and length % 4):
            raise InvalidHeaderError("Compressed pixel data holds something that is no fragment.")
        if position + 8 + length > source.size:
            raise TruncatedInstanceError
        found.append((position + 8, length))
        if len(found) > MAX_FRAGMENTS:
            raise InvalidHeaderError(f"There are more than {MAX_FRAGMENTS} fragments.")
        position += 8 + length
    if not found:
        raise TruncatedInstanceError
    if found[0][1] > 4 * MAX_FRAMES:
        raise InvalidHeaderError(f"The offset table has more than {MAX_FRAMES} entries.")
    return found[0], found[1:]


def _check_undelimited(source: Source, found: list[tuple[int, int]]) -> None:
    """Refuse a file without Sequence Delimitation Item, unless its last JPEG stream is whole."""
    if len(found) > 1:
        start, length = found[-1]
        if source.read_at(start, length)[-3:].rstrip(b"\0").endswith(b"\xff\xd9"):
            return
    raise TruncatedInstanceError
