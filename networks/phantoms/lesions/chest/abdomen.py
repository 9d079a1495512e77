"""The upper abdomen as far as a scan of the chest shows it: cysts, stones, adrenal nodules."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.chest.places import Drawing, Point, dependent, edge_fade
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

LIVER = (Tissue.LIVER, Tissue.LIVER_VESSEL)
KIDNEY = (
    Tissue.KIDNEY_RIGHT_CORTEX,
    Tissue.KIDNEY_RIGHT_MEDULLA,
    Tissue.KIDNEY_LEFT_CORTEX,
    Tissue.KIDNEY_LEFT_MEDULLA,
)
COLLECTING = (Tissue.RENAL_SINUS, Tissue.RENAL_PELVIS)

WATER_HU = (-4.0, 14.0)
"""A simple cyst."""


def _within(scene: Scene, rng: np.random.Generator, depth_mm: float, *tissues: Tissue) -> Point:
    """Draw a place that lies so deep in some tissues."""
    deep = scene.depth_mm(*tissues) >= depth_mm
    point = scene.pick(deep & scene.tissue(*tissues), rng)
    if point is None:
        raise NoPlaceError("the organ is not in view, or too small")
    return point


def _side(point: Point) -> str:
    return "right" if point[2] < 0 else "left"


def liver_cyst(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a round cyst of water in the liver."""
    point = _within(scene, rng, 0.3 * diameter_mm, *LIVER)
    patch = Patch.around(scene, point, 0.6 * diameter_mm + 3, 0.7)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.9, 1.1, 3))
    level += 0.02 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    room = np.clip(1.4 * patch.share(*LIVER, Tissue.VISCERAL_FAT), 0, 1) * edge_fade(patch)
    patch.lay((patch.inside(level) * room).astype(np.float32), float(rng.uniform(*WATER_HU)))
    patch.site = "liver"
    return patch


def gallstone(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Let one or several stones lie at the bottom of the gallbladder."""
    gallbladder = scene.tissue(Tissue.GALLBLADDER)
    if np.count_nonzero(gallbladder) * scene.spacing_mm**3 < 3000:
        raise NoPlaceError("there is no gallbladder in view")
    down = dependent(scene)
    rows = np.argwhere(gallbladder)[:, 1]
    row = np.arange(gallbladder.shape[1])[None, :, None]
    low = row >= np.quantile(rows, 0.6) if down > 0 else row <= np.quantile(rows, 0.4)
    point = scene.pick(gallbladder & low & (scene.depth_mm(Tissue.GALLBLADDER) > 2), rng)
    if point is None:
        raise NoPlaceError("the gallbladder has no room for a stone")
    patch = Patch.around(scene, point, diameter_mm + 10, 0.6)
    room = np.clip(1.5 * patch.share(Tissue.GALLBLADDER), 0, 1) * edge_fade(patch)
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    kind = str(rng.choice(["dense", "rim", "faint"], p=[0.45, 0.35, 0.2]))
    dense = {"dense": (180.0, 700.0), "rim": (150.0, 450.0), "faint": (55.0, 120.0)}[kind]
    hu = float(rng.uniform(*dense))
    for n in range(count):
        half = 0.5 * diameter_mm * (1.0 if n == 0 else float(rng.uniform(0.4, 1.0)))
        place = point if n == 0 else point + rng.uniform(-1, 1, 3) * (7, 2, 7)
        level = ball(patch.grid, place, half * rng.uniform(0.85, 1.15, 3))
        share = patch.inside(level) * room
        patch.raise_to(share.astype(np.float32), 45.0)
        if kind == "rim":
            share = share * (1 - 0.9 * patch.inside(level + 1.4))
        patch.raise_to(share.astype(np.float32), hu)
    patch.extra["stone"] = kind
    patch.site = "gallbladder"
    return patch


def renal_stone(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a stone in a calyx or the pelvis of a kidney."""
    point = _within(scene, rng, 0.0, *COLLECTING)
    patch = Patch.around(scene, point, 0.7 * diameter_mm + 3, 0.5)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.75, 1.25, 3))
    level += 0.06 * diameter_mm * cloud(patch.grid, rng, max(0.4 * diameter_mm, 1.5))
    room = np.clip(1.6 * patch.share(*COLLECTING, *KIDNEY), 0, 1)
    patch.raise_to((patch.inside(level) * room).astype(np.float32), float(rng.uniform(300, 1300)))
    patch.site = f"{_side(point)}_kidney"
    return patch


def renal_cyst(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a cyst of water that grows out of a kidney."""
    kidney = scene.tissue(*KIDNEY)
    edge = kidney & ~ndimage.binary_erosion(kidney, iterations=2)
    edge &= ~ndimage.binary_dilation(scene.tissue(*COLLECTING), iterations=2)
    point = scene.pick(edge, rng)
    if point is None:
        raise NoPlaceError("no kidney is in view")
    patch = Patch.around(scene, point, 0.6 * diameter_mm + 4, 0.7)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.92, 1.08, 3))
    tissues = (*KIDNEY, Tissue.VISCERAL_FAT, Tissue.RENAL_SINUS)
    room = np.clip(1.5 * patch.share(*tissues), 0, 1) * edge_fade(patch)
    patch.lay((patch.inside(level) * room).astype(np.float32), float(rng.uniform(*WATER_HU)))
    patch.site = f"{_side(point)}_kidney"
    return patch


def adrenal_nodule(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a smooth nodule in an adrenal gland, rich or poor in fat."""
    point = _within(scene, rng, 0.0, Tissue.ADRENAL)
    patch = Patch.around(scene, point, 0.7 * diameter_mm + 3, 0.6)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.85, 1.12, 3))
    level += 0.03 * diameter_mm * cloud(patch.grid, rng, 0.5 * diameter_mm)
    tissues = (Tissue.ADRENAL, Tissue.VISCERAL_FAT, Tissue.DIAPHRAGM)
    room = np.clip(1.6 * patch.share(*tissues), 0, 1) * edge_fade(patch)
    hu = float(rng.uniform(-8, 10)) if rng.random() < 0.65 else float(rng.uniform(18, 42))
    patch.lay((patch.inside(level) * room).astype(np.float32), hu)
    patch.extra["lipid_rich"] = hu <= 10
    patch.site = f"{_side(point)}_adrenal"
    return patch


DRAWINGS = {
    "liver_cyst": Drawing(liver_cyst, (7.0, 65.0), (0.85, 1.05)),
    "gallstone": Drawing(gallstone, (4.0, 20.0), (0.7, 1.05)),
    "renal_stone": Drawing(renal_stone, (2.5, 12.0), (0.7, 1.05)),
    "renal_cyst": Drawing(renal_cyst, (9.0, 60.0), (0.85, 1.05)),
    "adrenal_nodule": Drawing(adrenal_nodule, (10.0, 34.0), (0.9, 1.05)),
}
