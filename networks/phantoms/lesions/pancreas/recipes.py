"""What each kind of pancreatic mass is made of.

HU and sizes are those of pipelines.md §6.3 where it gives them; the others are the usual
descriptions of these tumours on unenhanced CT, as ranges that we chose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions.brush import cells
from networks.phantoms.lesions.pancreas.shape import Lump

SOFT_TISSUE_HU = 38.0
"""A solid tumour without fat."""

FATTY_BELOW_HU = 26.0
"""Parenchyma less dense than this holds so much fat that a tumour is denser, not darker."""

SIZE_REACH = {"easy": 1.0, "medium": 0.75, "hard": 0.45}
"""How far up the range of sizes a difficulty goes, on a logarithmic scale: what bulges far is found
by its outline, however little it differs from parenchyma (chosen)."""


def sizes(size_mm: tuple[float, float], difficulty: str) -> tuple[float, float]:
    """Return the smallest and largest diameter that a difficulty may have."""
    low, high = size_mm
    return low, float(low * (high / low) ** SIZE_REACH[difficulty])


Fill = Callable[[FineGrid, Lump, FloatArray, float, np.random.Generator], FloatArray]
"""(grid, lump, distance mm, parenchyma HU, rng) → (S, R, C) HU at full contrast."""


@dataclass(frozen=True)
class Recipe:
    """One kind of mass."""

    size_mm: tuple[float, float]
    """Smallest and largest diameter."""
    strength: tuple[float, float]
    """Range of the share of the full contrast."""
    sites: dict[str, float]
    fill: Fill
    uneven: float = 0.08
    soft_mm: float = 1.5
    """Width of the edge."""
    outward: float = 0.6
    wavelength: tuple[float, float] = (0.9, 2.2)
    fluid: bool = False
    """Contrast is that against lobules without fat."""
    calcified: float = 0.0
    """Chance of calcifications."""
    rim_calcified: bool = False


def _even(value: float, distance: FloatArray) -> FloatArray:
    return np.full(distance.shape, value, np.float32)


def adenocarcinoma(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with 15 HU less than lean parenchyma; in a fatty gland, with soft tissue."""
    value = parenchyma - 15 if parenchyma >= FATTY_BELOW_HU else SOFT_TISSUE_HU
    return _even(value, distance)


