"""Studies that no server has seen: other UIDs, the same bytes else."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import pydicom

from loadtests.fresh import BOUNDARY, Template
from tests.small_ct import write_small_ct


def _template(folder: Path) -> Template:
    for path in write_small_ct(folder, slices=3, study_instance_uid="2.25.1234567890123"):
        image = pydicom.dcmread(path)
        image.SeriesInstanceUID = "2.25.12345678901230"  # the study's, and a digit more
        number = int(image.InstanceNumber)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.99{number:09d}"
        image.FrameOfReferenceUID = "2.25.777777777"
        image.save_as(path.with_suffix(".dcm"))
        if path.suffix != ".dcm":
            path.unlink()
    return Template.read("small", folder)


def test_a_fresh_study_has_other_uids_and_nothing_else(tmp_path: Path) -> None:
    """The same files, the same pixels; study, series, frame of reference and instances are new."""
    template = _template(tmp_path / "ct")
    study, body = template.fresh(Random(1))
    assert len(body) == len(template.body)
    assert template.instances == 3
    before, after = _images(template.body), _images(body)
    assert len(before) == len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert new.StudyInstanceUID == study != old.StudyInstanceUID
        assert new.SeriesInstanceUID != old.SeriesInstanceUID
        assert new.FrameOfReferenceUID != old.FrameOfReferenceUID
        assert new.SOPInstanceUID == new.file_meta.MediaStorageSOPInstanceUID
        assert new.PixelData == old.PixelData
    for keyword in ("SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({image[keyword].value for image in after}) == 1
    assert len({image.SOPInstanceUID for image in after}) == 3
    assert template.fresh(Random(2))[0] != study


def _images(body: bytes) -> list[pydicom.Dataset]:
    parts = body.split(f"--{BOUNDARY}".encode())[1:-1]
    files = [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
    return [pydicom.dcmread(io.BytesIO(data)) for data in files]


def test_fresh_data_sets_are_those_of_the_files(tmp_path: Path) -> None:
    """Without preamble and file meta information, each with the UID that it is sent by."""
    template = _template(tmp_path / "ct")
    study, data_sets = template.fresh_data_sets(Random(1))
    assert study == template.fresh(Random(1))[0]
    assert len(data_sets) == 3
    for uid, data in data_sets:
        image = pydicom.dcmread(io.BytesIO(data), force=True)
        assert (image.SOPInstanceUID, image.StudyInstanceUID) == (uid, study)
        assert len(image.PixelData) == 2 * image.Rows * image.Columns
        assert not image.group_dataset(0x0002)
