"""A scan to be of a planting of the chest: its tiles, the survey of the whole, and what is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.chest_scenes import BOX, ELSEWHERE, ChestPool, Planting, natural_labels
from networks.nets.tile_encoder import CLIP_HU, SURVEY, TILE
from networks.phantoms.chest_labels import CHEST_LABELS, LABEL_NAMES, labels_of_kind
from networks.phantoms.lesion import Lesion
from networks.phantoms.profiles import PROFILES, ScannerProfile
from networks.phantoms.region import RegionGrid, acquire_region, share_on
from networks.phantoms.response import size_factor
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from networks.roi_sampling import part_within, tissues_on
from networks.scene_file import Case

VOXEL_MM = 1.5

TILE_MM = TILE * VOXEL_MM

SIDE = 2
"""Tiles along an edge of a block: one scan for eight of them."""

KERNELS = {"soft": 0.4, "standard": 0.35, "sharp": 0.25}
"""Chests are read on both."""

THICKNESSES_MM = (1.0, 1.0, 1.25, 1.5, 2.0, 3.0)

DOSES = (0.4, 1.6)
"""Against the standard, drawn log-uniformly: down to low-dose screening."""

SHIFT_HU = 3.0

JITTER_MM = (-4.0, 8.0)
"""How far each side of the box lies outside its margin."""

HELD_SHARE = 0.03
"""A tile of which a finding fills this much has its label."""

HELD_PART = 0.35
"""So has one that holds this much of a finding."""

SCATTERED = (0.004, 0.05)
"""And one that it fills and that holds of it no less than these: calcium lies in many places."""

TRACE_PART = 0.035

TRACE_SHARE = 0.002
"""From this, or `TRACE_PART`, on a tile is not asked for what it does not hold."""

CUT = (0.4, 0.35)
"""How often a scan ends higher, and by how much of the box at most: within or above the liver."""

SEEN_PART = 0.5
"""A finding of which less lies in the box is not asked for the study."""

OWN_TISSUE = {"steatosis": (Tissue.LIVER,), "low_bone_density": (Tissue.VERTEBRA_MARROW,)}
"""What has a natural label; a tile must be filled by it to a quarter."""

TISSUE_SHARE = 0.25

EVALUATED: tuple[bool, ...] = tuple(
    label.has_phantom and label.name not in ELSEWHERE for label in CHEST_LABELS
)
"""Labels that this network is asked for, by index."""


@dataclass(frozen=True, slots=True)
class Block:
    """Scanned tiles next to each other.

    Attributes
    ----------
    hu : (SIDE³, TILE, TILE, TILE) ndarray of int16
    labels : (SIDE³, L) ndarray of int8
        1, 0, or −1 where it is not asked.
    shown : (SIDE³,) ndarray of int64
        The tissue that fills most of each tile.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.int8]
    shown: NDArray[np.int64]


