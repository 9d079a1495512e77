"""Painted patients with many lesions each, kept so that any tile of them can be scanned at once.

A detector looks at tiles of a few centimetres anywhere in the lungs or the skeleton. So a patient
is painted once for all detectors and kept whole, to be mapped into memory; the lesions of a check
are planted into it without touching each other, so that any part of them can be left out.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from networks.background import start_filling
from networks.phantoms.anatomy import Anatomy
from networks.phantoms.hu import TissueHu
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import CHECKS, PLANTERS, NoPlaceError
from networks.phantoms.patient import Patient
from networks.phantoms.region import SHARE_REACH
from networks.phantoms.response import SHARE_STEP, size_factor
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from networks.scene_file import HU_STEP, _lesion, _told, keep, read, trimmed
from networks.scenes import (
    DIFFICULTIES,
    FIRST_SEED,
    PatientPool,
    default_folder,
    draw_judge,
    paint_scene,
)
from networks.version import DIGITS, digest

DRAWING = 1
"""Counted up when this module draws otherwise."""

PICKS = 512
"""Voxels of the organ kept of each patient, around which tiles without a purpose are cut."""

CLEARANCE_MM = 4.0
"""Kept between two lesions of a patient."""

LARGEST_VOXELS = 120_000
"""A larger patch is kept at half its resolution."""

CACHED = 96
"""Patients whose lesions a process keeps in memory."""

REACH_MM = 8.0
"""Kept around a tile for the scan's reach through-plane."""


@dataclass(frozen=True)
class Planting:
    """What is planted into a patient for a detector.

    Attributes
    ----------
    check : str
    kinds : tuple of (str, float)
        What is planted, by share.
    confounders : tuple of str
    findings, mimics : int
        How many of each are planted.
    tissues : tuple of Tissue
        Where the detector looks.
    judged : bool
        Whether contrast is set by detectability; where it is not, size alone decides how hard it
        is to see, and no judge need be asked.
    """

    check: str
    kinds: tuple[tuple[str, float], ...]
    confounders: tuple[str, ...]
    findings: int
    mimics: int
    tissues: tuple[Tissue, ...]
    judged: bool

    @property
    def version(self) -> str:
        """Return a digest of the code that draws and of what it is asked for."""
        modules = [f"networks.phantoms.lesions.{self.check}", "networks.phantoms.paint"]
        if self.judged:
            modules.append("networks.phantoms.detectability")
        asked = f"{DRAWING} {digest(*modules)} {self}"
        return hashlib.sha256(asked.encode()).hexdigest()[:DIGITS]


PLANTINGS = {
    "nodule": Planting(
        check="nodule",
        kinds=(
            ("solid_nodule", 0.4),
            ("part_solid_nodule", 0.2),
            ("ground_glass_nodule", 0.25),
            ("calcified_nodule", 0.15),
        ),
        confounders=(
            "vessel_end_on",
            "apical_scar",
            "pleural_tag",
            "lymph_node",
            "costal_cartilage",
            "mucus_plug",
            "atelectatic_band",
        ),
        findings=16,
        mimics=12,
        tissues=(
            Tissue.LUNG_RIGHT,
            Tissue.LUNG_LEFT,
            Tissue.LUNG_RIGHT_VESSEL,
            Tissue.LUNG_LEFT_VESSEL,
        ),
        judged=False,
    ),
    "bone": Planting(
        check="bone",
        kinds=(
            ("blastic_metastasis", 0.2),
            ("lytic_metastasis", 0.2),
            ("mixed_metastasis", 0.2),
            ("bone_island", 0.08),
            ("haemangioma", 0.08),
            ("schmorl_node", 0.08),
            ("endplate_sclerosis", 0.08),
            ("fracture", 0.08),
        ),
        confounders=("basivertebral_vein", "costochondral_calcification"),
        findings=18,
        mimics=5,
        tissues=(
            Tissue.VERTEBRA_CORTEX,
            Tissue.VERTEBRA_MARROW,
            Tissue.BONE_CORTEX,
            Tissue.BONE_MARROW,
        ),
        judged=True,
    ),
}
"""What is planted for each detector: as often as it teaches something, not as it occurs."""


