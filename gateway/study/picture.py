"""Frames as they are sent and shown: any transfer syntax, lossy and coloured ones too.

Nothing is measured on what comes from here; measuring goes through `gateway.study.decode`.
"""

from __future__ import annotations

import io
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom

from gateway.exceptions import (
    LossyCompressionError,
    PixelDataError,
    UnsupportedTransferSyntaxError,
)
from gateway.instance import Frame
from gateway.intake.pixels import THROUGH_PYDICOM
from gateway.store.objects import ObjectReader
from gateway.study import stored
from gateway.study.codestream import check_jpeg_2000_size, check_jpeg_size
from gateway.study.decoders import stored_values

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LS_LOSSY = "1.2.840.10008.1.2.4.81"
JPEG_2000_FAMILY = frozenset(
    (
        stored.JPEG_2000_LOSSLESS,
        stored.JPEG_2000,
        stored.HTJ2K_LOSSLESS,
        stored.HTJ2K_LOSSLESS_RPCL,
        stored.HTJ2K,
    )
)
NATIVE = stored.UNCOMPRESSED | {stored.DEFLATED_LITTLE}

DECODED = stored.SUPPORTED | {JPEG_BASELINE, JPEG_LS_LOSSY}
"""Transfer syntaxes of frames that can be decoded."""

Samples = npt.NDArray[Any]
"""(R, C) stored values, or (R, C, 3) of colour."""


def frame_bytes(
    reader: ObjectReader, frame: Frame, *, file: tuple[str, int, int] | None = None
) -> bytes:
    """Read a frame's bytes as they are stored, its fragments joined; blocks.

    Parameters
    ----------
    file : (str, int, int)
        Object, offset and length of the Part 10 file, for frames that no range of it holds.

    Raises
    ------
    PixelDataError
        When the object ends before the frame does, or the file cannot be read.
    """
    if frame.pixel_offset == THROUGH_PYDICOM:
        if file is None:
            raise PixelDataError("The frame cannot be read without its file.")
        return _through_pydicom(reader.read(*file), frame)
    ranges = frame.fragments or ((frame.pixel_offset, frame.pixel_length),)
    data = b"".join(reader.read(frame.object_key, offset, length) for offset, length in ranges)
    if len(data) != sum(length for _, length in ranges):
        raise PixelDataError("The stored object ends before the frame does.")
    return data


def samples_of(data: bytes, frame: Frame, *, planar: bool = False) -> Samples:
    """Decode a frame.

    Parameters
    ----------
    data : bytes
        As `frame_bytes` gives it.
    planar : bool
        (0028,0006) *Planar Configuration* of uncompressed colour.

    Returns
    -------
    (R, C) or (R, C, 3) ndarray
        Stored values, bits above *Bits Stored* not masked. Compressed colour is RGB, uncompressed
        colour as the file says, YBR_FULL_422 at full resolution. Packed bits become 0 and 1.

    Raises
    ------
    UnsupportedTransferSyntaxError
        No decoder for its transfer syntax.
    PixelDataError
        When the bytes do not decode to the frame that was announced.
    """
    syntax = frame.transfer_syntax_uid
    if syntax not in DECODED:
        name = stored.NAMES.get(syntax, "")
        raise UnsupportedTransferSyntaxError(
            f"Transfer syntax {f'{name} ({syntax})' if name else syntax} has no decoder here."
        )
    plain = frame.samples_per_pixel == 1 and frame.bits_allocated in (8, 16)
    if plain and syntax in stored.SUPPORTED:
        try:
            return stored_values(data, frame)
        except LossyCompressionError:
            pass  # not to be measured, yet it may be looked at
    try:
        samples = _native(data, frame, planar) if syntax in NATIVE else _coded(data, frame)
    except PixelDataError:
        raise
    except (RuntimeError, ValueError, IndexError, NotImplementedError) as error:
        raise PixelDataError(f"The decoder refused it: {str(error).strip() or 'damaged'}") from None
    if samples.shape[:2] != (frame.rows, frame.columns):
        raise PixelDataError("The frame has another size than its header says.")
    return samples


