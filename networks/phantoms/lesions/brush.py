"""Paint a lesion over what is there: shapes, textures, and the contrast that a difficulty asks for.

A `Patch` is a fine grid with what the scene holds and a copy that is painted on; the lesion is the
difference. Shapes are signed distances in mm, negative inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from networks.phantoms.detectability import Judge as ScanJudge
from networks.phantoms.fields import _SPLINE_GAIN, _weights
from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.lesions import Judged as Judge
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene, occupancy
from networks.phantoms.tissue import Tissue

BoolArray = npt.NDArray[np.bool_]

DPRIME = {"hard": (3.0, 6.0), "medium": (6.0, 12.0), "easy": (12.0, 20.0)}
"""Range of d′ by difficulty (pipelines.md §6.3); easy has no upper end."""

TRIES = 20
"""Drawings of one lesion before the nearest is taken."""

MOST_SLICES = 64
"""Slices on which a patch is judged; those of a taller one are averaged."""

MOST_VOXELS = 2_200_000
"""Largest patch; a wider one gets coarser voxels."""


class InvisibleError(NoPlaceError):
    """A lesion of no allowed size and contrast would show here."""


class Patch:
    """A fine grid that is painted on.

    Attributes
    ----------
    grid : FineGrid
    base : (S, R, C) ndarray of float32
        HU of the scene.
    hu : (S, R, C) ndarray of float32
        HU with what was painted.
    mask : (S, R, C) ndarray of bool
        The lesion's own voxels.
    site : str
        Where it is, in words of the field.
    extra : dict
        Further truth, as plain values.
    """

    def __init__(self, scene: Scene, grid: FineGrid) -> None:
        self.scene = scene
        self.grid = grid
        self.base = scene.hu_on(grid)
        self.hu = self.base.copy()
        self.mask: BoolArray = np.zeros(grid.shape, bool)
        self.site = ""
        self.extra: dict[str, Any] = {}

    @classmethod
    def around(
        cls, scene: Scene, centre_mm: npt.ArrayLike, reach_mm: npt.ArrayLike, spacing_mm: float
    ) -> Patch:
        """Open a patch that holds `reach_mm` around a point."""
        reach = np.broadcast_to(np.asarray(reach_mm, float), (3,))
        spacing = max(spacing_mm, float((np.prod(2 * reach + 2) / MOST_VOXELS) ** (1 / 3)))
        return cls(scene, FineGrid.around(centre_mm, reach, spacing))

    @classmethod
    def over(cls, scene: Scene, mask: BoolArray, margin_mm: float, spacing_mm: float) -> Patch:
        """Open a patch that holds a mask on the anatomy's grid."""
        box = ndimage.find_objects(mask.astype(np.uint8))
        if not box or box[0] is None:
            raise NoPlaceError("there is nothing to paint on")
        low = np.array([s.start - 0.5 for s in box[0]])
        high = np.array([s.stop - 0.5 for s in box[0]])
        centre = scene.origin_mm + 0.5 * (low + high) * scene.spacing_mm
        reach = 0.5 * (high - low) * scene.spacing_mm + margin_mm
        return cls.around(scene, centre, reach, spacing_mm)

    # --- what is there ----------------------------------------------------------------------

    def share(self, *tissues: Tissue) -> FloatArray:
        """Return how much of some tissues is there, 0 to 1."""
        return self.scene.share_on(self.grid, *tissues)

    def on(self, values: npt.NDArray[Any]) -> FloatArray:
        """Return an array of the anatomy's grid, linear between its voxels."""
        return self.scene.sampled_on(self.grid, values)

    def inside(
        self, signed_distance_mm: npt.NDArray[np.floating], soft_mm: float = 0
    ) -> FloatArray:
        """Return the share of each voxel inside a surface, its edge `soft_mm` wide."""
        return occupancy(signed_distance_mm, max(self.grid.spacing_mm, soft_mm))

    def moved(self, *shift_mm: npt.ArrayLike) -> FloatArray:
        """Return the patient's HU that lie a shift (z, y, x) away, without what was planted."""
        axes = self.grid.axes
        where = [
            (axes[n].reshape([-1 if a == n else 1 for a in range(3)]) + np.asarray(shift)
             - self.scene.origin_mm[n]) / self.scene.spacing_mm
            for n, shift in enumerate(shift_mm)
        ]  # fmt: skip
        places = np.stack([np.broadcast_to(w, self.grid.shape) for w in where])
        low = np.maximum(np.floor(places.reshape(3, -1).min(axis=1)).astype(int) - 1, 0)
        high = np.ceil(places.reshape(3, -1).max(axis=1)).astype(int) + 2
        part = self.scene.hu[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        places = places - low[:, None, None, None]
        sampled: FloatArray = ndimage.map_coordinates(part, places, order=1, mode="nearest")
        return sampled

    # --- painting ---------------------------------------------------------------------------

    def lay(self, share: FloatArray, hu: float | FloatArray, *, own: bool = True) -> None:
        """Replace a share of each voxel by something of the given HU."""
        self.hu += share * (hu - self.hu)
        if own:
            self.mask |= share > 0.5

    def raise_to(self, share: FloatArray, hu: float | FloatArray, *, own: bool = True) -> None:
        """Fill what is less dense than the given HU."""
        self.hu += share * np.maximum(hu - self.hu, 0)
        if own:
            self.mask |= (share > 0.5) & (self.base < np.asarray(hu) - 20)

    def lower_to(self, share: FloatArray, hu: float | FloatArray, *, own: bool = True) -> None:
        """Hollow what is denser than the given HU."""
        self.hu += share * np.minimum(hu - self.hu, 0)
        if own:
            self.mask |= (share > 0.5) & (self.base > np.asarray(hu) + 20)

    # --- what came of it --------------------------------------------------------------------

    @property
    def delta_hu(self) -> FloatArray:
        """What was added, HU."""
        return self.hu - self.base

    def scale(self, strength: float) -> None:
        """Scale the contrast of what was painted."""
        self.hu = self.base + np.float32(strength) * (self.hu - self.base)

    def lesion(
        self,
        *,
        check: str,
        kind: str,
        is_finding: bool,
        difficulty: str | None = None,
        dprime: float | None = None,
    ) -> Lesion:
        """Cut the patch to what was changed and tell the truth about it."""
        delta = self.delta_hu
        changed = (np.abs(delta) > 0.5) | self.mask
        box = ndimage.find_objects(changed.astype(np.uint8))
        if not box or box[0] is None or not self.mask.any():
            raise NoPlaceError(f"nothing of {kind} was left to paint")
        part = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box[0])
        spacing = self.grid.spacing_mm
        origin = tuple(
            float(o + s.start * spacing) for o, s in zip(self.grid.origin_mm, part, strict=True)
        )
        delta, mask = delta[part].copy(), self.mask[part].copy()
        grid = FineGrid((origin[0], origin[1], origin[2]), spacing,
                        (mask.shape[0], mask.shape[1], mask.shape[2]))  # fmt: skip
        return Lesion(
            check=check,
            kind=kind,
            is_finding=is_finding,
            difficulty=difficulty,
            centre_mm=_middle(grid, mask),
            diameter_mm=_axial_diameter_mm(mask, spacing),
            contrast_hu=float(delta[mask].mean()),
            site=self.site,
            grid=grid,
            delta_hu=delta,
            mask=mask,
            dprime=dprime,
            extra=dict(self.extra),
        )