@dataclass(frozen=True)
class TileScene:
    """One patient and what was planted.

    Attributes
    ----------
    seed : int
    stored : (S, R, C) ndarray of int16
        HU without lesions and scanner, in steps of `networks.scene_file.HU_STEP`; maps a file.
    origin_mm : (3,) ndarray of float64
        LPS mm (z, y, x) of the first voxel's centre.
    spacing_mm : float
    size : float
        Noise of this patient against one of 300 mm (`networks.phantoms.response.size_factor`).
    lesions : tuple of Lesion
    picks_mm : (n, 3) ndarray of float32
        Points (z, y, x) of the organ, LPS mm.
    """

    seed: int
    stored: npt.NDArray[np.int16]
    origin_mm: npt.NDArray[np.float64]
    spacing_mm: float
    size: float
    lesions: tuple[Lesion, ...]
    picks_mm: npt.NDArray[np.float32]

    def around(
        self, low_mm: npt.ArrayLike, high_mm: npt.ArrayLike, lesions: Sequence[Lesion]
    ) -> Scene:
        """Return the part of the patient that a scan of a box needs, with some of the lesions.

        Parameters
        ----------
        low_mm, high_mm : (3,) array
            Corners of the box (z, y, x), LPS mm.
        lesions : sequence of Lesion
        """
        reach = np.array([REACH_MM, *(2 * [(SHARE_REACH + 1) * self.spacing_mm])])
        shape = np.array(self.stored.shape)
        first = (np.asarray(low_mm) - reach - self.origin_mm) / self.spacing_mm
        last = (np.asarray(high_mm) + reach - self.origin_mm) / self.spacing_mm
        start = np.clip(np.floor(first).astype(int), 0, shape - 2)
        start[0] -= start[0] % SHARE_STEP  # planes of the body's outline fall where they fall
        stop = np.clip(np.ceil(last).astype(int) + 1, start + 2, shape)
        part = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        hu = self.stored[part].astype(np.float32)
        hu *= np.float32(HU_STEP)
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = self.spacing_mm
        affine[:3, 3] = (self.origin_mm + start * self.spacing_mm)[::-1]
        affine[3, 3] = 1.0
        nobody, nothing = cast(Patient, None), cast(TissueHu, None)  # no planter looks at a tile
        empty = np.broadcast_to(np.zeros((), np.uint8), hu.shape)
        scene = Scene(Anatomy(empty, affine, self.spacing_mm, nobody, self.seed), nothing, hu)
        scene.add(lesions)
        return scene