def neuroendocrine(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with slightly dense tissue; the larger ones may be cystic in the middle."""
    value = _even(max(parenchyma, SOFT_TISSUE_HU) + 12, distance)
    radius = float(lump.radii_mm.mean())
    if radius > 9 and rng.random() < 0.25:
        hollow = np.clip((-distance - 0.45 * radius) / 2, 0, 1)
        value -= hollow * np.float32(rng.uniform(18, 30))
    return value


def solid_pseudopapillary(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with tissue beneath a capsule, cystic or bled into towards the middle."""
    radius = float(lump.radii_mm.mean())
    solid, fluid = rng.uniform(28, 38), rng.uniform(12, 26)
    parts = Lump.draw(rng, lump.centre_mm, radius * rng.uniform(0.5, 0.8), uneven=0.3, slender=0.35)
    hollow = np.clip(0.5 - parts.distance(grid) / 3, 0, 1)
    value = np.float32(solid) + hollow * np.float32(fluid - solid)
    capsule = np.exp(-(((distance + 1.2) / 1.2) ** 2))
    return (value + capsule * np.float32(rng.uniform(6, 12))).astype(np.float32)


def mucinous_cystic(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with one or a few large chambers with thin septa and a wall."""
    value = _even(rng.uniform(6, 18), distance)
    wall = np.clip(1 - (np.abs(distance + 1.0) - rng.uniform(0.4, 1.4)) / 1.0, 0, 1)
    for _ in range(int(rng.integers(0, 4))):
        normal = rng.standard_normal(3)
        normal /= np.linalg.norm(normal)
        z, y, x = grid.offsets(lump.centre_mm)
        across = normal[0] * z + normal[1] * y + normal[2] * x
        bent = across + 0.006 * rng.uniform(-1, 1) * (z * z + y * y + x * x)
        place = rng.uniform(-0.45, 0.45) * lump.radii_mm.mean()
        wall = np.maximum(wall, np.clip(1.2 - np.abs(bent - np.float32(place)), 0, 1))
    return (value + wall * np.float32(rng.uniform(34, 42) - value.flat[0])).astype(np.float32)


def serous_cystic(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with a honeycomb of small chambers about a scar."""
    fluid = float(rng.uniform(5, 12))
    combs = cells(grid, rng, rng.uniform(3.5, 8), distance < 2)
    value = fluid + np.clip(1.1 - combs.wall_mm / 0.7, 0, 1) * np.float32(36 - fluid)
    radius = float(lump.radii_mm.mean())
    if radius > 9:
        z, y, x = grid.offsets(lump.centre_mm)
        scar = np.clip(1.3 - np.sqrt(z * z + y * y + x * x) / (0.2 * radius), 0, 1)
        value += scar * (42 - value)
    return value.astype(np.float32)


def pseudocyst(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with fluid within a thick wall."""
    thick = rng.uniform(2, 4)
    inside = np.clip(0.5 - (distance + thick) / 1.2, 0, 1)
    return (36 + inside * np.float32(rng.uniform(6, 22) - 36)).astype(np.float32)


def metastasis(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with tissue a little darker or denser than the gland."""
    if parenchyma < FATTY_BELOW_HU:
        return _even(SOFT_TISSUE_HU, distance)
    return _even(parenchyma + float(rng.choice([-10, 8])), distance)


def autoimmune(
    grid: FineGrid, lump: Lump, distance: FloatArray, parenchyma: float, rng: np.random.Generator
) -> FloatArray:
    """Fill with swollen tissue without lobules, within a thin darker halo."""
    value = _even(max(parenchyma, 30) - 8, distance)
    return (value - 14 * np.exp(-(((distance + 1.0) / 1.2) ** 2))).astype(np.float32)


_DUCTAL = {"head": 0.5, "uncinate": 0.12, "neck": 0.06, "body": 0.2, "tail": 0.12}
_ANY = {"head": 0.25, "uncinate": 0.08, "neck": 0.07, "body": 0.3, "tail": 0.3}
_FAR = {"neck": 0.05, "body": 0.35, "tail": 0.6}

RECIPES: dict[str, Recipe] = {
    "pdac": Recipe((12, 48), (0.04, 1.0), _DUCTAL, adenocarcinoma, uneven=0.1, soft_mm=3.5),
    "pnet": Recipe((7, 42), (0.15, 1.0), _ANY, neuroendocrine, uneven=0.04, calcified=0.2),
    "spt": Recipe(
        (18, 90), (0.5, 1.0), _FAR, solid_pseudopapillary, fluid=True, uneven=0.05, outward=0.8,
        calcified=0.25, rim_calcified=True,
    ),
    "mcn": Recipe(
        (14, 95), (0.6, 1.0), _FAR, mucinous_cystic, fluid=True, uneven=0.04, outward=0.9,
        calcified=0.15,
        rim_calcified=True,
    ),
    "scn": Recipe(
        (10, 65), (0.6, 1.0), _ANY, serous_cystic, fluid=True, uneven=0.09, wavelength=(0.5, 1.2),
        calcified=0.3,
    ),
}  # fmt: skip
"""Kind → its recipe, for the kinds that are one mass."""

OTHER: dict[str, Recipe] = {
    "metastasis": Recipe((8, 45), (0.1, 1.0), _ANY, metastasis, uneven=0.06),
    "pseudocyst": Recipe(
        (12, 80), (0.6, 1.0), _FAR, pseudocyst, fluid=True, uneven=0.05, outward=1.1
    ),
    "autoimmune_pancreatitis": Recipe(
        (20, 55), (0.1, 1.0), _ANY, autoimmune, uneven=0.04, soft_mm=2.0, outward=0.1
    ),
}
"""What ``other_pancreatic`` may be."""