def _coded(data: bytes, frame: Frame) -> Samples:
    syntax = frame.transfer_syntax_uid
    if syntax == stored.RLE_LOSSLESS:
        return _rle_colour(data, frame)
    if syntax in JPEG_2000_FAMILY:
        check_jpeg_2000_size(data, frame)
        return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))
    check_jpeg_size(data, frame)
    if syntax == JPEG_BASELINE:
        return np.asarray(imagecodecs.jpeg8_decode(data))
    if syntax in (JPEG_LS_LOSSY, stored.JPEG_LS_LOSSLESS):
        return np.asarray(imagecodecs.jpegls_decode(data))
    from libjpeg.utils import decode  # lossless JPEG in colour

    return np.asarray(decode(data, colour_transform=0))


def _rle_colour(data: bytes, frame: Frame) -> Samples:
    """Decode a segment per sample and byte, PS3.5 annex G."""
    count, planes = frame.rows * frame.columns, frame.samples_per_pixel
    heads = np.frombuffer(data, "<u4", 16)
    if frame.bits_allocated != 8 or heads[0] != planes:
        raise PixelDataError(f"{heads[0]} RLE segments of {frame.bits_allocated} bits.")
    stops = [*heads[2 : planes + 1], len(data)]
    out = np.empty((count, planes), np.uint8)
    for plane, (start, stop) in enumerate(zip(heads[1 : planes + 1], stops)):
        values = np.frombuffer(imagecodecs.packbits_decode(data[start:stop]), np.uint8)
        out[:, plane] = values[:count]
    return out.reshape(frame.rows, frame.columns, planes)


def _native(data: bytes, frame: Frame, planar: bool) -> Samples:
    count = frame.rows * frame.columns
    if frame.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[:count].reshape(frame.rows, frame.columns)
    big = frame.transfer_syntax_uid == stored.EXPLICIT_BIG
    kind = np.dtype(f"{'>' if big else '<'}u{frame.bits_allocated // 8}")
    values = np.frombuffer(data, kind).astype(kind.newbyteorder("="))
    planes = frame.samples_per_pixel
    if frame.photometric_interpretation == "YBR_FULL_422":
        pairs = values[: 2 * count].reshape(-1, 4)  # Y Y Cb Cr, PS3.3 C.7.6.3.1.2
        out = np.empty((len(pairs), 2, 3), values.dtype)
        out[..., 0], out[..., 1], out[..., 2] = pairs[:, :2], pairs[:, 2:3], pairs[:, 3:]
        return out.reshape(frame.rows, frame.columns, 3)
    values = values[: count * planes]
    if planes == 1:
        return values.reshape(frame.rows, frame.columns)
    if planar:
        return np.moveaxis(values.reshape(planes, frame.rows, frame.columns), 0, -1)
    return values.reshape(frame.rows, frame.columns, planes)


def _through_pydicom(file: bytes, frame: Frame) -> bytes:
    """Cut one frame out of pixel data that is deflated or of packed bits."""
    try:
        pixels = bytes(pydicom.dcmread(io.BytesIO(file)).PixelData)
    except Exception as error:  # pydicom's and zlib's
        raise PixelDataError(f"The file cannot be read ({type(error).__name__}).") from None
    samples = 2 if frame.photometric_interpretation == "YBR_FULL_422" else frame.samples_per_pixel
    bits = frame.rows * frame.columns * samples * frame.bits_allocated
    first = (frame.frame_number - 1) * bits
    if (first + bits + 7) // 8 > len(pixels):
        raise PixelDataError("The frame ends too early.")
    if bits % 8 == 0:
        return pixels[first // 8 : (first + bits) // 8]
    some = np.frombuffer(pixels[first // 8 : (first + bits + 7) // 8], np.uint8)
    own = np.unpackbits(some, bitorder="little")[first % 8 :][:bits]
    return np.packbits(own, bitorder="little").tobytes()