def _middle(grid: FineGrid, mask: BoolArray) -> tuple[float, float, float]:
    """Return the voxel of the mask that is nearest to its centroid, LPS mm."""
    places = np.argwhere(mask)
    voxel = places[((places - places.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    z, y, x = (np.asarray(grid.origin_mm) + voxel * grid.spacing_mm).tolist()
    return z, y, x


def _axial_diameter_mm(mask: BoolArray, spacing_mm: float) -> float:
    """Return the mean of the long axis and the width across it, of the largest section."""
    plane = mask[int(mask.sum(axis=(1, 2)).argmax())]
    parts, count = ndimage.label(plane)
    if count > 1:
        plane = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    edge = np.argwhere(plane & ~ndimage.binary_erosion(plane))
    angle = np.deg2rad(np.arange(0, 180, 6))
    along = edge @ np.stack([np.sin(angle), np.cos(angle)])
    width = along.max(axis=0) - along.min(axis=0) + 1
    longest = int(width.argmax())
    return float(0.5 * (width[longest] + width[(longest + 15) % 30]) * spacing_mm)


# --- shapes -------------------------------------------------------------------------------------


def ball(
    grid: FineGrid,
    centre_mm: npt.ArrayLike,
    radii_mm: npt.ArrayLike,
    frame: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the distance, about in mm, to an ellipsoid; `frame` has its axes in rows (z, y, x)."""
    z, y, x = grid.offsets(centre_mm)
    radii = np.broadcast_to(np.asarray(radii_mm, np.float32), (3,))
    if frame is not None:
        rows = np.asarray(frame, np.float32)
        z, y, x = (row[0] * z + row[1] * y + row[2] * x for row in rows)
    rho = np.sqrt((z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2)
    rho -= 1
    rho *= np.float32(radii.prod() ** (1 / 3))
    return rho.astype(np.float32)


def tube(
    grid: FineGrid, points_mm: npt.ArrayLike, radii_mm: npt.ArrayLike, reach_mm: float = 2.0
) -> FloatArray:
    """Return the distance to a tube along points, mm; 99 beyond `reach_mm` outside."""
    points = np.asarray(points_mm, float).reshape(-1, 3)
    radii = np.broadcast_to(np.asarray(radii_mm, float), (len(points),))
    if len(points) > 1:
        length = np.concatenate(
            [[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1) + 1e-6)]
        )
        step = max(0.6 * grid.spacing_mm, 0.35 * float(radii.min()))
        fine = np.linspace(0, length[-1], int(np.ceil(length[-1] / step)) + 1)
        points = np.stack([np.interp(fine, length, points[:, a]) for a in range(3)], axis=-1)
        radii = np.interp(fine, length, radii)
    result = np.full(grid.shape, 99.0, np.float32)
    for point, radius in zip(points, radii, strict=True):
        box, (z, y, x) = near(grid, point, radius + reach_mm)
        if box is not None:
            distance = np.sqrt(z * z + y * y + x * x) - np.float32(radius)
            np.minimum(result[box], distance, out=result[box])
    return result


def near(
    grid: FineGrid, point_mm: npt.ArrayLike, reach_mm: float
) -> tuple[tuple[slice, slice, slice] | None, tuple[FloatArray, FloatArray, FloatArray]]:
    """Return the box of a grid around a point, None if outside, and the offsets from it, mm."""
    point = np.asarray(point_mm, float)
    low = np.ceil((point - reach_mm - grid.origin_mm) / grid.spacing_mm).astype(int)
    high = np.floor((point + reach_mm - grid.origin_mm) / grid.spacing_mm).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    z, y, x = (
        (axis[a:b] - np.float32(p))
        for axis, a, b, p in zip(grid.axes, low, np.maximum(high, low), point, strict=True)
    )
    offsets = (z[:, None, None], y[None, :, None], x[None, None, :])
    if (high <= low).any():
        return None, offsets
    a, b, c = (slice(int(i), int(j)) for i, j in zip(low, high, strict=True))
    return (a, b, c), offsets


def frame_along(direction: npt.ArrayLike, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return three axes in rows, the first along a direction, the others turned at random."""
    first = np.asarray(direction, float)
    first = first / np.linalg.norm(first)
    other = rng.standard_normal(3)
    second = other - first * (first @ other)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


# --- textures -----------------------------------------------------------------------------------


def cloud(grid: FineGrid, rng: np.random.Generator, step_mm: float) -> FloatArray:
    """Return a smooth random field of SD 1 whose knots are `step_mm` apart."""
    step = max(step_mm, 1.2 * grid.spacing_mm)
    counts = [int(np.ceil(n * grid.spacing_mm / step)) + 5 for n in grid.shape]
    value = rng.standard_normal(counts, dtype=np.float32) / np.float32(_SPLINE_GAIN)
    shift = rng.uniform(0, 1, 3)
    for axis, places in enumerate(grid.axes):
        first, weights = _weights((places - places[0]) / step + 1 + shift[axis], counts[axis])
        matrix = np.zeros((len(places), counts[axis]), np.float32)
        for offset in range(4):
            matrix[np.arange(len(places)), first + offset] = weights[:, offset]
        value = np.moveaxis(np.tensordot(matrix, value, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(value)


@dataclass(frozen=True)
class Cells:
    """A space divided into irregular cells, looked at where it is asked for.

    Attributes
    ----------
    wall_mm : (S, R, C) ndarray of float32
        Distance to the nearest wall; 99 where nobody asked.
    centre_mm : (S, R, C) ndarray of float32
        Distance to the seed of the cell; 99 where nobody asked.
    cell, neighbour : (S, R, C) ndarray of int32
        Number of the cell and of the one across the nearest wall; 0 where nobody asked.
    seeds_mm : (n + 1, 3) ndarray
        Points (z, y, x) by number of the cell.
    """

    wall_mm: FloatArray
    centre_mm: FloatArray
    cell: npt.NDArray[np.int32]
    neighbour: npt.NDArray[np.int32]
    seeds_mm: npt.NDArray[np.float64]

    def by_cell(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return one value a cell, looked up for every voxel."""
        return values[self.cell]

    def by_wall(self, rng: np.random.Generator) -> FloatArray:
        """Return a number between 0 and 1 that is the same along one wall."""
        key = rng.uniform(0, 1, len(self.seeds_mm)).astype(np.float32)
        return np.modf(7.31 * (key[self.cell] + key[self.neighbour]))[0].astype(np.float32)


def cells(
    grid: FineGrid, rng: np.random.Generator, size_mm: npt.ArrayLike, where: BoolArray
) -> Cells:
    """Divide space into irregular cells about `size_mm` wide (one number, or one an axis)."""
    size = np.broadcast_to(np.asarray(size_mm, float), (3,))
    axes = [
        np.arange(axis[0] - step, axis[-1] + 1.5 * step, step)
        for axis, step in zip(grid.axes, size, strict=True)
    ]
    seeds = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    seeds = seeds + rng.uniform(-0.42, 0.42, seeds.shape) * size
    wall = np.full(grid.shape, 99.0, np.float32)
    centre = np.full(grid.shape, 99.0, np.float32)
    cell = np.zeros(grid.shape, np.int32)
    neighbour = np.zeros(grid.shape, np.int32)
    index = np.nonzero(where)
    if len(index[0]):
        places = np.stack([axis[i] for axis, i in zip(grid.axes, index, strict=True)], axis=-1)
        distance, nearest = cKDTree(seeds / size).query(places / size, k=2)
        between = (seeds[nearest[:, 1]] - seeds[nearest[:, 0]]) / size
        apart = np.sqrt((between**2).sum(axis=1))
        gap = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2 * apart)
        wall[index] = gap * size.mean()
        centre[index] = distance[:, 0] * size.mean()
        cell[index] = nearest[:, 0] + 1
        neighbour[index] = nearest[:, 1] + 1
    return Cells(wall, centre, cell, neighbour, np.concatenate([np.zeros((1, 3)), seeds]))


# --- difficulty ---------------------------------------------------------------------------------


@dataclass
class Tuned:
    """A painted patch whose contrast was set, and what was measured."""

    patch: Patch
    size: float
    strength: float
    dprime: float
    difficulty: str


def measured(judge: Judge, grid: FineGrid, delta_hu: FloatArray) -> float:
    """Return d′ of a patch; a tall one is judged on averages of neighbouring slices.

    The work of a scan's judge grows with the square of the slices. What is higher than
    `MOST_SLICES` of them is stated 3 to 13 % too low for it (four kinds at 1 mm).
    """
    if isinstance(judge, ScanJudge):
        slices = grid.shape[0] * grid.spacing_mm / judge.increment_mm
        pooled = int(np.ceil(slices / MOST_SLICES))
        if pooled > 1:
            judge = replace(
                judge,
                thickness_mm=judge.thickness_mm + (pooled - 1) * judge.increment_mm,
                increment_mm=pooled * judge.increment_mm,
            )
    return float(judge(grid, delta_hu))


def difficulty_of(dprime: float) -> str:
    """Return easy, medium or hard; what lies below hard counts as hard."""
    return "easy" if dprime >= 12 else "medium" if dprime >= 6 else "hard"


def tune(
    draw: Callable[[float], Patch],
    rng: np.random.Generator,
    judge: Judge,
    difficulty: str,
    *,
    size: tuple[float, float],
    strength: tuple[float, float] = (1.0, 1.0),
) -> Tuned:
    """Draw a lesion until its detectability is that of the difficulty.

    Parameters
    ----------
    draw : callable
        Paints a lesion of a size, at strength 1.
    judge : Judge
        d′ of what was painted; linear in the contrast.
    difficulty : str
        What is asked for: the strength is set for it within its range, then the size.
    size, strength : tuple of float
        What occurs clinically.

    Returns
    -------
    Tuned
        With the difficulty that was measured: what is large and dense is easy however it is asked.

    Raises
    ------
    InvisibleError
        When it cannot be made visible at all.
    """
    low, high = DPRIME[difficulty]
    goal = float(rng.uniform(low, high))
    wanted = float(np.exp(rng.uniform(*np.log(size))))
    best: tuple[float, Tuned] | None = None
    for _ in range(TRIES):
        patch = draw(wanted)
        nominal = measured(judge, patch.grid, patch.delta_hu)
        if nominal <= 0 or not patch.mask.any():
            continue
        if difficulty == "easy" and nominal * strength[1] >= goal:
            fitting = float(rng.uniform(max(strength[0], goal / nominal), strength[1]))
        else:
            fitting = float(np.clip(goal / nominal, *strength))
        reached = nominal * fitting
        miss = 0.0 if low <= reached and (reached <= high or low >= 12) else (
            abs(float(np.log(reached / goal))) + 1e-3
        )  # fmt: skip
        if best is None or miss < best[0]:
            best = miss, Tuned(patch, wanted, fitting, reached, difficulty_of(reached))
        if not miss:
            break
        step = float(np.clip((goal / reached) ** 0.6, 0.3, 2.0))
        following = float(np.clip(wanted * step, *size))
        if abs(following - wanted) < 1e-3 * wanted:
            break
        wanted = following
    if best is None or best[1].dprime < DPRIME["hard"][0]:
        raise InvisibleError("it cannot be made visible here")
    found = best[1]
    found.patch.scale(found.strength)
    return found
