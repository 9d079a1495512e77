"""Plant what fibrosis does to liver tissue and surface.

What it does to spleen, lobes and portal vein belongs to the anatomy: `sample_anatomy` with
``fibrosis_stage``. Every sign grows with a severity that scatters about the stage, so neighbouring
stages overlap as they do in life.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.lesions import Judged
from networks.phantoms.lesions.brush import DPRIME, Patch, cloud, difficulty_of, tube
from networks.phantoms.lesions.lattice import aligned
from networks.phantoms.lesions.liver.organ import Liver, diffuse
from networks.phantoms.scene import occupancy
from networks.phantoms.tissue import Tissue

SEVERITY_SD = 0.45
"""Scatter of a sign's severity about the stage (chosen)."""

TEXTURE_SD_HU = ((0.0, 0.35), (0.15, 0.7), (0.25, 1.1), (0.4, 1.8), (0.6, 3.2))
"""SD of coarse texture at severity 0 to 4: least and most (chosen)."""

NODULE_MM = ((0.0, 0.15), (0.0, 0.35), (0.05, 0.8), (0.15, 1.6), (0.4, 3.2))
"""Height of surface nodules at severity 0 to 4: least and most (chosen; surface nodularity scores
on CT measure tenths of a millimetre at F1-F2 and above one at F4)."""

TEXTURE_STEP_MM = (4.5, 9.0)
"""Distance of the knots of the texture: regenerative nodules are 3 to 15 mm wide."""

ASCITES_SEVERITY = 3.7
VARICES_SEVERITY = 3.4
"""Above these, `COMPLICATION_CHANCE` have fluid around the liver or wide veins at the spleen."""

COMPLICATION_CHANCE = 0.4

VISIBLE_HU = 15.0
"""The surface is counted as changed from this on."""


def plant_fibrosis(
    liver: Liver, rng: np.random.Generator, stage: int, difficulty: str, judge: Judged
) -> list[Lesion]:
    """Plant the signs of a stage from 1 to 4; the first lesion is the surface, or the texture.

    The difficulty is that of the texture, to an observer who knows how coarse it is and not how it
    lies. The stage bounds it: an easy F1 and a hard F4 may come out as what the stage allows.
    """
    kind = f"fibrosis_f{stage}"
    severity = float(np.clip(rng.normal(stage, SEVERITY_SD), 0.2, 4.4))
    grid = liver.grid(1.5)
    step = float(rng.uniform(*TEXTURE_STEP_MM))
    pattern = _texture(liver, grid, rng, step)
    known = judge(grid, pattern)
    volume = float(np.count_nonzero(liver.mask)) * liver.scene.spacing_mm**3
    modes = volume / (4.6 * step**3)
    least, most = _between(TEXTURE_SD_HU, severity)
    low, high = DPRIME[difficulty]
    sd = float(np.clip(_sd_for(float(rng.uniform(low, high)), known, modes), least, most))
    if difficulty == "easy":
        sd = float(rng.uniform(sd, most))
    dprime = texture_dprime(sd * known, modes)
    level = difficulty_of(dprime)
    place = (sd - least) / max(most - least, 1e-6)
    flat, tall = _between(NODULE_MM, severity)
    height = float(np.clip(flat + (tall - flat) * (0.65 * place + 0.35 * rng.random()), 0, None))
    shift = _surface(liver, grid, rng, height)
    truth = {"stage": f"F{stage}", "severity": round(severity, 2)}
    none = np.zeros(grid.shape, bool)
    lesions = []
    changed = np.abs(shift) > VISIBLE_HU
    if changed.any():
        lesions.append(
            diffuse(kind, grid, shift, changed, difficulty=level, dprime=dprime,
                    extra={**truth, "nodule_mm": round(height, 2)})
        )  # fmt: skip
    lesions.append(
        diffuse(kind, grid, np.float32(sd) * pattern, none, difficulty=level, dprime=dprime,
                extra={**truth, "texture_sd_hu": round(sd, 2)}
                | ({"sign": "texture"} if lesions else {}))
    )  # fmt: skip
    if severity > ASCITES_SEVERITY and rng.random() < COMPLICATION_CHANCE:
        fluid = _ascites(liver, grid, rng)
        if fluid.any():
            lesions.append(
                diffuse(kind, grid, fluid, np.abs(fluid) > VISIBLE_HU, difficulty=level,
                        extra={**truth, "sign": "ascites"})
            )  # fmt: skip
    if severity > VARICES_SEVERITY and rng.random() < COMPLICATION_CHANCE:
        veins = _varices(liver, rng)
        if veins is not None and veins.mask.any():
            lesions.append(
                diffuse(kind, veins.grid, veins.delta_hu, veins.mask, site="splenic_hilum",
                        difficulty=level, extra={**truth, "sign": "varices"})
            )  # fmt: skip
    return lesions


