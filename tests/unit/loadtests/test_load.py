"""The parts of the load test: fresh studies, percentiles, the verdict."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from random import Random
from typing import Any

import pydicom
import pytest

from loadtests.fresh import BOUNDARY, Template
from loadtests.verdict import judge, percentile, profile
from tests.small_ct import write_small_ct

GOOD: dict[str, Any] = {
    "seconds": {"store": [1.0] * 20, "screen_routine": [5.0] * 20, "screen_stat": [2.0] * 20},
    "asked": 100,
    "refused": 3,
    "wrong_answers": [],
    "errors": [],
    "lost": [],
}


def test_a_fresh_study_has_other_uids_and_nothing_else(tmp_path: Path) -> None:
    """The same files, the same pixels; study, series, frame of reference and instances are new."""
    folder = tmp_path / "ct"
    for path in write_small_ct(folder, slices=3, study_instance_uid="2.25.1234567890123"):
        image = pydicom.dcmread(path)
        image.SeriesInstanceUID = "2.25.12345678901230"  # the study's, and a digit more
        number = int(image.InstanceNumber)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"2.25.99{number:09d}"
        image.FrameOfReferenceUID = "2.25.777777777"
        image.save_as(path.with_suffix(".dcm"))
        if path.suffix != ".dcm":
            path.unlink()
    template = Template.read("small", folder)
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


def test_percentiles() -> None:
    """Of the nearest rank."""
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.95) == 95.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([1.0, 9.0], 0.95) == 9.0


@pytest.mark.parametrize("name", ["small", "large"])
def test_every_profile_is_whole(name: str) -> None:
    """Each target is one that is counted."""
    targets = profile(name)
    assert len(judge(GOOD, targets)) == sum(
        len(targets[kind]) for kind in ("least", "p95_seconds", "most")
    )


def test_a_good_run_passes() -> None:
    """All targets of the small profile."""
    assert all(met for _, _, met in judge(GOOD, profile("small")))


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({"seconds": {}}, "stored"),
        ({"lost": ["1.2.3"]}, "lost"),
        ({"errors": ["store: ConnectionError"]}, "errors"),
        ({"wrong_answers": ["fatty: negative"]}, "wrong_answers"),
        ({"refused": 51}, "refused_share"),
        (
            {"seconds": {**GOOD["seconds"], "screen_stat": [2.0] * 18 + [99.0] * 2}},
            "screen_stat p95",
        ),
    ],
)
def test_one_miss_fails_the_run(change: dict[str, Any], missed: str) -> None:
    """And says which."""
    found = {**copy.deepcopy(GOOD), **change}
    assert missed in {what for what, _, met in judge(found, profile("small")) if not met}
