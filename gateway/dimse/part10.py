"""Preamble and file meta information before a data set as it came (PS3.10, 7.1)."""

from __future__ import annotations

import struct

from gateway.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_SHORT = struct.Struct("<HH2sH")


def part10_head(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    calling: str,
    called: str,
) -> bytes:
    """Write what a Part 10 file has before its data set.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        What the association and the command say; the data set is not decoded.
    calling, called : str
        AE titles of the association: (0002,0016) and (0002,0018).
    """
    elements = b"".join(
        (
            struct.pack("<HH2sHI", 2, 0x0001, b"OB", 0, 2) + b"\0\1",
            _text(0x0002, b"UI", sop_class_uid),
            _text(0x0003, b"UI", sop_instance_uid),
            _text(0x0010, b"UI", transfer_syntax_uid),
            _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _text(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _text(0x0016, b"AE", calling),
            _text(0x0018, b"AE", called),
        )
    )
    length = _SHORT.pack(2, 0, b"UL", 4) + struct.pack("<I", len(elements))
    return bytes(128) + b"DICM" + length + elements


def _text(element: int, vr: bytes, value: str) -> bytes:
    raw = value.encode("ascii", "replace")
    if len(raw) % 2:
        raw += b"\0" if vr == b"UI" else b" "
    return _SHORT.pack(2, element, vr, len(raw)) + raw
