"""Looks at a compressed frame before a decoder in C does.

The quick decoders trust sizes and tables in the stream: hostile ones made them allocate without
bound or crash the process. What is checked here is what a fuzzer found to matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.exceptions import LossyCompressionError, PixelDataError
from gateway.instance import Frame

_SOI, _EOI, _SOS, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDD
_SOF_LOSSLESS, _SOF_LS = 0xC3, 0xF7
_SOF = frozenset((*range(0xC0, 0xD0), _SOF_LS)) - {_DHT, 0xC8, 0xCC}
"""Start of frame, whichever process."""

_HARMLESS = frozenset((*range(0xE0, 0xF0), 0xFE))
"""Application data and comments."""

_J2K_START = b"\xff\x4f\xff\x51"


def is_plain_jpeg_lossless(data: bytes, frame: Frame) -> bool:
    """Say whether a JPEG lossless frame is of the one shape that the quick decoder is safe with.

    One component of the frame's size, sound Huffman tables, no restart intervals, no point
    transform, one scan.

    Raises
    ------
    PixelDataError
        When the frame is cut off or is another image's.
    """
    _check_end(data)
    plain, size = True, None
    tables: set[int] = set()
    for marker, body in _segments(data):
        if marker == _SOF_LOSSLESS:
            plain &= size is None and len(body) == 9 and body[5] == 1 and 2 <= body[0] <= 16
            size = (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
        elif marker == _DHT:
            plain &= _is_sound_table(body)
            tables.update(body[:1])
        elif marker == _SOS:
            plain &= len(body) == 6 and body[0] == 1 and 1 <= body[3] <= 7 and body[5] == 0
            plain &= body[2] >> 4 in tables and len(tables) == 1
        elif marker not in _HARMLESS and not (marker == _DRI and body == b"\0\0"):
            plain = False
    if size is None:
        raise PixelDataError("The frame is no lossless JPEG.")
    _check_size(size, frame)
    return plain


def check_jpeg_ls(data: bytes, frame: Frame) -> None:
    """Refuse a JPEG-LS frame that is cut off, of another size, or near-lossless."""
    _check_end(data)
    size = None
    for marker, body in _segments(data):
        if marker == _SOF_LS:
            size = (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
            if body[5] != 1:
                raise PixelDataError("The frame has more than one component.")
        elif marker == _SOS and body[-3]:
            raise LossyCompressionError(f"JPEG-LS allows errors up to {body[-3]}: lossy.")
    if size is None:
        raise PixelDataError("The frame is no JPEG-LS.")
    _check_size(size, frame)


def check_jpeg_2000(data: bytes, frame: Frame) -> None:
    """Refuse a JPEG 2000 codestream that is cut off, of another size, or irreversible.

    The transfer syntax 1.2.840.10008.1.2.4.91 may be either; its COD segment tells.
    """
    start = check_jpeg_2000_size(data, frame)
    if int.from_bytes(data[start + 40 : start + 42], "big") != 1:
        raise PixelDataError("The frame has more than one component.")
    at = start + 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0x90:
        if data[at + 1] == 0x52:
            if data[at + 13] == 0:  # 9-7 irreversible wavelet, ISO 15444-1 table A.20
                raise LossyCompressionError("JPEG 2000 with the irreversible wavelet is lossy.")
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise PixelDataError("The JPEG 2000 codestream has no coding style.")


def check_jpeg_2000_size(data: bytes, frame: Frame) -> int:
    """Refuse a JPEG 2000 codestream that is cut off or of another size; give where it begins."""
    start = data.find(_J2K_START, 0, 512)  # some writers wrap the codestream in JP2 boxes
    if start < 0:
        raise PixelDataError("The frame is no JPEG 2000 codestream.")
    _check_end(data)
    siz = data[start + 6 : start + 42]
    if len(siz) < 36:
        raise PixelDataError("The frame ends too early.")
    width, height, left, top = (int.from_bytes(siz[k : k + 4], "big") for k in (2, 6, 10, 14))
    _check_size((height - top, width - left), frame)
    return start


def check_jpeg_size(data: bytes, frame: Frame) -> None:
    """Refuse a JPEG or JPEG-LS frame that is cut off or of another size, whatever its process."""
    _check_end(data)
    for marker, body in _segments(data):
        if marker in _SOF:
            size = (int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
            _check_size(size, frame)
            if len(body) < 6 or body[5] != frame.samples_per_pixel:
                raise PixelDataError("The frame has another number of components.")
            return
    raise PixelDataError("The frame has no size.")


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give (marker, body) of each segment up to the first scan."""
    at = 2
    if data[:2] != bytes((0xFF, _SOI)):
        raise PixelDataError("The frame is no JPEG.")
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        body = data[at + 4 : at + 2 + length]
        if length < 8 and marker in (_SOS, _SOF_LOSSLESS, _SOF_LS):
            break
        if len(body) != length - 2:
            break
        yield marker, body
        if marker == _SOS:
            return
        at += 2 + length
    raise PixelDataError("The frame's JPEG segments are damaged.")


def _is_sound_table(body: bytes) -> bool:
    """Check Huffman tables: as many codes as symbols, none overlong, categories 0 to 16."""
    at = 0
    if not body:
        return False
    while at < len(body):
        counts = body[at + 1 : at + 17]
        symbols = body[at + 17 : at + 17 + sum(counts)]
        room = 1
        for count in counts:
            room = 2 * room - count
            if room < 0:
                return False
        if body[at] > 3 or len(counts) != 16 or not 0 < len(symbols) == sum(counts) <= 17:
            return False  # class 0, destinations 0 to 3
        if max(symbols) > 16:
            return False
        at += 17 + len(symbols)
    return at == len(body)


def _check_end(data: bytes) -> None:
    """All these codestreams end with the same marker; padding to even length may follow."""
    if not data[-64:].rstrip(b"\0").endswith(bytes((0xFF, _EOI))):
        raise PixelDataError("The frame ends too early.")


def _check_size(size: tuple[int, int], frame: Frame) -> None:
    if size != (frame.rows, frame.columns):
        raise PixelDataError(
            f"The frame has {size[0]} × {size[1]} pixels and its header says "
            f"{frame.rows} × {frame.columns}."
        )
