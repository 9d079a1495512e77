"""A summary for viewers that show neither SR nor SEG: a series of Secondary Captures.

One page of all checks, and for each check that asks for action the slice of its most suspicious
lesion. Everything is burnt in, and said to be; each picture says that it is not for clinical use.

References
----------
* DICOM PS3.3, A.8.1 (IOD), C.8.6.2 (module).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from gateway.instance import Frame
from gateway.results.dicom_file import (
    FIRST_SERIES_NUMBER,
    NOT_FOR_CLINICAL_USE,
    Made,
    add_common,
    made,
    made_at,
)
from gateway.results.dicom_source import Screened, SourceSeries
from gateway.results.dicom_sr import shown_lesions
from gateway.results.dicom_uids import ResultUids
from gateway.results.summary_picture import annotated_slice, summary_page

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage."""

Grey = npt.NDArray[np.uint8]


def secondary_captures(screened: Screened) -> list[Made]:
    """Make the summary series of a finished screening."""
    uids = ResultUids(screened.tenant, screened.result)
    found = [_capture(screened, uids, 1, summary_page(screened.result), "Summary", None)]
    for check, source, frame in _flags(screened):
        assert screened.read_values is not None
        lesions = [one for one in shown_lesions(check) if one["series_instance_uid"] == source.uid]
        picture = annotated_slice(screened.read_values(frame), frame, check, lesions)
        number = len(found) + 1
        found.append(
            _capture(screened, uids, number, picture, str(check["check"]), (source, frame))
        )
    return found


def _flags(screened: Screened) -> Iterator[tuple[Mapping[str, Any], SourceSeries, Frame]]:
    """Give the checks that ask for action, each with its most suspicious lesion's slice."""
    if screened.read_values is None:
        return
    for check in screened.result["checks"]:
        if check["state"] != "positive" or not (lesions := shown_lesions(check)):
            continue
        worst = max(lesions, key=lambda one: (one["flagged"], one["score"] or 0.0, -one["id"]))
        source = screened.series_of(worst)
        if source is None:
            continue
        frame = source.frame_of(worst)
        if frame is not None:
            yield check, source, frame


def _capture(
    screened: Screened,
    uids: ResultUids,
    number: int,
    picture: Grey,
    title: str,
    about: tuple[SourceSeries, Frame] | None,
) -> Made:
    source = screened.series[0]
    ds = Dataset()
    ds.SOPClassUID = SOP_CLASS
    ds.SOPInstanceUID = uids.of("sc", "instance", title)
    ds.SeriesInstanceUID = uids.of("sc", "series")
    add_common(ds, source, made_at(screened))
    ds.Modality = "OT"
    ds.SeriesNumber = FIRST_SERIES_NUMBER + 2
    ds.SeriesDescription = "OneScan summary"
    ds.InstanceNumber = number
    ds.Laterality = ds.PatientOrientation = None
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.BurnedInAnnotation = "YES"
    ds.LossyImageCompression = "00"
    ds.ImageComments = f"{title}: {NOT_FOR_CLINICAL_USE}"
    ds.DerivationDescription = NOT_FOR_CLINICAL_USE
    if about is not None:
        ds.SourceImageSequence = Items([_reference(*about)])
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = picture.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    data = picture.tobytes()
    ds.add_new(0x7FE00010, "OB", data + b"\0" * (len(data) % 2))
    return made("sc", ds)


def _reference(source: SourceSeries, frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_classes[frame.sop_instance_uid]
    item.ReferencedSOPInstanceUID = frame.sop_instance_uid
    if source.multi_frame:
        item.ReferencedFrameNumber = frame.frame_number
    return item
