"""Where in the pancreas something is, and what its parenchyma measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.centreline import Centreline
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

BoolArray = npt.NDArray[np.bool_]

SITES = {
    "pancreas_uncinate": (0.0, 0.10),
    "pancreas_head": (0.10, 0.28),
    "pancreas_neck": (0.28, 0.37),
    "pancreas_body": (0.37, 0.68),
    "pancreas_tail": (0.68, 1.0),
}
"""Site → share of the gland's length from the lower end of the head (chosen after the landmarks
that the anatomy is drawn with: neck over the portal vein, tail from the left kidney on)."""

ROOM = (
    Tissue.PANCREAS,
    Tissue.VISCERAL_FAT,
    Tissue.MESENTERIC_VESSEL,
    Tissue.BOWEL_WALL,
    Tissue.BOWEL_FLUID,
    Tissue.BOWEL_GAS,
    Tissue.STOOL,
    Tissue.ADRENAL,
)
"""What a mass may take the place of; large vessels and solid organs stay."""

LOBULE_HU = 28.0
"""Least HU of lobules without the fat between them (chosen)."""

SMALLEST_ML = 12.0
"""Less pancreas than this in view is no place to plant."""

HEAD_LIES = (-0.7, 0.0, -1.0)
"""Direction (z, y, x) of the head from the tail: down and to the right."""


@dataclass(frozen=True)
class Spot:
    """A place for a mass."""

    centre_mm: npt.NDArray[np.float64]
    site: str
    arc_mm: float
    """Along the gland from the head."""


@dataclass(frozen=True)
class Gland:
    """The pancreas of a scene."""

    scene: Scene
    mask: BoolArray
    line: Centreline
    parenchyma_hu: float
    """Mean HU, fat between the lobules included."""

    @property
    def lobule_hu(self) -> float:
        """What fluid is compared with: parenchyma, or its lobules where there is much fat."""
        return max(self.parenchyma_hu, LOBULE_HU)

    @classmethod
    def of(cls, scene: Scene) -> Gland:
        """Find the pancreas; `NoPlaceError` when too little is in view."""
        mask = scene.tissue(Tissue.PANCREAS)
        if np.count_nonzero(mask) * scene.spacing_mm**3 < SMALLEST_ML * 1000:
            raise NoPlaceError("too little pancreas is in view")
        line = Centreline.through(scene, mask, HEAD_LIES)
        return cls(scene, mask, line, float(scene.table.mean[Tissue.PANCREAS]))

    @staticmethod
    def site_at(fraction: float) -> str:
        """Name the site at a share of the length."""
        return next((name for name, (_, high) in SITES.items() if fraction < high), "pancreas_tail")

    def spot(
        self,
        rng: np.random.Generator,
        weights: dict[str, float],
        *,
        radius_mm: float,
        outward: float,
    ) -> Spot:
        """Draw a place where a ball has room.

        Parameters
        ----------
        weights : dict
            Site, without ``pancreas_``, → how often.
        radius_mm : float
            Of the ball.
        outward : float
            How far from the axis its centre may lie, as a share of the gland's radius there.
        """
        names = list(weights)
        chances = np.array([weights[name] for name in names], float)
        found: list[tuple[float, Spot]] = []
        for _ in range(10):
            low, high = SITES[
                f"pancreas_{names[rng.choice(len(names), p=chances / chances.sum())]}"
            ]
            index = self.line.index(rng.uniform(max(low, 0.04), min(high, 0.96)))
            away = rng.standard_normal(3)
            tangent = self.line.tangent(index)
            away -= tangent * (tangent @ away)
            away *= rng.uniform(0, outward) * self.line.radius_mm[index] / np.linalg.norm(away)
            centre = self.line.points_mm[index] + away
            arc = float(self.line.arc_mm[index])
            spot = Spot(centre, self.site_at(arc / self.line.length_mm), arc)
            found.append((self._room(centre, radius_mm), spot))
            if found[-1][0] > 0.7:
                break
        room, best = max(found, key=lambda item: item[0])
        if room < 0.35:
            raise NoPlaceError("the pancreas is hemmed in")
        return best

    def _room(self, centre_mm: npt.NDArray[np.float64], radius_mm: float) -> float:
        """Return the share of a ball that a mass may take."""
        spacing = self.scene.spacing_mm
        reach = int(np.ceil(radius_mm / spacing))
        middle = np.array(self.scene.voxel(centre_mm))
        low = np.maximum(middle - reach, 0)
        part = self.scene.anatomy.labels[
            tuple(slice(a, b) for a, b in zip(low, middle + reach + 1, strict=True))
        ]
        z, y, x = (
            (np.arange(n) + a - m)[tuple(slice(None) if k == axis else None for k in range(3))]
            for axis, (n, a, m) in enumerate(zip(part.shape, low, middle, strict=True))
        )
        ball = z * z + y * y + x * x <= (radius_mm / spacing) ** 2
        return float(np.isin(part[ball], ROOM).mean()) if ball.any() else 0.0
