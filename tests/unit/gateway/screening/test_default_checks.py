"""Which checks a study gets when nobody names any."""

from __future__ import annotations

import pytest

from gateway.screening.default_checks import default_checks
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT

MANIFESTS = load_manifests(ROOT / "model_repository")
CHECKS = {name for name, manifest in MANIFESTS.items() if manifest.is_check}
HANDS = {"bone_age"}


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        (["CT"], CHECKS - HANDS),
        (["CT", "SR", "SEG"], CHECKS - HANDS),
        (["DX"], HANDS),
        (["CR", "CT"], CHECKS),
        (["MG"], CHECKS),
        ([""], CHECKS),
        ([], CHECKS),
    ],
)
def test_a_study_gets_the_checks_of_its_modalities(
    modalities: list[str], expected: set[str]
) -> None:
    """Where there is none, all are asked and each says why not: no study is passed over."""
    assert set(default_checks(MANIFESTS, modalities)) == expected
