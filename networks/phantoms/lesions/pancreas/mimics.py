"""What a healthy upper abdomen holds that looks like a lesion of the pancreas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, cloud, near, tube
from networks.phantoms.lesions.lattice import aligned, aligned_around
from networks.phantoms.lesions.pancreas.gland import Gland
from networks.phantoms.lesions.pancreas.shape import Lump
from networks.phantoms.lesions.pancreas.signs import Report
from networks.phantoms.scene import occupancy
from networks.phantoms.tissue import Tissue

BESIDE_MM = (7.0, 22.0)
"""How far from the gland a neighbour's centre may lie."""


def _report(kind: str, site: str) -> Report:
    return Report(kind, site, is_finding=False)


def fatty_lobulated(gland: Gland, rng: np.random.Generator) -> list[Lesion]:
    """Let fat grow between the lobules, more towards the surface."""
    patch = Patch.over(gland.scene, gland.mask, 3.0, 1.0)
    pancreas = patch.share(Tissue.PANCREAS)
    arc, away = gland.line.on(patch.grid, pancreas > 0.02)
    radius = np.interp(arc, gland.line.arc_mm, gland.line.radius_mm).astype(np.float32)
    clefts = cloud(patch.grid, rng, rng.uniform(3.5, 6.0))
    depth = np.clip(away / np.maximum(radius, 4), 0, 1.3)
    level = rng.uniform(0.1, 0.7)
    fat = pancreas * np.clip(0.9 * (np.abs(clefts) * -1.6 + 0.6 + level * depth), 0, 0.95)
    patch.lay(fat.astype(np.float32), float(gland.scene.table.mean[Tissue.VISCERAL_FAT]))
    patch.mask = fat > 0.3
    return [_report("fatty_lobulated_pancreas", "pancreas").lesion(patch)]


def focal_fat(gland: Gland, rng: np.random.Generator) -> list[Lesion]:
    """Darken the front of the head, without a bulge."""
    radius = float(rng.uniform(8, 16))
    spot = gland.spot(rng, {"head": 0.7, "neck": 0.1, "body": 0.2}, radius_mm=radius, outward=0.5)
    centre = spot.centre_mm - np.array([0.0, 0.35 * radius, 0.0])
    lump = Lump.draw(rng, centre, radius, uneven=0.25, slender=0.3)
    patch = Patch(gland.scene, aligned_around(gland.scene, centre, lump.reach_mm + 4, 1.0))
    share = patch.inside(lump.distance(patch.grid), 5.0) * patch.share(Tissue.PANCREAS)
    uneven = 1 + 0.35 * cloud(patch.grid, rng, 4.0)
    patch.hu -= share * np.float32(rng.uniform(10, 45)) * np.clip(uneven, 0.2, 2)
    patch.mask = share > 0.5
    return [_report("focal_fat", spot.site).lesion(patch)]


def splenic_artery(gland: Gland, rng: np.random.Generator) -> list[Lesion]:
    """Wind a calcified artery along the upper and back edge of body and tail."""
    line = gland.line
    part = line.arc_mm >= line.length_mm * rng.uniform(0.35, 0.5)
    course = line.points_mm[part].copy()
    run = line.arc_mm[part] - line.arc_mm[part][0]
    radius = line.radius_mm[part]
    bends = 2 * np.pi * run / rng.uniform(28, 45) + rng.uniform(0, 6)
    course[:, 0] += 0.75 * radius + 5.0 * np.sin(bends)
    course[:, 1] += 0.7 * radius + 3.5 * np.sin(0.8 * bends + 1.0)
    course[:, 2] += 2.5 * np.cos(bends)
    wide = float(rng.uniform(2.4, 3.6))
    low, high = course.min(axis=0) - 7, course.max(axis=0) + 7
    patch = Patch(gland.scene, aligned(gland.scene, low, high, 0.8))
    room = patch.share(Tissue.VISCERAL_FAT, Tissue.PANCREAS)
    bore = tube(patch.grid, course, wide)
    blood = float(gland.scene.table.mean[Tissue.ARTERY])
    patch.lay(patch.inside(bore) * room, blood, own=False)
    for _ in range(int(rng.integers(3, 14))):
        point = course[int(rng.integers(len(course)))]
        side = rng.standard_normal(3)
        point = point + side / np.linalg.norm(side) * wide
        reach = float(rng.uniform(0.8, 2.6))
        box, (z, y, x) = near(patch.grid, point, reach + 1.5)
        if box is None:
            continue
        plaque = occupancy(np.sqrt(z * z + y * y + x * x) - reach, patch.grid.spacing_mm)
        plaque *= occupancy(np.abs(bore[box]) - 0.7, patch.grid.spacing_mm) * room[box]
        patch.hu[box] += plaque * (rng.uniform(250, 900) - patch.hu[box])
        patch.mask[box] |= plaque > 0.3
    if not patch.mask.any():
        raise NoPlaceError("the artery has no room beside the gland")
    return [_report("splenic_artery_calcified", "splenic_artery").lesion(patch)]


