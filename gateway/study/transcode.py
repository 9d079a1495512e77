"""Frames and files in Explicit VR Little Endian, the default of DICOMweb (PS3.18 8.7.3.5.2)."""

from __future__ import annotations

import io

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from gateway.exceptions import PixelDataError
from gateway.instance import Frame
from gateway.intake.header import read_header
from gateway.intake.source import BytesSource
from gateway.study import stored
from gateway.study.picture import DECODED, NATIVE, frame_bytes, samples_of

EXPLICIT_LITTLE = stored.EXPLICIT_LITTLE


def can_transcode(transfer_syntax_uid: str) -> bool:
    """Tell whether objects of a transfer syntax can be written as Explicit VR Little Endian."""
    return transfer_syntax_uid in DECODED


def little_endian(data: bytes, frame: Frame) -> bytes:
    """Give a stored frame as native little-endian values.

    Uncompressed frames keep their bytes, but for big-endian ones, which are swapped.
    """
    if frame.transfer_syntax_uid in NATIVE - {stored.EXPLICIT_BIG} or (
        frame.transfer_syntax_uid == stored.EXPLICIT_BIG and frame.bits_allocated <= 8
    ):
        return data
    if frame.transfer_syntax_uid == stored.EXPLICIT_BIG:
        return np.frombuffer(data, f">u{frame.bits_allocated // 8}").byteswap().tobytes()
    samples = samples_of(data, frame)
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("<")).tobytes()


def explicit_little(file: bytes) -> bytes:
    """Rewrite a Part 10 file; everything but pixels and coding stays as it is.

    Raises
    ------
    UnsupportedTransferSyntaxError, PixelDataError
        When a frame has no decoder or does not decode.
    """
    header = read_header(file)
    try:
        ds = pydicom.dcmread(io.BytesIO(file))
        if header.frames:
            reader = _OneFile(file)
            frames = [
                little_endian(frame_bytes(reader, frame, file=("", 0, len(file))), frame)
                for frame in header.frames
            ]
            first = header.frames[0]
            if header.transfer_syntax_uid not in NATIVE:
                _describe_decoded(ds, first)
            if first.bits_allocated > 1:  # packed bits of several frames share bytes
                pixels = b"".join(frames)
                ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
            ds["PixelData"].VR = "OB" if first.bits_allocated <= 8 else "OW"
            ds["PixelData"].is_undefined_length = False
        if not hasattr(ds, "file_meta"):
            ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        out = io.BytesIO()
        pydicom.dcmwrite(out, ds, implicit_vr=False, little_endian=True, enforce_file_format=True)
        return out.getvalue()
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise PixelDataError(f"The file cannot be rewritten ({type(error).__name__}).") from None


def _describe_decoded(ds: pydicom.Dataset, frame: Frame) -> None:
    """Say of decoded pixels what they are now."""
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in ds:
            delattr(ds, keyword)
    if frame.samples_per_pixel == 3:
        if frame.transfer_syntax_uid != stored.RLE_LOSSLESS:
            ds.PhotometricInterpretation = "RGB"
        ds.PlanarConfiguration = 0


class _OneFile:
    """A file in memory, as a reader of objects."""

    def __init__(self, data: bytes) -> None:
        self._source = BytesSource(data)

    def open(self, key: str) -> int:
        """Do nothing useful: there is no descriptor."""
        raise NotImplementedError

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range."""
        return self._source.read_at(offset, length)
