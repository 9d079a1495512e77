"""Elements as bytes in Explicit VR Little Endian: what a frame needs a thousand times over.

pydicom takes a third of a millisecond for a frame's functional groups; a study has thousands.

References
----------
* DICOM PS3.5, 7.1.2 (explicit VR), 7.5 (sequences, of explicit length here).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

_LONG = frozenset((b"OB", b"OW", b"SQ", b"UN", b"UC", b"UT"))


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Give an element."""
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB") else b" "
    name = vr.encode("ascii")
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, name)
    if name in _LONG:
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def sequence(tag: int, *items: bytes) -> bytes:
    """Give a sequence of items, each the bytes of its elements in the order of their tags."""
    return element(tag, "SQ", items_of(items))


def items_of(items: Sequence[bytes]) -> bytes:
    """Give the value of a sequence."""
    return b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)


def raw_sequence(tag: int, items: Sequence[bytes]) -> RawDataElement:
    """Give a sequence that a data set writes as it stands."""
    value = items_of(items)
    return RawDataElement(Tag(tag), "SQ", len(value), value, 0, False, True)


def decimals(values: Sequence[float]) -> bytes:
    """Write DS values of 16 characters at most each, as exact as they can be."""
    return "\\".join(decimal(value) for value in values).encode("ascii")


def decimal(value: float) -> str:
    """Write one DS value."""
    value = float(value) + 0.0  # no negative zero
    for digits in range(17, 5, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{value:.8e}"[:16]