def diverticulum(gland: Gland, rng: np.random.Generator) -> list[Lesion]:
    """Hang a pouch with gas over fluid on the inner side of the duodenum, in the head."""
    radius = float(rng.uniform(6, 14))
    spot = gland.spot(rng, {"uncinate": 0.4, "head": 0.6}, radius_mm=radius, outward=0.9)
    lump = Lump.draw(rng, spot.centre_mm, radius, uneven=0.06, slender=0.15)
    grid = aligned_around(gland.scene, spot.centre_mm, lump.reach_mm + 4, 0.8)
    patch = Patch(gland.scene, grid)
    distance = lump.distance(patch.grid)
    room = patch.share(
        Tissue.PANCREAS, Tissue.VISCERAL_FAT, Tissue.BOWEL_WALL, Tissue.BOWEL_FLUID,
        Tissue.BOWEL_GAS, Tissue.STOOL, Tissue.MESENTERIC_VESSEL,
    )  # fmt: skip
    patch.lay(patch.inside(distance) * room, float(gland.scene.table.mean[Tissue.BOWEL_WALL]))
    lumen = patch.inside(distance + 1.8) * room
    patch.lay(lumen, float(rng.uniform(5, 30)) + 8 * cloud(patch.grid, rng, 3.0))
    _, y, _ = patch.grid.offsets(spot.centre_mm)
    level = radius * rng.uniform(-0.7, 0.9)
    gas = occupancy(y - np.float32(level), patch.grid.spacing_mm)
    patch.lay((lumen * gas).astype(np.float32), -980.0)
    return [_report("duodenal_diverticulum", "duodenum").lesion(patch)]


def bowel_loop(gland: Gland, rng: np.random.Generator) -> list[Lesion]:
    """Lay a loop of bowel without gas or contrast beside the gland."""
    scene = gland.scene
    depth = scene.depth_mm(Tissue.VISCERAL_FAT, Tissue.MESENTERIC_VESSEL)
    best: tuple[float, npt.NDArray[np.float64]] | None = None
    for _ in range(60):
        at = gland.line.points_mm[int(rng.integers(len(gland.line.points_mm)))]
        side = rng.standard_normal(3)
        side[1] -= 0.6
        point = at + side / np.linalg.norm(side) * (rng.uniform(*BESIDE_MM) + 6)
        room = float(depth[scene.voxel(point)])
        if best is None or room > best[0]:
            best = room, point
        if room > 9:
            break
    if best is None or best[0] < 5:
        raise NoPlaceError("no fat beside the pancreas holds a loop")
    radius = float(np.clip(best[0] * rng.uniform(0.95, 1.25), 6, 14))
    heading = rng.standard_normal(3)
    heading /= np.linalg.norm(heading)
    course = [best[1]]
    for _ in range(int(rng.integers(3, 8))):
        heading = heading + 0.7 * rng.standard_normal(3)
        heading /= np.linalg.norm(heading)
        course.append(course[-1] + 6 * heading)
    points = np.array(course)
    low, high = points.min(axis=0) - radius - 4, points.max(axis=0) + radius + 4
    patch = Patch(scene, aligned(scene, low, high, 1.0))
    room = patch.share(Tissue.VISCERAL_FAT, Tissue.MESENTERIC_VESSEL)
    bore = tube(patch.grid, points, radius, reach_mm=6)
    bore = bore + 0.8 * cloud(patch.grid, rng, 6.0)
    wall = float(scene.table.mean[Tissue.BOWEL_WALL])
    patch.lay(patch.inside(bore, 1.5) * room, wall + 5 * cloud(patch.grid, rng, 3.0))
    content = float(rng.uniform(12, 34)) + rng.uniform(3, 10) * cloud(patch.grid, rng, 3.5)
    patch.lay(patch.inside(bore + rng.uniform(2, 3.5), 1.5) * room, content)
    return [_report("unopacified_bowel_loop", "beside_pancreas").lesion(patch)]


MIMICS: dict[str, Callable[[Gland, np.random.Generator], list[Lesion]]] = {
    "fatty_lobulated_pancreas": fatty_lobulated,
    "focal_fat": focal_fat,
    "splenic_artery_calcified": splenic_artery,
    "duodenal_diverticulum": diverticulum,
    "unopacified_bowel_loop": bowel_loop,
}
"""Confounder → what draws it."""
