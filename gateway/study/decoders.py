"""Bytes of one frame → stored values, by the quickest decoder that is installed and safe.

One 512² CT slice, milliseconds in one thread and gain with two threads on two cores:

============== ================================== ======================================
syntax         used                               others
============== ================================== ======================================
JPEG 2000      imagecodecs (OpenJPEG) 22, ×1.98   pylibjpeg-openjpeg 22, gdcm 22, ×1.0
JPEG-LS        imagecodecs (CharLS) 4.8, ×2.0     pyjpegls 4.0, gdcm 6.4, ×1.0
JPEG lossless  imagecodecs (liblj92) 2.6, ×1.4    gdcm 5.3, pylibjpeg-libjpeg 10, ×1.0
RLE            imagecodecs (packbits) 0.65        pylibjpeg-rle 0.55, pydicom 2.8
============== ================================== ======================================

imagecodecs lets go of Python's global lock, so threads share the work and no process pool is
needed. Its ``jpegsof3`` and gdcm crash the process on damaged lossless JPEG and are not used.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from gateway.exceptions import PixelDataError
from gateway.instance import Frame
from gateway.study import stored
from gateway.study.codestream import (
    check_jpeg_2000,
    check_jpeg_ls,
    is_plain_jpeg_lossless,
)

Values = npt.NDArray[Any]
"""(R, C) stored values, 8 or 16 bits, native byte order, sign not yet extended."""


def stored_values(data: bytes, frame: Frame) -> Values:
    """Decode one frame.

    Parameters
    ----------
    data : bytes
        The frame's pixel data, its fragments joined.
    frame : Frame
        What the header says of it.

    Returns
    -------
    (R, C) ndarray
        Of 8 or 16 bits as Bits Allocated says; bits above Bits Stored are not yet masked.

    Raises
    ------
    PixelDataError, LossyCompressionError
        When the bytes do not decode to the frame that was announced, or are lossy.
    """
    decoder = _DECODERS.get(frame.transfer_syntax_uid, _native)
    try:
        values = decoder(data, frame)
    except PixelDataError:
        raise
    except (RuntimeError, ValueError, IndexError, NotImplementedError, struct.error) as error:
        raise PixelDataError(f"The decoder refused it: {str(error).strip() or 'damaged'}") from None
    if values.size != frame.rows * frame.columns:
        raise PixelDataError(f"{values.size} pixels instead of {frame.rows} × {frame.columns}.")
    if values.dtype.itemsize * 8 != frame.bits_allocated:
        values = values.astype(f"u{frame.bits_allocated // 8}")
    return values.reshape(frame.rows, frame.columns)


def _native(data: bytes, frame: Frame) -> Values:
    big = frame.transfer_syntax_uid == stored.EXPLICIT_BIG
    count = frame.rows * frame.columns
    if len(data) * 8 < count * frame.bits_allocated:
        raise PixelDataError("The frame ends too early.")
    values = np.frombuffer(data, f"{'>' if big else '<'}u{frame.bits_allocated // 8}", count)
    return values.astype(values.dtype.newbyteorder("="))


def _rle(data: bytes, frame: Frame) -> Values:
    """PS3.5 Annex G: a segment per byte, most significant first, each PackBits."""
    count, width = frame.rows * frame.columns, frame.bits_allocated // 8
    segments, *offsets = struct.unpack_from("<16L", data)
    if segments != width:
        raise PixelDataError(f"{segments} RLE segments instead of {width}.")
    out = np.empty((count, width), np.uint8)
    for number, (start, stop) in enumerate(pairwise((*offsets[:segments], len(data)))):
        plane = np.frombuffer(imagecodecs.packbits_decode(data[start:stop]), np.uint8)
        if plane.size < count:
            raise PixelDataError("An RLE segment ends too early.")
        out[:, width - 1 - number] = plane[:count]
    return out.view(f"<u{width}")


def _jpeg_lossless(data: bytes, frame: Frame) -> Values:
    if is_plain_jpeg_lossless(data, frame):
        return np.asarray(imagecodecs.ljpeg_decode(data))
    from libjpeg.utils import decode  # only for the unusual, and slower

    return np.asarray(decode(data, colour_transform=0))


def _jpeg_ls(data: bytes, frame: Frame) -> Values:
    check_jpeg_ls(data, frame)
    return np.asarray(imagecodecs.jpegls_decode(data))


def _jpeg_2000(data: bytes, frame: Frame) -> Values:
    check_jpeg_2000(data, frame)
    return np.asarray(imagecodecs.jpeg2k_decode(data, numthreads=1))


_DECODERS: dict[str, Callable[[bytes, Frame], Values]] = {
    stored.RLE_LOSSLESS: _rle,
    stored.JPEG_LOSSLESS: _jpeg_lossless,
    stored.JPEG_LOSSLESS_SV1: _jpeg_lossless,
    stored.JPEG_LS_LOSSLESS: _jpeg_ls,
    stored.JPEG_2000_LOSSLESS: _jpeg_2000,
    stored.JPEG_2000: _jpeg_2000,
    stored.HTJ2K_LOSSLESS: _jpeg_2000,
    stored.HTJ2K_LOSSLESS_RPCL: _jpeg_2000,
    stored.HTJ2K: _jpeg_2000,
}