@dataclass(frozen=True)
class Study:
    """One scan to be of a planting: the scanner, and where the grid of tiles lies.

    Attributes
    ----------
    case : Case
    scene : Scene
    profile : ScannerProfile
    kernel : str
    thickness_mm, dose, bias_hu : float
    origin_mm : (3,) ndarray
        Of the first voxel of the first tile, LPS mm (z, y, x).
    tiles : three int
        Of the grid.
    truth : dict
        Label → 1, 0 or −1 for not asked, of what is natural.
    """

    case: Case
    scene: Scene
    profile: ScannerProfile
    kernel: str
    thickness_mm: float
    dose: float
    bias_hu: float
    origin_mm: NDArray[np.float64]
    tiles: tuple[int, int, int]
    truth: dict[str, int]

    @classmethod
    def draw(
        cls,
        pool: ChestPool,
        planting: Planting,
        rng: np.random.Generator,
        *,
        scanner: str | None = None,
    ) -> Study:
        """Draw the scan of a planting; only scanner models for training unless one is named."""
        case = pool.get(planting.seed, planting.number)
        scene = case.scene(case.variants[0])
        seen = [profile for profile in PROFILES.values() if not profile.unseen]
        profile = PROFILES[scanner] if scanner else seen[rng.integers(len(seen))]
        few, many = DOSES
        margin = np.asarray(BOX.margin_mm)
        low = case.organ_mm[0] - margin - rng.uniform(*JITTER_MM, 3)
        high = case.organ_mm[1] + margin + rng.uniform(*JITTER_MM, 3)
        if rng.random() < CUT[0]:
            low[0] += rng.uniform(0, CUT[1]) * (high[0] - low[0])
        low, high = np.maximum(low, case.extent_mm[0]), np.minimum(high, case.extent_mm[1])
        s, r, c = np.ceil((high - low) / TILE_MM).astype(int).tolist()
        return cls(
            case=case,
            scene=scene,
            profile=profile,
            kernel=str(rng.choice(list(KERNELS), p=list(KERNELS.values()))),
            thickness_mm=float(rng.choice(THICKNESSES_MM)),
            dose=few * (many / few) ** rng.random()
            * (size_factor(scene.hu, scene.spacing_mm) / case.size) ** 2,
            bias_hu=profile.bias_hu + float(rng.uniform(-SHIFT_HU, SHIFT_HU)),
            origin_mm=low + 0.5 * VOXEL_MM,
            tiles=(s, r, c),
            truth=natural_labels(pool.told(planting.seed)),
        )  # fmt: skip

    def scan(self, grid: RegionGrid, rng: np.random.Generator) -> NDArray[np.int16]:
        """Scan a box of it, (S, R, C) HU within what the network is given."""
        hu = acquire_region(
            self.scene, self.profile, rng, grid, kernel=self.kernel,
            thickness_mm=self.thickness_mm, dose=self.dose, bias_hu=self.bias_hu,
        )  # fmt: skip
        return np.clip(np.rint(hu), *CLIP_HU).astype(np.int16)

    def survey(self, rng: np.random.Generator) -> NDArray[np.int16]:
        """Scan the whole at 6 mm, four voxels to a tile."""
        step = SURVEY * VOXEL_MM
        first = self.origin_mm + 0.5 * (step - VOXEL_MM)
        return self.scan(_grid(first, step, [n * TILE // SURVEY for n in self.tiles]), rng)

    def whole(self, rng: np.random.Generator) -> NDArray[np.int16]:
        """Scan the whole at 1.5 mm."""
        return self.scan(_grid(self.origin_mm, VOXEL_MM, [n * TILE for n in self.tiles]), rng)

    def block(self, corner: NDArray[np.int64], rng: np.random.Generator) -> Block:
        """Scan a block of tiles, the first of them at a corner (z, y, x), and label them."""
        grid = _grid(self.origin_mm + corner * TILE_MM, VOXEL_MM, [SIDE * TILE] * 3)
        hu = _cut(self.scan(grid, rng))
        labels = np.zeros((len(hu), len(LABEL_NAMES)), np.int8)
        labels[:, [not asked for asked in EVALUATED]] = -1
        for lesion in self.scene.lesions:
            if not lesion.is_finding:
                continue
            named = labels_here(lesion)
            if not named or not _touches(lesion, grid):
                continue
            held, vague = held_by(_cut(share_on(lesion, grid.axes)).mean(axis=(1, 2, 3)), lesion)
            for n in named:
                labels[held, n] = 1
                labels[vague & (labels[:, n] == 0), n] = -1
        tissues = _cut(tissues_on(self.case, grid.axes))
        for name, own in OWN_TISSUE.items():
            value, n = self.truth[name], LABEL_NAMES.index(name)
            if value:
                there = np.isin(tissues, own).mean(axis=(1, 2, 3)) >= TISSUE_SHARE
                labels[there & (labels[:, n] != 1), n] = value
        shown = [int(np.bincount(tile.ravel()).argmax()) for tile in tissues]
        return Block(hu, labels, np.array(shown, np.int64))

    def holders(self, lesion: Lesion) -> NDArray[np.int64]:
        """Return which tiles hold a lesion, by their place on the flattened grid."""
        points = np.asarray(lesion.grid.origin_mm) + lesion.grid.spacing_mm * np.argwhere(
            lesion.mask
        )
        low = self.origin_mm - 0.5 * VOXEL_MM
        index = np.floor((points - low) / TILE_MM).astype(int)
        inside = index[np.all((index >= 0) & (index < self.tiles), axis=1)]
        places, count = np.unique(
            np.ravel_multi_index(tuple(inside.T), self.tiles), return_counts=True
        )
        filled = count * lesion.grid.spacing_mm**3 / TILE_MM**3
        held: NDArray[np.int64] = places[held_by(filled, lesion)[0]]
        return held

    def labels(self) -> NDArray[np.int8]:
        """Return the (L,) labels of the study: 1, 0, or −1 where it is not asked."""
        labels = np.zeros(len(LABEL_NAMES), np.int8)
        labels[[not asked for asked in EVALUATED]] = -1
        for name, value in self.truth.items():
            labels[LABEL_NAMES.index(name)] = value
        low = self.origin_mm - 0.5 * VOXEL_MM
        high = low + np.asarray(self.tiles) * TILE_MM
        for lesion in self.scene.lesions:
            if not lesion.is_finding:
                continue
            seen = part_within([lesion], low, high) >= SEEN_PART
            for n in labels_here(lesion):
                if labels[n] != 1:
                    labels[n] = 1 if seen else -1
        return labels

    def corners(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the first tiles of blocks: at each finding, then at what is none, then any.

        A finding of many parts, such as a dissection, has two blocks at most.
        """
        most = np.maximum(np.asarray(self.tiles) - SIDE, 0)
        places, kinds = [], Counter[str]()
        shuffled = [self.scene.lesions[n] for n in rng.permutation(len(self.scene.lesions))]
        for lesion in sorted(shuffled, key=lambda lesion: not lesion.is_finding):
            inside = np.argwhere(lesion.mask)
            if not len(inside) or len(places) >= count or kinds[lesion.kind] > 1:
                continue
            voxel = inside[rng.integers(len(inside))]
            point = np.asarray(lesion.grid.origin_mm) + voxel * lesion.grid.spacing_mm
            tile = np.floor((point - self.origin_mm) / TILE_MM + 0.5 / TILE).astype(int)
            if np.all((tile >= 0) & (tile < self.tiles)):
                places.append(tile - rng.integers(SIDE, size=3))
                kinds[lesion.kind] += 1
        while len(places) < count:
            places.append(rng.integers(most + 1))
        return np.clip(np.stack(places), 0, most)


def labels_here(lesion: Lesion) -> list[int]:
    """Return the labels of a finding that this network is asked for, by index."""
    named = [LABEL_NAMES.index(name) for name in labels_of_kind(lesion.check, lesion.kind)]
    return [n for n in named if EVALUATED[n]]


def held_by(
    filled: NDArray[np.floating], lesion: Lesion
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which tiles hold a lesion, and which may, by the share that it fills of each."""
    part = filled * TILE_MM**3 / max(lesion.volume_mm3, 1.0)
    scattered = (filled >= SCATTERED[0]) & (part >= SCATTERED[1])
    held = (filled >= HELD_SHARE) | (part >= HELD_PART) | scattered
    return held, ~held & ((filled >= TRACE_SHARE) | (part >= TRACE_PART))


def _grid(first_mm: NDArray[np.float64], step_mm: float, shape: Sequence[int]) -> RegionGrid:
    z, y, x = (float(value) for value in first_mm)
    s, r, c = (int(count) for count in shape)
    return RegionGrid((z, y, x), (step_mm,) * 3, (s, r, c))


def _cut(block: NDArray[np.generic]) -> NDArray[np.generic]:
    """Cut (SIDE·TILE)³ voxels into (SIDE³, TILE, TILE, TILE)."""
    split = block.reshape(SIDE, TILE, SIDE, TILE, SIDE, TILE).transpose(0, 2, 4, 1, 3, 5)
    return split.reshape(-1, TILE, TILE, TILE)


def _touches(lesion: Lesion, grid: RegionGrid) -> bool:
    return all(
        a[0] <= b[-1] and b[0] <= a[-1] for a, b in zip(lesion.grid.axes, grid.axes, strict=True)
    )
