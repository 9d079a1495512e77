"""The report on a study: series, choice, geometry, quality, checks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.settings import Settings
from gateway.study.choice import Requirement
from gateway.study.inspect import inspect, inspect_study
from tests.stored_series import MemoryObjects, frames_at, make_frame, make_instance

CHECKS = {"liver": Requirement(), "nodule": Requirement(max_thickness_mm=1.5)}


def study(**attributes):
    objects = MemoryObjects()
    plane = np.full((64, 64), -1000, np.int16)
    plane[16:48, 12:52] = 40
    objects.objects["k"] = plane.tobytes()
    frames = [
        make_frame(3.0 * k, rows=64, columns=64, pixel_spacing=(5.0, 5.0), object_key="k")
        for k in range(10)
    ]
    scout = make_instance(
        make_frame(number=99),
        series="1.2.1",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )
    return [scout, *(make_instance(f, **attributes) for f in frames)], objects


def test_the_report_names_every_series_and_why_not():
    """The localizer is refused with its code; the volume is chosen with a reason."""
    report = inspect(*study(), CHECKS)
    assert [(s["slices"], s["usable"], s["code"]) for s in report["series"]] == [
        (1, False, "series.localizer"),
        (10, True, None),
    ]
    assert report["chosen"]["series_instance_uid"] == "1.2.9"
    assert report["chosen"]["why"].startswith("Score")


def test_each_check_says_what_it_takes_or_lacks():
    """Liver fits; nodules want thinner slices, and the sentence says so."""
    checks = inspect(*study(), CHECKS)["checks"]
    assert checks["liver"]["fit"] == "fit"
    assert checks["nodule"]["fit"] == "unfit"
    assert checks["nodule"]["asks"]["max_thickness_mm"] == 1.5
    assert "3 mm thick" in checks["nodule"]["reason"]


def test_the_volume_comes_with_its_affine():
    """In HU, for whoever wants to save it."""
    _, volume = inspect_study(*study(), CHECKS)
    assert volume is not None
    assert volume.array.shape == (10, 64, 64)
    assert volume.spacing_mm == pytest.approx((3.0, 5.0, 5.0))


def test_the_report_is_plain_json():
    """Nothing but what JSON knows."""
    report = inspect(*study(), CHECKS)
    assert json.loads(json.dumps(report))["geometry"]["shape"] == [10, 64, 64]


def test_a_child_fits_no_check():
    """The age is the site's or the check's, whichever is higher."""
    report = inspect(*study(PatientAge="012Y"), CHECKS, settings=Settings(home="/nowhere"))
    assert report["checks"]["liver"]["code"] == "series.patient_too_young"
    assert report["quality"]["refused"]["code"] == "series.patient_too_young"


def test_damaged_pixels_are_reported():
    """The report is given all the same, without a volume."""
    instances, objects = study()
    objects.objects["k"] = b"short"
    report, volume = inspect_study(instances, objects, CHECKS)
    assert volume is None
    assert report["quality"]["refused"]["code"] == "series.pixel_data"
    assert report["checks"]["liver"]["code"] == "series.pixel_data"


def test_a_study_without_volume_has_nothing_chosen():
    """Only a localizer: every check says why."""
    (scout, *_), objects = study()
    report, volume = inspect_study([scout], objects, CHECKS)
    assert (report["chosen"], report["geometry"], volume) == (None, None, None)
    assert report["checks"]["liver"]["code"] == "series.localizer"


def test_missing_slices_are_the_reason_of_every_check():
    """A single cause keeps its own code."""
    objects = MemoryObjects()
    instances = [make_instance(f) for f in frames_at(0, 3, 6, 30)]
    assert inspect(instances, objects, CHECKS)["checks"]["liver"]["code"] == "series.missing_slices"
