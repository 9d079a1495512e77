"""From what is stored to the DICOM objects of a finished screening; blocks, and takes a second.

What it needs is gathered beforehand, so that it may run in another process
(`gateway.delivery.maker`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gateway.exceptions import NotFoundError
from gateway.instance import Frame, Instance
from gateway.store.locate import StoredFile
from gateway.store.masks import Pointer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from gateway.results.dicom_file import Made
    from gateway.results.dicom_source import LabelMap, SourceSeries
    from gateway.store.objects import ObjectReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that was screened, as the index knows it."""

    key: str
    """Series Instance UID, with ``#part`` where the series holds several volumes."""

    instances: tuple[Instance, ...]
    first: StoredFile
    """File of its first instance."""

    @property
    def series_instance_uid(self) -> str:
        """Without the part."""
        return self.instances[0].series_instance_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMap:
    """Where a mask lies, and what it is of."""

    check: str
    series_key: str
    pointer: Pointer
    names: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Who signed a report, and what he decided."""

    review_id: str
    """Unique; the signed report's UID follows from it."""

    name: str
    organization: str
    at: datetime
    amends: str | None = None
    """The review that it amends; None where it signs the report that nobody had signed."""

    comment: str = ""
    decisions: Mapping[str, str] = field(default_factory=dict)
    """Check → ``accepted``, ``rejected`` or ``corrected``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that the objects of one screening are made of."""

    tenant: str
    kinds: tuple[str, ...]
    result: Mapping[str, Any]
    """The reference form."""

    volumes: tuple[Volume, ...]
    maps: tuple[KeptMap, ...]
    signature: Signature | None = None
    """Given, the report is the signed one."""


def make(recipe: Recipe, objects: ObjectReader) -> list[Made]:
    """Make the objects that are asked for.

    Raises
    ------
    NotFoundError
        When no image of the study is kept any more.
    OneScanError
        When something that is kept cannot be read.
    """
    from gateway.results.dicom_sc import secondary_captures
    from gateway.results.dicom_seg import segmentations
    from gateway.results.dicom_source import Screened
    from gateway.results.dicom_sr import signed_sr, unsigned_sr

    if not recipe.volumes:
        raise NotFoundError("No image of the study is kept.")
    screened = Screened(
        tenant=recipe.tenant,
        result=recipe.result,
        series=[_source(volume, objects) for volume in recipe.volumes],
        label_maps=_label_maps(recipe.maps, objects) if "seg" in recipe.kinds else (),
        read_values=_values_of(recipe.volumes, objects),
    )
    made: list[Made] = []
    if "sr" in recipe.kinds:
        signature = recipe.signature
        made.append(signed_sr(screened, signature) if signature else unsigned_sr(screened))
    if "seg" in recipe.kinds:
        made += segmentations(screened)
    if "sc" in recipe.kinds:
        made += secondary_captures(screened)
    return made


def _source(volume: Volume, objects: ObjectReader) -> SourceSeries:
    from gateway.results.dicom_source import SourceSeries
    from gateway.study.metadata import correct, read_dataset_header

    header, _ = read_dataset_header(objects, volume.first)
    correct(header, volume.first.corrections)
    return SourceSeries(
        uid=volume.series_instance_uid,
        key=volume.key,
        header=header,
        frames=tuple(frame for one in volume.instances for frame in one.frames),
        sop_classes={one.sop_instance_uid: one.sop_class_uid for one in volume.instances},
        multi_frame=any(len(one.frames) > 1 for one in volume.instances),
    )


def _label_maps(maps: Sequence[KeptMap], objects: ObjectReader) -> list[LabelMap]:
    from gateway.results.dicom_source import LabelMap
    from gateway.screening.mask import Mask
    from gateway.study.nifti import read_nifti_gz

    found = []
    for one in maps:
        pointer = one.pointer
        data = objects.read(pointer.object_key, pointer.offset, pointer.length)
        found.append(
            LabelMap(
                check=one.check,
                series_key=one.series_key,
                mask=Mask(*read_nifti_gz(data)),
                names=one.names,
            )
        )
    return found


def _values_of(
    volumes: Sequence[Volume], objects: ObjectReader
) -> Callable[[Frame], npt.NDArray[np.float32]]:
    from gateway.study.picture import frame_bytes, samples_of
    from gateway.study.render import modality_values

    files = {
        one.sop_instance_uid: (one.object_key, one.object_offset, one.object_length)
        for volume in volumes
        for one in volume.instances
    }

    def read(frame: Frame) -> npt.NDArray[np.float32]:
        data = frame_bytes(objects, frame, file=files[frame.sop_instance_uid])
        values: npt.NDArray[np.float32] = modality_values(samples_of(data, frame), frame)
        return values

    return read