def texture_dprime(known_dprime: float, modes: float) -> float:
    """Return d′ of a random texture for an observer who does not know its pattern.

    Parameters
    ----------
    known_dprime : float
        d′ for one who does: its square is the sum over the texture's modes of signal over noise.
    modes : float
        How many independent modes it has: volume over correlation volume.

    Notes
    -----
    For a Gaussian signal of known covariance in Gaussian noise, with the same ratio r in each mode,
    the symmetrised divergence of the two hypotheses is modes · r² / (2 (1 + r)), which takes the
    place of d′² (chosen: equal for equal variances, and falls as r² where r is small).
    """
    ratio = known_dprime**2 / max(modes, 1.0)
    return float(np.sqrt(0.5 * modes * ratio**2 / (1 + ratio)))


def _sd_for(goal: float, known: float, modes: float) -> float:
    """Return the SD in HU at which a texture has a d′."""
    if known <= 0:
        return 0.0
    half = goal**2 / modes
    ratio = half + np.sqrt(half**2 + 2 * half)
    return float(np.sqrt(ratio * modes) / known)


def _between(table: tuple[tuple[float, float], ...], severity: float) -> tuple[float, float]:
    """Return the least and the most at a severity, linear between the rows."""
    stages = np.arange(len(table))
    low, high = np.array(table).T
    return float(np.interp(severity, stages, low)), float(np.interp(severity, stages, high))


def _texture(liver: Liver, grid: FineGrid, rng: np.random.Generator, step_mm: float) -> FloatArray:
    """Return coarse texture of SD 1 HU in the liver: soft nodules between darker septa."""
    nodules = cloud(grid, rng, step_mm)
    septa = np.exp(-((cloud(grid, rng, 1.3 * step_mm) / 0.35) ** 2))
    mixed = nodules - 1.1 * (septa - septa.mean())
    inside = liver.scene.share_on(grid, Tissue.LIVER)
    mixed *= inside / max(float(mixed[inside > 0.5].std()), 1e-6)
    return mixed.astype(np.float32)


def _surface(
    liver: Liver, grid: FineGrid, rng: np.random.Generator, height_mm: float
) -> FloatArray:
    """Return the HU that nodules of the surface add where it lies against fat."""
    distance = liver.surface.on(grid)
    grooves = np.exp(-((cloud(grid, rng, float(rng.uniform(5.0, 9.0))) / 0.45) ** 2))
    coarse = cloud(grid, rng, 16.0)
    moved = distance - height_mm * (0.8 - 2.0 * grooves + 0.5 * coarse)
    width = max(1.8 * grid.spacing_mm, 2.5)
    change = occupancy(moved, width) - occupancy(distance, width)
    fat = float(liver.scene.table.mean[Tissue.VISCERAL_FAT])
    shift = change * liver.facing_fat(grid) * np.float32(liver.hu - fat)
    shift[np.abs(shift) < 0.5] = 0
    return shift


def _ascites(liver: Liver, grid: FineGrid, rng: np.random.Generator) -> FloatArray:
    """Return the HU that fluid around the liver adds."""
    distance = liver.surface.on(grid)
    deep = float(rng.uniform(2.5, 6.0)) * (1 + 0.3 * cloud(grid, rng, 40.0))
    where = occupancy(distance - deep, 2.5) * occupancy(-distance, 2.5)
    where *= liver.scene.share_on(grid, Tissue.VISCERAL_FAT)
    return where * (np.float32(rng.uniform(2, 14)) - liver.scene.hu_on(grid)) * (where > 0.01)


def _varices(liver: Liver, rng: np.random.Generator) -> Patch | None:
    """Wind a few wide veins through the fat between stomach and spleen."""
    scene = liver.scene
    near = scene.depth_mm(Tissue.VISCERAL_FAT)
    spleen = np.argwhere(scene.tissue(Tissue.SPLEEN))
    if not len(spleen):
        return None
    hilum = scene.origin_mm + scene.spacing_mm * spleen.mean(axis=0) - np.array([0, 12.0, 24.0])
    fat = scene.origin_mm + scene.spacing_mm * np.argwhere(near > 4)
    fat = fat[np.linalg.norm(fat - hilum, axis=1) < 45]
    if len(fat) < 12:
        return None
    centre = fat[int(rng.integers(len(fat)))]
    patch = Patch(scene, aligned(scene, centre - 40, centre + 40, 1.0))
    room = patch.share(Tissue.VISCERAL_FAT)
    for _ in range(int(rng.integers(3, 7))):
        turn = np.linspace(0, 1, 24)
        waves = [
            np.sin(2 * np.pi * (turn * rng.uniform(0.8, 2.2) + rng.random())) for _ in range(3)
        ]
        course = centre + np.stack(waves, axis=-1) * rng.uniform(6, 18, 3)
        course = course + rng.normal(0, 8, 3)
        bore = tube(patch.grid, course, float(rng.uniform(1.8, 4.2)))
        patch.lay(patch.inside(bore) * room, float(scene.table.mean[Tissue.PORTAL_VEIN]))
    return patch
