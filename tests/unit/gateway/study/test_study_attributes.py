"""Age and contrast as headers give them."""

from __future__ import annotations

import pytest

from gateway.study.attributes import age_months, age_years, contrast_hint


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
    ("attributes", "months"),
    [
        ({"PatientBirthDate": "20180301", "StudyDate": "20260601"}, pytest.approx(99.0, abs=0.1)),
        ({"PatientBirthDate": "20180301", "StudyDate": "20260601", "PatientAge": "008Y"},
         pytest.approx(99.0, abs=0.1)),
        ({"PatientAge": "101M"}, 101.0),
        ({"PatientAge": "010W"}, pytest.approx(2.3, abs=0.01)),
        ({"PatientAge": "008Y"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_months_come_from_dates_or_from_an_age_that_counts_them(attributes, months):
    """Eight years may be 96 months or 107."""
    assert age_months(attributes) == months


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
