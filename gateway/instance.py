"""What intake learns of one DICOM instance, once; everything later reads it from the index.

Intake makes these values, the store keeps them, the study package reads them.
No header is parsed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One plane of pixels: where it lies in space, how it is coded, where its bytes are."""

    sop_instance_uid: str
    frame_number: int
    """1-based, as in DICOM; 1 for a single-frame instance."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    pixel_representation: int
    """0 unsigned, 1 two's complement."""

    samples_per_pixel: int
    photometric_interpretation: str
    transfer_syntax_uid: str
    rescale_slope: float | None
    """HU per stored unit; None when the header has none."""

    rescale_intercept: float | None
    """HU; None when the header has none."""

    image_position_patient: tuple[float, float, float] | None
    """Centre of the first pixel, LPS mm."""

    image_orientation_patient: tuple[float, float, float, float, float, float] | None
    """Direction cosines of a row (towards growing column), then of a column."""

    pixel_spacing: tuple[float, float] | None
    """mm between rows, mm between columns."""

    slice_thickness: float | None
    """mm."""

    pixel_padding_value: int | None
    """As declared, already in the sign of `pixel_representation`."""

    pixel_padding_range_limit: int | None
    temporal_position: str | None
    """What tells apart planes at the same place (temporal index, trigger time), if anything."""

    object_key: str
    """Key of the stored object that holds the pixel bytes."""

    pixel_offset: int
    """Bytes from the start of the object to the first byte of this frame's pixel data
    (for encapsulated syntaxes: of its first fragment's item value).
    -1 where no range of the object holds them: deflated datasets and frames of packed bits,
    which are decoded by pydicom from the whole Part 10 file (`Instance.object_offset`)."""

    pixel_length: int
    """Bytes of this frame's pixel data; for encapsulated syntaxes the sum of its fragments
    when they are contiguous values, see `fragments`."""

    fragments: tuple[tuple[int, int], ...] = ()
    """(offset, length) of each fragment in the object, only where a frame has more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One SOP instance as indexed."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    attributes: dict[str, Any] = field(default_factory=dict)
    """DICOM keyword → plain JSON value (str, int, float, list) of the attributes that series
    choice, quality control and the query interfaces need. Text is Unicode already."""

    frames: tuple[Frame, ...] = ()
    """Empty for objects without pixels."""

    object_key: str = ""
    object_offset: int = 0
    object_length: int = 0
    """Where the whole Part 10 file lies."""
