"""Read one DICOM Part 10 file's header into the value that the index keeps.

Strict about what identifies the instance and what its pixels need, tolerant elsewhere.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from gateway.exceptions import (
    InstanceError,
    InvalidHeaderError,
    InvalidUidError,
    MissingUidError,
    NoPixelDataError,
)
from gateway.instance import Frame, Instance
from gateway.intake.attributes import (
    ATTRIBUTES,
    SEQUENCES,
    attributes_of,
    binary,
    encodings_of,
    numbers,
    text,
)
from gateway.intake.dataset import OpenDataset, open_dataset
from gateway.intake.elements import UNDEFINED, Element
from gateway.intake.geometry import TOP_TAGS, FrameGeometry, frame_geometries
from gateway.intake.pixels import (
    MAX_FRAMES,
    THROUGH_PYDICOM,
    PixelFormat,
    Place,
    encapsulated_frames,
    native_frames,
)
from gateway.intake.source import BytesSource, FileSource, Source

MAX_UID_CHARACTERS = 64
"""PS3.5, 9.1."""

UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID."""
    return len(text) <= MAX_UID_CHARACTERS and UID.fullmatch(text) is not None


"""Components with leading zeros, which PS3.5 forbids and devices send, are taken."""

CT_CLASSES = frozenset(
    ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
)
"""CT, Enhanced CT, Legacy Converted Enhanced CT Image Storage: images whatever else they lack."""

CHARSET, SOP_CLASS = 0x00080005, 0x00080016
SOP_INSTANCE, STUDY, SERIES = 0x00080018, 0x0020000D, 0x0020000E
SAMPLES, PHOTOMETRIC, NUMBER_OF_FRAMES = 0x00280002, 0x00280004, 0x00280008
ROWS, COLUMNS = 0x00280010, 0x00280011
BITS_ALLOCATED, BITS_STORED, HIGH_BIT = 0x00280100, 0x00280101, 0x00280102
PIXEL_REPRESENTATION, PADDING, PADDING_LIMIT = 0x00280103, 0x00280120, 0x00280121
OFFSETS, OFFSET_LENGTHS, PIXELS = 0x7FE00001, 0x7FE00002, 0x7FE00010

WANTED = (
    TOP_TAGS
    | frozenset(ATTRIBUTES)
    | SEQUENCES
    | {CHARSET, SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, SAMPLES, PHOTOMETRIC, NUMBER_OF_FRAMES}
    | {ROWS, COLUMNS, BITS_ALLOCATED, BITS_STORED, HIGH_BIT, PIXEL_REPRESENTATION}
    | {PADDING, PADDING_LIMIT, OFFSETS, OFFSET_LENGTHS}
)


def read_header(
    data: BinaryIO | Path | bytes | memoryview | Source,
    *,
    object_key: str = "",
    object_offset: int = 0,
) -> Instance:
    """Read the header of one DICOM Part 10 file.

    Parameters
    ----------
    data : seekable binary file, path, bytes, memoryview or Source
        The whole file and nothing after it.
    object_key : str
        The stored object that holds the file.
    object_offset : int
        Where the file begins in that object; every offset of the result counts from its start.

    Raises
    ------
    InstanceError
        One of its leaves, whatever the bytes are.
    OSError
        When the bytes cannot be read.
    """
    if isinstance(data, Path):
        with data.open("rb") as file:
            return read_header(FileSource(file), object_key=object_key, object_offset=object_offset)
    try:
        return _Header(_source_of(data)).instance(object_key, object_offset)
    except (InstanceError, OSError):
        raise
    except Exception as error:  # hostile bytes; the leaf is all that a caller has to know
        raise InvalidHeaderError(f"The header cannot be read ({type(error).__name__}).") from error


def _source_of(data: BinaryIO | bytes | memoryview | Source) -> Source:
    if isinstance(data, bytes | bytearray | memoryview):
        return BytesSource(data)
    return data if isinstance(data, Source) else FileSource(data)


class _Identity(NamedTuple):
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