class TilePool:
    """The scenes of one detector by seed.

    Parameters
    ----------
    folder : Path
        Where pools are kept.
    planting : Planting
    """

    def __init__(self, folder: Path, planting: Planting) -> None:
        self.planting = planting
        self.patients = PatientPool(folder)
        self.painted = folder / f"painted-{digest('networks.phantoms.paint')}"
        self.folder = folder / f"{planting.check}-tiles-{planting.version}"
        self._known: dict[int, TileScene] = {}

    def path(self, seed: int) -> Path:
        """Where the lesions of a patient are kept."""
        return self.folder / f"{seed}.npz"

    def get(self, seed: int) -> TileScene:
        """Return the scenes of a patient, the same whether kept or drawn now."""
        if seed not in self._known:
            if not self.path(seed).exists():
                self.draw(seed)
            if len(self._known) >= CACHED:
                del self._known[next(iter(self._known))]
            self._known[seed] = self._read(seed)
        return self._known[seed]

    def draw(self, seed: int) -> None:
        """Paint a patient, plant into it and keep both."""
        scene = paint_scene(self.patients.get(seed))
        self._keep_painted(scene, seed)
        rng = np.random.default_rng((seed, 7, CHECKS.index(self.planting.check)))
        plant_many(scene, self.planting, rng)
        arrays: dict[str, npt.NDArray[np.generic]] = {"picks": self._picks(scene, rng)}
        kept = [_smaller(lesion) for lesion in scene.lesions]
        for place, lesion in enumerate(kept):
            arrays[f"delta_{place}"] = lesion.delta_hu.astype(np.float16)
            arrays[f"mask_{place}"] = np.packbits(lesion.mask)
        plain = {
            "origin_mm": scene.origin_mm.tolist(),
            "spacing_mm": scene.spacing_mm,
            "size": size_factor(scene.hu, scene.spacing_mm),
            "lesions": [_told(lesion) for lesion in kept],
        }
        keep(self.path(seed), arrays, plain)

    def fill(self, seeds: Sequence[int]) -> None:
        """Draw what is missing, in order."""
        for seed in seeds:
            if not self.path(seed).exists():
                self.draw(seed)

    def _keep_painted(self, scene: Scene, seed: int) -> None:
        path = self.painted / f"{seed}.npy"
        if path.exists():
            return
        self.painted.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as file:
            np.save(file, np.clip(np.rint(scene.hu / HU_STEP), -32768, 32767).astype(np.int16))
        partial.rename(path)

    def _picks(self, scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        found = np.flatnonzero(scene.tissue(*self.planting.tissues))
        if not found.size:
            raise NoPlaceError(f"nothing in view for {self.planting.check}")
        chosen = np.unravel_index(rng.choice(found, PICKS), scene.hu.shape)
        points = scene.origin_mm + np.stack(chosen, axis=1) * scene.spacing_mm
        return points.astype(np.float32)

    def _read(self, seed: int) -> TileScene:
        arrays, plain = read(self.path(seed))
        return TileScene(
            seed=seed,
            stored=np.load(self.painted / f"{seed}.npy", mmap_mode="r"),
            origin_mm=np.asarray(plain["origin_mm"], np.float64),
            spacing_mm=plain["spacing_mm"],
            size=plain["size"],
            lesions=tuple(
                _lesion(told, arrays[f"delta_{place}"], arrays[f"mask_{place}"])
                for place, told in enumerate(plain["lesions"])
            ),
            picks_mm=arrays["picks"],
        )


def plant_many(scene: Scene, planting: Planting, rng: np.random.Generator) -> None:
    """Plant findings and confounders into a scene, apart from each other."""
    planter, judge = PLANTERS[planting.check], draw_judge(scene, rng)
    names, shares = zip(*planting.kinds, strict=True)
    share = np.asarray(shares) / np.sum(shares)
    for number in range(planting.findings + planting.mimics):
        for _ in range(4):
            difficulty = str(rng.choice(list(DIFFICULTIES), p=list(DIFFICULTIES.values())))
            try:
                if number < planting.findings:
                    drawn = planter.plant(
                        scene, rng, str(rng.choice(names, p=share)), difficulty=difficulty,
                        judge=judge if planting.judged else _seen_at_once,
                    )  # fmt: skip
                else:
                    drawn = planter.confound(
                        scene, rng, str(rng.choice(planting.confounders)), judge=None
                    )
            except NoPlaceError:
                continue
            if all(_apart(lesion, other) for lesion in drawn for other in scene.lesions):
                scene.add(drawn)
                break


def _seen_at_once(*_: object) -> float:
    return float("inf")


def _apart(first: Lesion, second: Lesion) -> bool:
    """Return whether the boxes of what two patches paint leave room between them."""
    gaps = [
        max(a[0] - b[-1], b[0] - a[-1])
        for a, b in zip(first.grid.axes, second.grid.axes, strict=True)
    ]
    if max(gaps) > 0:
        return True
    between = float(np.linalg.norm(np.subtract(first.centre_mm, second.centre_mm)))
    return between > 0.6 * (first.diameter_mm + second.diameter_mm) + CLEARANCE_MM


def _smaller(lesion: Lesion) -> Lesion:
    return trimmed(lesion) if lesion.delta_hu.size > LARGEST_VOXELS else lesion


def main() -> None:
    """Draw scenes from the command line: ``python -m networks.tile_scenes nodule --size 200``."""
    parser = argparse.ArgumentParser(description="Draw the scenes of a detector.")
    parser.add_argument("check", choices=sorted(PLANTINGS))
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="first seed")
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    pool = TilePool(given.folder, PLANTINGS[given.check])
    seeds = range(given.first, given.first + given.size)
    for child in start_filling(pool, seeds, given.processes):
        child.join()


if __name__ == "__main__":
    main()
