"""Charts of phantoms are read by the gateway and go with the liver as they do in life."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from gateway.screening.clinical import numbers, read_clinical
from gateway.screening.clinical_quantities import QUANTITIES
from gateway.screening.rules.fibrosis import assess_fibrosis
from networks.metrics import auc
from networks.phantoms.clinical import MISSING, UNITS, Chart, draw_chart
from networks.phantoms.patient import Patient, draw_patient
from networks.phantoms.report import ABSENT, CHINESE, ENGLISH, draw_report

COUNT = 1500

GRADED = re.compile(r"\b(mild|moderate|severe|cirrho|[SF][0-4])|轻度|中度|重度|硬化", re.IGNORECASE)


@pytest.fixture(scope="module")
def charts() -> list[tuple[int, float, Chart]]:
    """Return (stage, PDFF, chart) of a cohort with every stage equally often."""
    drawn = []
    for seed in range(COUNT):
        rng = np.random.default_rng((seed, 1))
        stage, fat = seed % 5, float(rng.uniform(1.5, 34))
        patient = draw_patient(np.random.default_rng(seed), fibrosis_stage=stage)
        drawn.append((stage, fat, draw_chart(rng, patient, fat, stage)))
    return drawn


def _column(charts: list[tuple[int, float, Chart]], name: str) -> np.ndarray:
    return np.array([chart.values.get(name, np.nan) for _, _, chart in charts])


def test_every_chart_is_taken(charts: list[tuple[int, float, Chart]]) -> None:
    """The parser of `onescan screen --clinical` keeps each value as it is."""
    assert all(UNITS[name] == QUANTITIES[name].unit for name in UNITS)
    for _, _, chart in charts:
        kept = read_clinical(chart.inputs())
        assert {name: kept[name] for name in chart.values} == chart.values
        assert kept.get("report", "") == chart.report
        assert kept["sex"] == chart.sex


def test_blood_rules_tell_stages_apart_as_in_life(charts: list[tuple[int, float, Chart]]) -> None:
    """FIB-4 and APRI find F3 and above with an AUC of .75 to .85, and F2 with less."""
    stages = np.array([stage for stage, _, _ in charts])
    scores = np.array(
        [
            [np.nan if rule.value is None else rule.value for rule in assess_fibrosis(known)]
            for known in (numbers(read_clinical(chart.inputs())) for _, _, chart in charts)
        ]
    )
    for column in scores.T[:2]:
        known = np.isfinite(column)
        found = [
            auc(column[known & (stages < cut)], column[known & (stages >= cut)]).value
            for cut in (2, 3)
        ]
        assert 0.75 <= found[1] <= 0.86
        assert found[0] < found[1]


def test_values_go_with_fat_and_fibrosis(charts: list[tuple[int, float, Chart]]) -> None:
    """ALT and GGT rise with fat; platelets and albumin fall with the stage; all scatter."""
    stages, fats = (np.array([row[n] for row in charts], float) for n in (0, 1))
    for name, cause, low, high in (
        ("alt", fats, 0.15, 0.6),
        ("ggt", fats, 0.05, 0.5),
        ("ast", stages, 0.15, 0.6),
        ("platelets", stages, -0.75, -0.25),
        ("albumin", stages, -0.7, -0.2),
    ):
        column = _column(charts, name)
        known = np.isfinite(column)
        assert low < np.corrcoef(np.log(column[known]), cause[known])[0, 1] < high, name


def test_values_are_missing_as_often_as_said(charts: list[tuple[int, float, Chart]]) -> None:
    """What one blood sample gives is missing together; age is always there."""
    ast, alt = _column(charts, "ast"), _column(charts, "alt")
    assert np.array_equal(np.isnan(ast), np.isnan(alt))
    assert np.isnan(ast).mean() == pytest.approx(next(iter(MISSING.values())), abs=0.03)
    assert np.isnan(_column(charts, "platelets")).mean() == pytest.approx(0.12, abs=0.03)
    assert not np.isnan(_column(charts, "age_years")).any()
    assert {chart.diabetes for _, _, chart in charts} == {True, False, None}


def test_reports_never_state_a_grade(charts: list[tuple[int, float, Chart]]) -> None:
    """They are absent in 30 %, in two languages, and describe."""
    reports = [chart.report for _, _, chart in charts]
    assert np.mean([not report for report in reports]) == pytest.approx(ABSENT, abs=0.04)
    assert not any(GRADED.search(report) for report in reports)
    chinese = np.mean([bool(re.search("[一-鿿]", report)) for report in reports if report])
    assert chinese == pytest.approx(0.5, abs=0.06)


@pytest.fixture(scope="module")
def patient() -> Patient:
    drawn = draw_patient(np.random.default_rng(3))
    return replace(drawn, volume_ml={**drawn.volume_ml, "spleen": 150.0})


def _mentions(patient: Patient, fat: float, stage: int, choose: str) -> float:
    said = [*getattr(ENGLISH, choose), *getattr(CHINESE, choose)]
    texts = [draw_report(np.random.default_rng(n), patient, fat, stage) for n in range(400)]
    return float(np.mean([any(x in text for x in said) for text in texts if text]))


def test_reports_describe_what_is_there_and_err(patient: Patient) -> None:
    """Signs are named more often where they are, sometimes missed, and sometimes of another day."""
    assert _mentions(patient, 30.0, 0, "fat") > 0.65 > 0.2 > _mentions(patient, 3.0, 0, "fat") > 0
    late, none = (_mentions(patient, 3.0, stage, "fibrosis") for stage in (4, 0))
    assert 0.9 > late > 0.5 > 0.15 > none > 0
    large = replace(patient, volume_ml={**patient.volume_ml, "spleen": 700.0})
    assert _mentions(large, 3.0, 0, "large_spleen") > 0.6
    assert _mentions(patient, 3.0, 0, "large_spleen") < 0.25


def test_the_same_numbers_draw_the_same_chart(patient: Patient) -> None:
    """Everything comes from the generator given."""
    first, second = (draw_chart(np.random.default_rng(8), patient, 20.0, 2) for _ in range(2))
    assert first == second
