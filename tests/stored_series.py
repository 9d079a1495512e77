"""Series for tests of the study package: frames and instances made in memory, no files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.instance import Frame, Instance
from gateway.study.decode import decode_series
from gateway.study.geometry import SeriesGeometry
from gateway.study.series import Series, group_series

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class MemoryObjects:
    """An object reader over bytes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def open(self, key: str) -> int:
        descriptor = os.memfd_create(key)
        os.write(descriptor, self.objects[key])
        return descriptor

    def read(self, key: str, offset: int, length: int) -> bytes:
        return self.objects[key][offset : offset + length]


def make_frame(z_mm: float = 0.0, **changes: Any) -> Frame:
    """Make the index row of one axial 4×5 plane; `changes` replace fields."""
    values: dict[str, Any] = {
        "sop_instance_uid": f"1.2.3.{changes.pop('number', round(z_mm * 1000) + 10**6)}",
        "frame_number": 1,
        "rows": 4,
        "columns": 5,
        "bits_allocated": 16,
        "bits_stored": 16,
        "high_bit": 15,
        "pixel_representation": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "transfer_syntax_uid": EXPLICIT_LITTLE,
        "rescale_slope": 1.0,
        "rescale_intercept": 0.0,
        "image_position_patient": (-10.0, -20.0, z_mm),
        "image_orientation_patient": AXIAL,
        "pixel_spacing": (0.7, 0.8),
        "slice_thickness": 3.0,
        "pixel_padding_value": None,
        "pixel_padding_range_limit": None,
        "temporal_position": None,
        "object_key": "one",
        "pixel_offset": 0,
        "pixel_length": 40,
    }
    return Frame(**(values | changes))


def frames_at(*z_mm: float, **changes: Any) -> list[Frame]:
    """Make axial planes at these positions."""
    return [make_frame(z, **changes) for z in z_mm]


def make_instance(*frames: Frame, series: str = "1.2.9", **changes: Any) -> Instance:
    """Wrap frames in an instance; unknown names in `changes` are attributes, None deletes."""
    attributes: dict[str, Any] = {
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ConvolutionKernel": "STANDARD",
        "PatientID": "4711",
        "PatientAge": "055Y",
        "KVP": 120.0,
        "FrameOfReferenceUID": "1.2.8",
        "PatientPosition": "HFS",
    }
    fields = {field.name for field in dataclasses.fields(Instance)}
    attributes |= {name: value for name, value in changes.items() if name not in fields}
    values: dict[str, Any] = {
        "study_instance_uid": "1.2.1",
        "series_instance_uid": series,
        "sop_instance_uid": frames[0].sop_instance_uid if frames else "1.2.3.4",
        "sop_class_uid": CT_IMAGE,
        "transfer_syntax_uid": frames[0].transfer_syntax_uid if frames else EXPLICIT_LITTLE,
        "attributes": {name: value for name, value in attributes.items() if value is not None},
        "frames": frames,
        "object_key": frames[0].object_key if frames else "",
    }
    return Instance(**(values | {name: v for name, v in changes.items() if name in fields}))


def one_series(frames: Sequence[Frame], **changes: Any) -> Series:
    """Make the one series that these frames, an instance each, are."""
    (series,) = group_series([make_instance(frame, **changes) for frame in frames])
    return series


def series_of(
    planes: Sequence[npt.NDArray[Any] | bytes], objects: MemoryObjects, **changes: Any
) -> Series:
    """Store planes of stored values (or their coded bytes) 3 mm apart, and index them."""
    frames = []
    for number, plane in enumerate(planes):
        data = plane if isinstance(plane, bytes) else plane.tobytes()
        objects.objects[f"k{number}"] = b"header" + data
        shape = (
            {} if isinstance(plane, bytes) else {"rows": plane.shape[0], "columns": plane.shape[1]}
        )
        frames.append(
            make_frame(
                3.0 * number,
                **{
                    "number": number + 1,
                    "object_key": f"k{number}",
                    "pixel_offset": 6,
                    "pixel_length": len(data),
                    **shape,
                    **changes,
                },
            )
        )
    return one_series(frames)


def decode(
    series: Series, objects: Any, *, threads: int = 2, geometry: SeriesGeometry | None = None
) -> npt.NDArray[np.int16]:
    """Decode a series into private memory that held something else before."""
    geometry = geometry or series.geometry
    out = np.full(geometry.shape, 77, np.int16)
    decode_series(series, geometry, objects, out, threads=threads)
    return out
