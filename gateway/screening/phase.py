"""Contrast phase from organ HU: a gate that fails closed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.screening.anatomy import Anatomy
from gateway.screening.manifest import PhaseGate

SPLEEN_LIMIT_HU = 75.0
"""A spleen above it: not native. It can close the gate and never opens it, since it says
nothing in the early arterial phase. Native 35–60 HU, portal venous 100–130 HU."""

_ARTERIAL_AORTA_HU = 180.0
_VENOUS_AORTA_HU = 100.0
"""Aorta: arterial 200–400, venous 130–180, delayed 60–90 HU (pipelines, phantoms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """The contrast phase of a volume and what it was told from."""

    name: str
    """``native | arterial | venous | delayed | unknown``."""

    regions_hu: dict[str, float]
    """Median HU of every region that was measurable."""

    exceeded: tuple[str, ...] = ()
    """Regions above their limit."""

    @property
    def reason(self) -> str | None:
        """Why a native-only check cannot run, None if it can."""
        if self.name == "native":
            return None
        return "phase_unknown" if self.name == "unknown" else "contrast"

    def to_json(self) -> dict[str, Any]:
        """Give plain values for plan and result."""
        return {
            "name": self.name,
            "regions_hu": {name: round(hu, 1) for name, hu in self.regions_hu.items()},
            "exceeded": list(self.exceeded),
        }


def contrast_phase(anatomy: Anatomy, gate: PhaseGate) -> Phase:
    """Tell the contrast phase from the eroded organ medians.

    One region above its limit is enough for contrast; native needs `gate.min_regions`
    measurable regions, all within their limits. Limits and their source are in the manifest
    of the anatomy pipeline.
    """

    def median(name: str) -> float | None:
        organ = anatomy.organ(name)
        return organ.median_hu if organ.eroded_ml >= gate.min_eroded_ml else None

    regions = {name: hu for name in gate.native_max_hu if (hu := median(name)) is not None}
    exceeded = [name for name, hu in regions.items() if hu > gate.native_max_hu[name]]
    measured = dict(regions)
    if (spleen := median("spleen")) is not None:
        measured["spleen"] = spleen
        if spleen > gate.native_max_hu.get("spleen", SPLEEN_LIMIT_HU):
            exceeded.append("spleen")
    if exceeded:
        name = _enhanced_phase(regions)
    elif len(regions) < gate.min_regions:
        name = "unknown"
    else:
        name = "native"
    return Phase(name=name, regions_hu=measured, exceeded=tuple(dict.fromkeys(exceeded)))


def _enhanced_phase(regions: dict[str, float]) -> str:
    blood = max((regions[name] for name in ("aorta", "heart") if name in regions), default=0.0)
    if blood > _ARTERIAL_AORTA_HU:
        return "arterial"
    return "venous" if blood > _VENOUS_AORTA_HU else "delayed"
