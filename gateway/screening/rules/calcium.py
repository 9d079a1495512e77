"""The rule ``cac_drs``: what the calcium of a scan may be called, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.screening.rules.cac_drs import (
    VESSELS,
    cac_drs,
    cac_drs_label,
    cac_drs_level,
)
from gateway.screening.rules.rule import Measures, RuleInput, RuleOutput

SCORE = "agatston"
ESTIMATE = "agatston_estimate"
"""The same sum on a scan on which it may not be called an Agatston score."""

LEVEL = "cac_level"
NOISE_ORGAN = "aorta"


def calcium(given: RuleInput) -> RuleOutput:
    """Name the calcium by the scan that it was counted on.

    Measures of the network: ``agatston`` and ``agatston_NAME`` of each territory, ``volume_mm3``,
    ``vessels``, ``increment_mm``, ``noise_sd_hu``. The sums keep their name only on a gated scan
    of 120 kVp and 3 mm; they become ``agatston_estimate…`` elsewhere, and are left out where
    voltage or noise allow no number. ``cac_level``, 0 to 3, is there in every case.
    A truncated heart without calcium has no category: an artery outside may be calcified.
    """
    found = given.measures
    total = found.get(SCORE)
    if total is None:
        return RuleOutput(measures={LEVEL: None})
    level = cac_drs_level(total)
    vessels = _vessels(found, level)
    said = cac_drs(
        total,
        gated=given.series.gated,
        kvp=given.series.kvp,
        increment_mm=found.get("increment_mm"),
        noise_sd_hu=None if NOISE_ORGAN in given.without else found.get("noise_sd_hu"),
        vessels=vessels,
    )
    assert said.category is not None
    assert said.basis is not None
    measures = {LEVEL: float(level), **_named(found, said.basis)}
    lesions = None if said.basis == SCORE else [_plaque(one, said.basis) for one in given.lesions]
    if level == 0 and given.anatomy.organ("heart").truncated:
        return RuleOutput(measures=measures, lesions=lesions)
    return RuleOutput(
        measures=measures,
        lesions=lesions,
        assessments=(said,),
        grade=cac_drs_label(said.category, vessels),
    )


def _vessels(found: Measures, level: int) -> int | None:
    """Give the number of vessels with calcium, unless rounding made it contradict the level."""
    vessels = found.get("vessels")
    if vessels is None or not (level > 0) <= vessels <= (VESSELS if level else 0):
        return None
    return int(vessels)


def _named(found: Measures, basis: str) -> dict[str, float | None]:
    """Give every sum under the name that the scan allows, and None under the others."""
    out: dict[str, float | None] = {}
    for name, value in found.items():
        if name == SCORE or name.startswith(f"{SCORE}_"):
            estimate = ESTIMATE + name.removeprefix(SCORE)
            out[name] = value if basis == SCORE else None
            out[estimate] = value if basis == ESTIMATE else None
    if basis not in (SCORE, ESTIMATE):
        out["volume_mm3"] = None
    return out


def _plaque(lesion: Mapping[str, Any], basis: str) -> dict[str, Any]:
    """Give a plaque with its sum under the name that the scan allows."""
    measures = dict(lesion.get("measures", {}))
    total = measures.pop(SCORE, None)
    if basis == ESTIMATE and total is not None:
        measures[ESTIMATE] = total
    return {**lesion, "measures": measures}
