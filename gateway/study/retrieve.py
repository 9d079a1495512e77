"""Stored files and frames in the forms in which they are retrieved: bytes in, bytes out; blocks."""

from __future__ import annotations

from gateway.exceptions import PixelDataError
from gateway.instance import Frame
from gateway.store.locate import StoredFile
from gateway.store.objects import ObjectReader
from gateway.study import render
from gateway.study.metadata import read_dataset_header
from gateway.study.picture import frame_bytes, samples_of
from gateway.study.transcode import explicit_little, little_endian


def explicit_file(reader: ObjectReader, file: StoredFile) -> bytes:
    """Give a file in Explicit VR Little Endian."""
    return explicit_little(reader.read(*_place(file)))


def stored_frame(reader: ObjectReader, file: StoredFile, frame: Frame) -> bytes:
    """Give a frame as it is stored."""
    return frame_bytes(reader, frame, file=_place(file))


def native_frame(reader: ObjectReader, file: StoredFile, frame: Frame) -> bytes:
    """Give a frame as uncompressed little-endian values."""
    return little_endian(frame_bytes(reader, frame, file=_place(file)), frame)


def picture(
    reader: ObjectReader,
    file: StoredFile,
    frame: Frame,
    *,
    media_type: str,
    window: render.Window | None,
    viewport: render.Viewport | None,
    quality: int,
) -> bytes:
    """Give a frame as a picture, see `gateway.study.render.render`."""
    if frame.rows * frame.columns > render.MAX_PIXELS:  # before anything of it is decoded
        raise PixelDataError(f"The image has more than {render.MAX_PIXELS} pixels.")
    header, _ = read_dataset_header(reader, file)
    data = frame_bytes(reader, frame, file=_place(file))
    samples = samples_of(data, frame, planar=header.get("PlanarConfiguration") == 1)
    return render.render(
        samples,
        frame,
        header,
        media_type=media_type,
        window=window,
        viewport=viewport,
        quality=quality,
    )


def _place(file: StoredFile) -> tuple[str, int, int]:
    return file.object_key, file.object_offset, file.object_length
