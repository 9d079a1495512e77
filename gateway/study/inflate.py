"""Frames of deflated instances: the whole data set is compressed, so it is inflated at once."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from io import BytesIO

import pydicom
from pydicom.errors import InvalidDicomError

from gateway.exceptions import PixelDataError
from gateway.instance import Frame, Instance
from gateway.store.objects import ObjectReader


class Inflated:
    """Pixel data of deflated instances; the last one is kept for the frames that follow it."""

    def __init__(self, reader: ObjectReader, instances: Sequence[Instance]) -> None:
        self._reader = reader
        self._instances = {i.sop_instance_uid: i for i in instances}
        self._lock = threading.Lock()
        self._last: tuple[str, bytes] = ("", b"")

    def frame(self, frame: Frame) -> bytes:
        """Give the stored values of one frame, little endian."""
        instance = self._instances[frame.sop_instance_uid]
        length = frame.rows * frame.columns * frame.bits_allocated // 8
        if len(instance.frames) == 1:
            pixels = self._inflate(instance)
        else:
            with self._lock:
                if self._last[0] != instance.sop_instance_uid:
                    self._last = (instance.sop_instance_uid, self._inflate(instance))
                pixels = self._last[1]
        return pixels[(frame.frame_number - 1) * length : frame.frame_number * length]

    def _inflate(self, instance: Instance) -> bytes:
        data = self._reader.read(
            instance.object_key, instance.object_offset, instance.object_length
        )
        try:
            return bytes(pydicom.dcmread(BytesIO(data)).PixelData)
        except (zlib.error, InvalidDicomError, AttributeError, EOFError, ValueError) as error:
            raise PixelDataError(f"The data set does not inflate: {error}") from None
