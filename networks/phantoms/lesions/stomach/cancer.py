"""Plant gastric cancer: a lump of the wall, or a stiff thick wall all around."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions import Judged, NoPlaceError
from networks.phantoms.lesions.brush import Patch, cloud, tune
from networks.phantoms.lesions.lattice import aligned
from networks.phantoms.lesions.stomach.wall import Point, Stomach, Wall, grid_around
from networks.phantoms.tissue import Tissue

CONTRAST_HU = 8.0
"""Most that a cancer is denser than normal wall; the least is `LEAST_SHARE` of it
(pipelines.md §6.3: +3 to +8 HU)."""

LEAST_SHARE = 3.0 / 8.0

THICKNESS_MM = (6.0, 20.0)
"""Of the whole wall (pipelines.md §6.3)."""

LENGTH_MM = (20.0, 80.0)
DIFFUSE_LENGTH_MM = (28.0, 130.0)
"""Along the stomach (chosen)."""

REGION_CHANCE = {"cardia": 0.22, "fundus": 0.1, "body": 0.3, "antrum": 0.38}
"""How often a cancer lies where (chosen after the usual order: antrum, body, cardia, fundus)."""

REACH = {"easy": 1.0, "medium": 0.8, "hard": 0.5}
"""Share of the range of lengths and of thickness that a difficulty reaches (chosen)."""

TEXTURE_SD_HU = 5.0


class Grown(Patch):
    """A patch that remembers what of it is thickened wall."""

    whole: FloatArray
    beyond: FloatArray
    """How much of each voxel is wall that was not there before."""
    thickness_mm: float
    ulcer: bool = False


def plant_focal(
    stomach: Stomach, rng: np.random.Generator, difficulty: str, judge: Judged
) -> list[Lesion]:
    """Plant an asymmetric thickening; the first lesion is the wall's contrast."""
    names, chances = list(REGION_CHANCE), list(REGION_CHANCE.values())
    order = [str(name) for name in rng.choice(names, size=4, replace=False, p=chances)]
    seed = _seed(stomach, rng, order)
    slope = float(rng.uniform(0.22, 0.42))
    wide = float(rng.uniform(0.55, 1.0))
    outward = float(rng.uniform(0.1, 0.35))
    ulcer = bool(rng.random() < 0.4)

    def draw(length_mm: float) -> Grown:
        return _lump(stomach, rng, seed, length_mm, slope, wide, outward, ulcer, difficulty)

    size = (LENGTH_MM[0], _reach(LENGTH_MM, difficulty))
    tuned = tune(draw, rng, judge, difficulty, size=size, strength=(LEAST_SHARE, 1.0))
    patch = tuned.patch
    assert isinstance(patch, Grown)
    truth = {"length_mm": round(tuned.size, 1), "ulcerated": patch.ulcer}
    return _lesions(
        stomach, patch, "gastric_cancer", seed, rng, judge, tuned.difficulty, tuned.dprime, truth
    )


def plant_diffuse(
    stomach: Stomach, rng: np.random.Generator, difficulty: str, judge: Judged
) -> list[Lesion]:
    """Plant a wall that is thick all around over a length of the stomach."""
    middle = float(rng.uniform(0.4, 0.8))
    centre = stomach.line.points_mm[stomach.line.index(middle)]
    share = float(rng.uniform(0.2, 1.0)) * REACH[difficulty]
    total = THICKNESS_MM[0] + share * (14.0 - THICKNESS_MM[0])

    def draw(length_mm: float) -> Grown:
        return _sleeve(stomach, rng, middle, length_mm, total)

    longest = min(_reach(DIFFUSE_LENGTH_MM, difficulty), 0.75 * stomach.line.length_mm)
    size = (min(DIFFUSE_LENGTH_MM[0], 0.8 * longest), longest)
    tuned = tune(draw, rng, judge, difficulty, size=size, strength=(LEAST_SHARE, 1.0))
    patch = tuned.patch
    assert isinstance(patch, Grown)
    truth = {"length_mm": round(tuned.size, 1), "ulcerated": False}
    return _lesions(
        stomach, patch, "gastric_cancer_diffuse", centre, rng, judge, tuned.difficulty,
        tuned.dprime, truth,
    )  # fmt: skip


def _reach(limits: tuple[float, float], difficulty: str) -> float:
    low, high = limits
    return low + REACH[difficulty] * (high - low)


def _seed(stomach: Stomach, rng: np.random.Generator, order: list[str]) -> Point:
    for region in order:
        try:
            return stomach.seed(rng, region)
        except NoPlaceError:
            continue
    raise NoPlaceError("the stomach has no wall in view")


