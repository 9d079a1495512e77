"""Patients of every stage of fibrosis, each at several fat fractions, kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from networks.phantoms.anatomy import Anatomy, sample_anatomy
from networks.phantoms.findings import STEATOSIS_CUTS_PERCENT
from networks.phantoms.hu import liver_hu
from networks.phantoms.lesion import DIFFICULTIES, FineGrid, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.liver import CONFOUNDERS, confound, plant
from networks.phantoms.paint import EDGE_BLUR_VOXELS
from networks.phantoms.patient import Patient
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from networks.plantings import PlantingPool
from networks.scene_file import Case, Variant, trimmed
from networks.scenes import SPACINGS_MM, Box, PatientPool, draw_case, draw_judge
from networks.version import digest

BOX = Box("liver", ("liver", "spleen"), (9.0, 9.0, 9.0))
"""``[roi]`` of the manifest."""

STAGES = 5
"""F0 to F4, cycled by seed."""

PLANTED = 3
"""Plantings of a patient, each at another grade of steatosis."""

FAT_PERCENT = (1.5, 34.0)
"""PDFF of the leanest and the fattest liver."""

CONFOUNDED = 0.5
"""Share of plantings with a cyst, an odd outline or the like."""

SHARES = (0.25, 0.45, 0.3)
"""Of easy, medium and hard."""


class LiverPool(PlantingPool):
    """Livers by patient.

    Parameters
    ----------
    folder : Path
        Where pools are kept.
    healthy : bool
        Draw every patient without fibrosis and fat, once.
    """

    def __init__(self, folder: Path, *, healthy: bool = False) -> None:
        version = digest("networks.liver_scenes", "networks.phantoms.lesions.liver")
        super().__init__(folder / f"liver-{'healthy-' * healthy}{version}")
        self.healthy = healthy
        self.patients = PatientPool(folder)

    def draw(self, seed: int) -> tuple[Case, dict[str, Any]]:
        """Draw a patient, and plant fibrosis at every fat fraction anew: borders depend on it."""
        stage = 0 if self.healthy else seed % STAGES
        anatomy = self._anatomy(seed, stage)
        patient = anatomy.patient
        case = draw_case(anatomy, BOX, planted=0, healthy=0)
        variants, fats = [], []
        for number, grade in enumerate([0] if self.healthy else _grades(seed)):
            rng = np.random.default_rng((seed, 8, number))
            fat = draw_fat(rng, grade)
            scene = with_fat(case, patient.pdff_percent, fat).scene(Variant(False, ()))
            found = _signs(scene, case.size, stage, rng)
            variants.append(Variant(stage > 0, tuple(trimmed(x) for x in merged(found))))
            fats.append(fat)
        told = {"patient": asdict(patient), "stage": stage, "fat_percent": fats}
        return replace(case, variants=tuple(variants)), told

    def _anatomy(self, seed: int, stage: int) -> Anatomy:
        """Draw a patient; those without fibrosis are shared with all checks."""
        if not stage:
            return self.patients.get(seed)
        return sample_anatomy(
            seed, spacing_mm=SPACINGS_MM[seed % len(SPACINGS_MM)], fibrosis_stage=stage
        )

    def patient(self, seed: int) -> Patient:
        """Return who a patient is."""
        return Patient(**self.told(seed)["patient"])


def grade_of(pdff_percent: float) -> int:
    """Return the grade of steatosis, 0 to 3."""
    return sum(pdff_percent >= cut for cut in STEATOSIS_CUTS_PERCENT)


def draw_fat(rng: np.random.Generator, grade: int) -> float:
    """Draw a PDFF within a grade, %."""
    edges = (FAT_PERCENT[0], *STEATOSIS_CUTS_PERCENT, FAT_PERCENT[1])
    return float(rng.uniform(edges[grade], edges[grade + 1]))


def _grades(seed: int) -> list[int]:
    return np.random.default_rng((seed, 9)).permutation(4)[:PLANTED].tolist()


def with_fat(case: Case, from_percent: float, to_percent: float) -> Case:
    """Return a case whose liver tissue, and its mean in the table, have another PDFF."""
    inside = (case.tissues == Tissue.LIVER).astype(np.float32)
    share = gaussian_filter(inside, EDGE_BLUR_VOXELS, mode="nearest", truncate=3.0)
    change = np.float32(liver_hu(to_percent) - liver_hu(from_percent))
    mean = case.table.mean.copy()
    mean[Tissue.LIVER] += change
    return replace(case, hu=case.hu + change * share, table=case.table._replace(mean=mean))


def merged(lesions: Sequence[Lesion]) -> list[Lesion]:
    """Add up findings that lie on one grid, so that a scan and a file hold one patch of them.

    The first of them says what they are; an empty mask gives way to that of another.
    """
    kept: dict[FineGrid, Lesion] = {}
    alone = []
    for lesion in lesions:
        before = kept.get(lesion.grid)
        if not lesion.is_finding:
            alone.append(lesion)
        elif before is None:
            kept[lesion.grid] = lesion
        else:
            delta, mask = before.delta_hu + lesion.delta_hu, before.mask | lesion.mask
            kept[lesion.grid] = replace(before, delta_hu=delta, mask=mask)
    return [*kept.values(), *alone]


def _signs(scene: Scene, size: float, stage: int, rng: np.random.Generator) -> list[Lesion]:
    """Plant the signs of a stage, and perhaps what only looks like disease.

    `size` is that of the whole patient, of whom the scene is a part.
    """
    judge = replace(draw_judge(scene, rng), size=size)
    found: list[Lesion] = []
    if stage:
        difficulty = str(rng.choice(DIFFICULTIES, p=SHARES))
        found += plant(scene, rng, f"fibrosis_f{stage}", difficulty=difficulty, judge=judge)
        scene.add(found)
    if rng.random() < CONFOUNDED:
        with contextlib.suppress(NoPlaceError):
            found = found + confound(scene, rng, str(rng.choice(CONFOUNDERS)), judge=judge)
    return found
