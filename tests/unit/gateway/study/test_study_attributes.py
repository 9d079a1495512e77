"""Age and contrast as headers give them."""

from __future__ import annotations

import pytest

from gateway.study.attributes import age_years, contrast_hint


@pytest.mark.parametrize(
    ("attributes", "years"),
    [
        ({"PatientAge": "058Y"}, 58.0),
        ({"PatientAge": "018M"}, 1.5),
        ({"PatientAge": "026W"}, pytest.approx(0.498, abs=1e-3)),
        ({"PatientBirthDate": "20080302", "StudyDate": "20260301"}, 17.0),
        ({"PatientBirthDate": "20080302", "StudyDate": "20260302"}, 18.0),
        ({"PatientAge": "Y", "PatientBirthDate": "19600101", "StudyDate": "20260101"}, 66.0),
        ({"PatientBirthDate": "19600101"}, None),
        ({"PatientBirthDate": "unknown", "StudyDate": "20260101"}, None),
        ({}, None),
    ],
)
def test_age_comes_from_age_or_from_dates(attributes, years):
    """Patient's Age counts first, then birth date and study date; otherwise it is not known."""
    assert age_years(attributes) == years


@pytest.mark.parametrize(
    "attributes",
    [
        {"ContrastBolusAgent": "Iomeprol 400"},
        {"SeriesDescription": "Abdomen portal venous 3.0"},
        {"SeriesDescription": "THORAX C+ 1.0"},
        {"ProtocolName": "CTA_Aorta"},
        {"SeriesDescription": "腹部增强"},
    ],
)
def test_contrast_is_hinted_at(attributes):
    """An agent, or a phase in a description, is a hint."""
    assert contrast_hint(attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ContrastBolusAgent": "NONE"},
        {"ContrastBolusAgent": "Gastrografin", "ContrastBolusRoute": "Oral"},
        {"SeriesDescription": "Abdomen without contrast"},
        {"SeriesDescription": "Chest W/O CONTRAST"},
        {"SeriesDescription": "native 3.0"},
        {"SeriesDescription": "胸部平扫"},
        {"SeriesDescription": "PARTIAL BODY"},
    ],
)
def test_native_scans_give_no_hint(attributes):
    """Words that deny contrast, and oral contrast, are none."""
    assert contrast_hint(attributes) is None