class _Header:
    """One file's header, while it is read."""

    def __init__(self, source: Source) -> None:
        self.length = source.size
        self.dataset: OpenDataset = open_dataset(source, WANTED)
        self.elements = self.dataset.found.elements
        self.encodings = encodings_of(self._raw(CHARSET) or b"")

    def instance(self, object_key: str, object_offset: int) -> Instance:
        """Make the value that the index keeps."""
        identity = _Identity(
            self._uid(STUDY, "Study Instance UID"),
            self._uid(SERIES, "Series Instance UID"),
            self._uid(SOP_INSTANCE, "SOP Instance UID"),
            self._uid(SOP_CLASS, "SOP Class UID"),
        )
        attributes = attributes_of(self.dataset.window, self.elements, self.encodings)
        frames: tuple[Frame, ...] = ()
        pixels = self.dataset.found.pixels
        if pixels is None:
            if identity.sop_class_uid in CT_CLASSES or ROWS in self.elements:
                raise NoPixelDataError
        elif pixels[0] == PIXELS:
            form = self._format()
            places = self._places(form, pixels[1])
            geometries, inherited = frame_geometries(
                self.dataset.window, self.elements, form.frames, self.encodings
            )
            attributes |= inherited
            if (padding := self._padding(PADDING, form)) is not None:
                attributes["PixelPaddingValue"] = padding
            frames = self._frames(
                identity.sop_instance_uid, form, places, geometries, object_key, object_offset
            )
        return Instance(
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=self.dataset.transfer_syntax_uid,
            attributes=attributes,
            frames=frames,
            object_key=object_key,
            object_offset=object_offset,
            object_length=self.length,
        )

    def _frames(
        self,
        sop_instance_uid: str,
        form: PixelFormat,
        places: list[Place],
        geometries: list[FrameGeometry],
        object_key: str,
        object_offset: int,
    ) -> tuple[Frame, ...]:
        padding, limit = self._padding(PADDING, form), self._padding(PADDING_LIMIT, form)
        return tuple(
            Frame(
                sop_instance_uid=sop_instance_uid,
                frame_number=number,
                rows=form.rows,
                columns=form.columns,
                bits_allocated=form.bits_allocated,
                bits_stored=form.bits_stored,
                high_bit=form.high_bit,
                pixel_representation=form.pixel_representation,
                samples_per_pixel=form.samples_per_pixel,
                photometric_interpretation=form.photometric_interpretation,
                transfer_syntax_uid=self.dataset.transfer_syntax_uid,
                rescale_slope=geometry.rescale_slope,
                rescale_intercept=geometry.rescale_intercept,
                image_position_patient=geometry.image_position_patient,
                image_orientation_patient=geometry.image_orientation_patient,
                pixel_spacing=geometry.pixel_spacing,
                slice_thickness=geometry.slice_thickness,
                pixel_padding_value=padding,
                pixel_padding_range_limit=limit,
                temporal_position=geometry.temporal_position,
                object_key=object_key,
                pixel_offset=(
                    THROUGH_PYDICOM
                    if self.dataset.deflated or place.offset == THROUGH_PYDICOM
                    else object_offset + place.offset
                ),
                pixel_length=place.length,
                fragments=tuple((object_offset + at, size) for at, size in place.fragments),
            )
            for number, (geometry, place) in enumerate(zip(geometries, places), 1)
        )

    def _places(self, form: PixelFormat, pixels: Element) -> list[Place]:
        if pixels.length != UNDEFINED:
            return native_frames(
                form,
                offset=pixels.offset,
                length=pixels.length,
                size=self.dataset.source.size,
            )
        table = list(zip(self._long_integers(OFFSETS), self._long_integers(OFFSET_LENGTHS)))
        return encapsulated_frames(
            self.dataset.source,
            form,
            offset=pixels.offset,
            coding=self.dataset.coding,
            table=table,
        )

    def _format(self) -> PixelFormat:
        allocated = self._integer(BITS_ALLOCATED, "Bits Allocated")
        stored = self._integer(BITS_STORED, "Bits Stored", default=allocated)
        form = PixelFormat(
            rows=self._integer(ROWS, "Rows"),
            columns=self._integer(COLUMNS, "Columns"),
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=self._integer(HIGH_BIT, "High Bit", default=stored - 1),
            pixel_representation=self._integer(PIXEL_REPRESENTATION, "Pixel Representation"),
            samples_per_pixel=self._integer(SAMPLES, "Samples per Pixel", default=1),
            photometric_interpretation=text(self._raw(PHOTOMETRIC) or b"") or "MONOCHROME2",
            frames=self._frame_count(),
        )
        if not (form.rows and form.columns and form.samples_per_pixel):
            raise InvalidHeaderError("Rows, Columns or Samples per Pixel is zero.")
        if form.bits_allocated not in (1, 8, 16, 32, 64):
            raise InvalidHeaderError(f"Bits Allocated is {form.bits_allocated}.")
        if not 0 < form.bits_stored <= form.bits_allocated > form.high_bit >= form.bits_stored - 1:
            raise InvalidHeaderError(
                f"Bits Allocated {form.bits_allocated}, Bits Stored {form.bits_stored} and"
                f" High Bit {form.high_bit} contradict each other."
            )
        if form.pixel_representation > 1:
            raise InvalidHeaderError(f"Pixel Representation is {form.pixel_representation}.")
        return form

    def _frame_count(self) -> int:
        raw = self._raw(NUMBER_OF_FRAMES)
        if raw is None or not raw.strip(b" \0"):
            return 1
        values = numbers(raw)
        if len(values) != 1 or not 1 <= values[0] <= MAX_FRAMES or values[0] % 1:
            raise InvalidHeaderError(f"Number of Frames is not between 1 and {MAX_FRAMES}.")
        return int(values[0])

    def _integer(self, tag: int, name: str, *, default: int | None = None) -> int:
        raw = self._raw(tag) or b""
        if len(raw) < 2:
            if default is None:
                raise InvalidHeaderError(f"{name} is missing.")
            return default
        return int(binary(raw[:2], "H", little=self.dataset.coding.little)[0])

    def _padding(self, tag: int, form: PixelFormat) -> int | None:
        """Read a padding value in the sign of the pixels, whatever VR the writer gave it."""
        raw = self._raw(tag) or b""
        if len(raw) not in (2, 4):
            return None
        kind = {2: "Hh", 4: "Ii"}[len(raw)][form.pixel_representation]
        return int(binary(raw, kind, little=self.dataset.coding.little)[0])

    def _long_integers(self, tag: int) -> list[int]:
        raw = self._raw(tag) or b""
        return list(struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8]))

    def _uid(self, tag: int, name: str) -> str:
        uid = (self._raw(tag) or b"").strip(b" \0").decode("latin_1")
        if not uid:
            raise MissingUidError(f"{name} is missing or empty.")
        if not is_uid(uid):
            raise InvalidUidError(f"{name} is not a UID.")
        return uid

    def _raw(self, tag: int) -> bytes | None:
        element: Any = self.elements.get(tag)
        if element is None:
            return None
        return self.dataset.window[element.offset : element.offset + element.length]
