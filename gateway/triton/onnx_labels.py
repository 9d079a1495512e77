"""What an ONNX file says of itself, read without reading its weights."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

WEIGHTS = "onescan_weights"
"""Label of a file: where its weights come from, where that needs to be known of the file itself."""

RANDOM = "random"
"""Weights that were drawn and never trained: for load and speed alone."""

_METADATA = 14
"""Number of ``metadata_props`` in ONNX's ModelProto; each is a key (1) and a value (2)."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf."""


def has_random_weights(path: Path) -> bool:
    """Tell whether a file says that its weights are random."""
    return onnx_labels(path).get(WEIGHTS) == RANDOM


def onnx_labels(path: Path) -> dict[str, str]:
    """Read the metadata of an ONNX file.

    The graph with all weights is passed over, so a file of any size is read in no time. What
    stands before damage in a broken file is given.
    """
    found: dict[str, str] = {}
    with path.open("rb") as file:
        try:
            while (tag := _varint(file)) is not None:
                number, kind = tag >> 3, tag & 7
                if number == _METADATA and kind == _BYTES:
                    key, value = _pair(file.read(_length(file)))
                    found[key] = value
                elif kind == _VARINT:
                    _varint(file)
                elif kind in (_FIXED64, _FIXED32):
                    file.seek(8 if kind == _FIXED64 else 4, 1)
                elif kind == _BYTES:
                    file.seek(_length(file), 1)
                else:
                    break
        except (ValueError, OverflowError, OSError):
            pass
    return found


def _pair(data: bytes) -> tuple[str, str]:
    """Read a StringStringEntryProto."""
    texts = {1: "", 2: ""}
    at = 0
    while at < len(data):
        tag, at = data[at], at + 1
        length = shift = 0
        while True:
            if at >= len(data):
                return texts[1], texts[2]
            byte, at = data[at], at + 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        texts[tag >> 3] = data[at : at + length].decode("utf-8", "replace")
        at += length
    return texts[1], texts[2]


def _length(file: BinaryIO) -> int:
    length = _varint(file)
    if length is None:
        raise ValueError("the file ends")
    return length


def _varint(file: BinaryIO) -> int | None:
    """Read a number; None at the end of the file."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            return value
        shift += 7
        if shift > 63:
            raise ValueError("no number of protobuf")
    return None
