"""The contrast gate fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.exceptions import ModelOutputError
from gateway.screening.anatomy import parse_anatomy
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.phase import Phase, contrast_phase
from gateway.settings import ROOT
from gateway.testing import anatomy_measures, organ

GATE = load_manifests(ROOT / "model_repository")["anatomy"].phase


def phase_of(measures: dict[str, Any]) -> Phase:
    assert GATE is not None
    return contrast_phase(parse_anatomy(measures), GATE)


def only(**organs: dict[str, Any]) -> dict[str, Any]:
    return {"organs": organs, "grid_spacing_mm": [3.0, 3.0, 3.0]}


def test_a_native_scan_is_native() -> None:
    """Blood near 40 HU and kidneys near 30 HU."""
    phase = phase_of(anatomy_measures())
    assert phase.name == "native"
    assert phase.reason is None


@pytest.mark.parametrize(
    ("name", "hu"),
    [
        ("aorta", 76.0),
        ("heart", 76.0),
        ("inferior_vena_cava", 76.0),
        ("kidney_right", 61.0),
        ("kidney_left", 61.0),
        ("spleen", 76.0),
    ],
)
def test_one_region_above_its_limit_is_contrast(name: str, hu: float) -> None:
    """However native the others look."""
    phase = phase_of(anatomy_measures(**{name: organ(hu, volume_ml=100.0)}))
    assert phase.reason == "contrast"
    assert phase.exceeded == (name,)


@pytest.mark.parametrize(
    ("name", "hu"), [("aorta", 75.0), ("heart", 75.0), ("kidney_left", 60.0), ("spleen", 75.0)]
)
def test_a_region_at_its_limit_is_native(name: str, hu: float) -> None:
    """Limits are exceeded, not reached."""
    assert phase_of(anatomy_measures(**{name: organ(hu, volume_ml=100.0)})).name == "native"


def test_one_region_cannot_tell_the_phase() -> None:
    """Fewer than two measurable regions: unknown, and native-only checks do not run."""
    phase = phase_of(only(aorta=organ(40.0, volume_ml=50.0), liver=organ(55.0)))
    assert phase.reason == "phase_unknown"


def test_the_spleen_never_opens_the_gate() -> None:
    """Spleen and one other region are still too little."""
    assert phase_of(only(spleen=organ(45.0), aorta=organ(40.0, volume_ml=9.0))).name == "unknown"


def test_one_region_with_contrast_is_enough_to_refuse() -> None:
    """Contrast is seen in one region, its absence is not."""
    assert phase_of(only(aorta=organ(150.0, volume_ml=50.0))).reason == "contrast"


def test_regions_too_small_to_measure_do_not_count() -> None:
    """A median of a few voxels tells nothing."""
    small = organ(40.0, volume_ml=2.0, eroded_ml=0.5)
    assert phase_of(only(aorta=small, heart=small, kidney_left=small)).name == "unknown"


@pytest.mark.parametrize(
    ("aorta", "kidney", "name"),
    [(300.0, 120.0, "arterial"), (153.0, 180.0, "venous"), (80.0, 100.0, "delayed")],
)
def test_the_phase_has_a_name(aorta: float, kidney: float, name: str) -> None:
    """Arterial, venous or delayed by the aorta."""
    measures = anatomy_measures(
        aorta=organ(aorta, volume_ml=60.0), kidney_left=organ(kidney, volume_ml=160.0)
    )
    assert phase_of(measures).name == name


def test_measures_that_break_the_contract_are_refused() -> None:
    """An unknown coverage is not read as complete."""
    with pytest.raises(ModelOutputError):
        parse_anatomy(only(liver=organ(50.0, coverage="whole")))