def _lump(
    stomach: Stomach,
    rng: np.random.Generator,
    seed: Point,
    length_mm: float,
    slope: float,
    wide: float,
    outward: float,
    ulcer: bool,
    difficulty: str,
) -> Grown:
    """Paint the contrast of a lump of the wall."""
    most = _reach(THICKNESS_MM, difficulty)
    grid = grid_around(stomach.scene, seed, 0.5 * length_mm + 14)
    patch = Grown(stomach.scene, grid)
    wall = Wall(stomach, patch)
    tangent = stomach.line.tangent(stomach.line.index(stomach.line.fraction_of(seed)))
    along, across, facing = wall.plane(seed, tangent)
    rho = np.sqrt((along / (0.5 * length_mm)) ** 2 + (across / (0.5 * wide * length_mm)) ** 2)
    rho += 0.12 * cloud(grid, rng, 0.3 * length_mm)
    profile = np.clip(1.35 * (1 - rho**2), 0, 1) * np.clip((facing + 0.35) / 0.5, 0, 1)
    drawn = wall.thickness_mm
    total = float(np.clip(slope * length_mm, THICKNESS_MM[0], most))
    extra = max(total - drawn, 3.0)
    uneven = 1 + 0.15 * cloud(grid, rng, 5.0)
    inward = min((1 - outward) * extra, max(1.6 * wall.depth_mm, 0.5))
    outside = max(outward * extra, extra - inward)
    into = (inward * profile * uneven).astype(np.float32)
    patch.ulcer = ulcer and inward > 4
    if patch.ulcer:
        crater = np.exp(-((rho / rng.uniform(0.2, 0.34)) ** 2))
        into *= 1 - float(rng.uniform(0.55, 0.9)) * crater
    extent = np.clip(profile / 0.15, 0, 1).astype(np.float32)
    patch.whole, patch.beyond = wall.coat(into, (outside * profile).astype(np.float32), extent)
    patch.thickness_mm = drawn + extra
    return _contrast(patch)


def _sleeve(
    stomach: Stomach, rng: np.random.Generator, middle: float, length_mm: float, total_mm: float
) -> Grown:
    """Paint the contrast of a wall that is thick all around."""
    line = stomach.line
    part = np.abs(line.arc_mm - middle * line.length_mm) <= 0.5 * length_mm + 8
    margin = float(line.radius_mm[part].max()) + 12
    low, high = line.points_mm[part].min(axis=0) - margin, line.points_mm[part].max(axis=0) + margin
    patch = Grown(stomach.scene, aligned(stomach.scene, low, high, 1.3))
    wall = Wall(stomach, patch)
    arc, _ = line.on(patch.grid, (wall.outer_mm < 10) & (wall.lumen_mm > -18))
    away = np.abs(arc - middle * line.length_mm) - 0.5 * length_mm
    window = np.clip(-away / 12, 0, 1) * (arc >= 0)
    drawn = wall.thickness_mm
    extra = max(total_mm - drawn, 2.5)
    uneven = 1 + 0.12 * cloud(patch.grid, rng, 9.0)
    into = (0.85 * extra * window * uneven).astype(np.float32)
    short = max(extra - wall.depth_mm, 0.0)
    patch.whole, patch.beyond = wall.coat(
        into, (0.15 * extra + 0.7 * short) * window.astype(np.float32),
        np.clip(window / 0.15, 0, 1).astype(np.float32),
    )  # fmt: skip
    patch.thickness_mm = drawn + extra
    return _contrast(patch)


def _contrast(patch: Grown) -> Grown:
    patch.hu = patch.base + np.float32(CONTRAST_HU) * patch.whole
    patch.mask = patch.beyond > 0.5
    if np.count_nonzero(patch.mask) * patch.grid.spacing_mm**3 < 100:
        raise NoPlaceError("the wall has no room to grow")
    return patch


def thickened(patch: Grown, rng: np.random.Generator) -> Patch:
    """Return the patch in which new wall takes the place of lumen and fat."""
    shape = Patch(patch.scene, patch.grid)
    normal = float(patch.scene.table.mean[Tissue.STOMACH_WALL])
    shape.lay(patch.whole, normal + np.float32(TEXTURE_SD_HU) * cloud(shape.grid, rng, 2.5))
    shape.mask = patch.beyond > 0.5
    return shape


def _lesions(
    stomach: Stomach,
    patch: Grown,
    kind: str,
    place: Point,
    rng: np.random.Generator,
    judge: Judged,
    difficulty: str,
    dprime: float,
    truth: dict[str, object],
) -> list[Lesion]:
    shape = thickened(patch, rng)
    region = stomach.region_at(place)
    patch.site = shape.site = f"stomach_{region}"
    both = judge(patch.grid, patch.delta_hu + shape.delta_hu)
    patch.extra = {
        **truth,
        "region": region,
        "thickness_mm": round(patch.thickness_mm, 1),
        "dprime_with_thickening": round(both, 2),
    }
    shape.extra = {"sign": "thickening"}
    return [
        part.lesion(
            check="stomach", kind=kind, is_finding=True, difficulty=difficulty, dprime=value
        )
        for part, value in ((patch, dprime), (shape, None))
    ]
