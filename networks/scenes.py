"""Painted patients with what was planted into them, cut to a check's box and kept on disk.

Drawing a patient takes seconds and planting a lesion a large part of one, scanning a box a few
hundredths. So patients are drawn beforehand, once for all checks; each check plants into them a few
times, and training scans what was kept anew at every step.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from networks.background import start_filling
from networks.labels import ANATOMY_LABELS
from networks.phantoms.anatomy import Anatomy, sample_anatomy
from networks.phantoms.detectability import Judge
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import CHECKS, PLANTERS, NoPlaceError
from networks.phantoms.patient import Patient
from networks.phantoms.profiles import PROFILES
from networks.phantoms.response import size_factor
from networks.phantoms.scene import Scene
from networks.scene_file import Case, Variant, keep, read, trimmed
from networks.version import digest

FIRST_SEED = 100_000
"""Patients to train on."""

JUDGE_SEED = 800_000
"""Patients that validation during training looks at."""

HEALTHY_SEED = 810_000
"""Healthy patients that set thresholds; from 900,000 on no training and no threshold looks."""

SPACINGS_MM = (3.0, 2.5, 2.0)
"""Voxels of the patients, cycled by seed, so that no network learns how wide they are."""

PLANTED = 2
"""Planted variants of a patient for each check."""

HEALTHY = 2
"""Healthy variants."""

BARE_SHARE = 0.2
"""Share of healthy variants without a confounder of the check."""

BOTH_SHARE = 0.5
"""Share of planted variants with one, so that it does not tell that a patient is healthy."""

OTHERS = 2
"""Other checks of which a confounder is planted as well."""

DIFFICULTIES = {"easy": 0.25, "medium": 0.45, "hard": 0.3}
"""What is planted, by share."""

TRIES = 6
"""Kinds that are tried when one finds no place."""

SPARE_MM = 24.0
"""Kept around the box of the organs and its margin, for shifts and for the scan's reach."""


@dataclass(frozen=True)
class Box:
    """Where a check looks: the common box of some organs and a margin.

    Attributes
    ----------
    organs : tuple of str
        Names of `networks.labels.ANATOMY_LABELS`.
    margin_mm : three float
        Along z, y and x; ``[roi]`` of the manifest.
    """

    check: str
    organs: tuple[str, ...]
    margin_mm: tuple[float, float, float]


def default_folder() -> Path:
    """Return the folder under which pools of scenes are kept."""
    return Path(tempfile.gettempdir()) / "onescan-scenes"


class PatientPool:
    """Tissue maps by seed, read from disk or drawn and kept.

    Parameters
    ----------
    folder : Path
        Where pools are kept; the maps of this code have a folder of their own in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / f"patients-{digest('networks.phantoms.anatomy')}"

    def path(self, seed: int) -> Path:
        """Where a patient is kept."""
        return self.folder / f"{seed}.npz"

    def get(self, seed: int) -> Anatomy:
        """Return a patient, the same whether kept or drawn now."""
        path = self.path(seed)
        if not path.exists():
            drawn = sample_anatomy(seed, spacing_mm=SPACINGS_MM[seed % len(SPACINGS_MM)])
            keep(
                path,
                {"labels": drawn.labels, "affine": drawn.affine},
                {"patient": asdict(drawn.patient), "spacing_mm": drawn.spacing_mm},
                compressed=True,
            )
        arrays, plain = read(path)
        return Anatomy(
            labels=arrays["labels"],
            affine=arrays["affine"],
            spacing_mm=plain["spacing_mm"],
            patient=Patient(**plain["patient"]),
            seed=seed,
        )

    def fill(self, seeds: Sequence[int]) -> None:
        """Draw what is missing, in order."""
        for seed in seeds:
            if not self.path(seed).exists():
                self.get(seed)


class ScenePool:
    """The scenes of one check by seed.

    Parameters
    ----------
    folder : Path
        As for `PatientPool`.
    box : Box
    planted, healthy : int
        Variants of each patient.
    """

    def __init__(
        self, folder: Path, box: Box, *, planted: int = PLANTED, healthy: int = HEALTHY
    ) -> None:
        self.box = box
        self.planted, self.healthy = planted, healthy
        self.patients = PatientPool(folder)
        version = digest("networks.scenes", f"networks.phantoms.lesions.{box.check}")
        margin = "-".join(f"{mm:g}" for mm in box.margin_mm)
        self.folder = folder / f"{box.check}-{margin}-{planted}-{healthy}-{version}"

    def path(self, seed: int) -> Path:
        """Where the scenes of a patient are kept."""
        return self.folder / f"{seed}.npz"

    def get(self, seed: int) -> Case:
        """Return the scenes of a patient, the same whether kept or drawn now."""
        path = self.path(seed)
        if not path.exists():
            patient = self.patients.get(seed)
            draw_case(patient, self.box, planted=self.planted, healthy=self.healthy).keep(path)
        return Case.read(path)

    def fill(self, seeds: Sequence[int]) -> None:
        """Draw what is missing, in order."""
        for seed in seeds:
            if not self.path(seed).exists():
                self.get(seed)


def paint_scene(anatomy: Anatomy) -> Scene:
    """Paint a patient in native HU."""
    return Scene.painted(anatomy, np.random.default_rng((anatomy.seed, 3)))


def draw_case(
    anatomy: Anatomy, box: Box, *, planted: int = PLANTED, healthy: int = HEALTHY
) -> Case:
    """Plant into a patient, several times over, and cut out what the check looks at.

    Parameters
    ----------
    anatomy : Anatomy
    box : Box
    planted, healthy : int
        Variants.

    Returns
    -------
    Case
        The healthy variants and up to `planted` planted ones; fewer where nothing fits.
    """
    scene = paint_scene(anatomy)
    low, high = organ_box(anatomy, box.organs)
    reach = np.asarray(box.margin_mm) + SPARE_MM
    variants = []
    for ill, number in [(True, n) for n in range(planted)] + [(False, n) for n in range(healthy)]:
        rng = np.random.default_rng((anatomy.seed, 5, CHECKS.index(box.check), int(ill), number))
        scene.lesions = []
        try:
            scene.add(_underlay(scene, box.check, rng))
        except NoPlaceError:
            continue
        if ill and not _plant(scene, box.check, rng):
            continue
        if rng.random() < (BOTH_SHARE if ill else 1 - BARE_SHARE):
            _confound(scene, box.check, rng, 1 + int(rng.random() < 0.35))
        for other in rng.permutation([check for check in PLANTERS if check != box.check])[:OTHERS]:
            _confound(scene, str(other), rng, 1)
        kept = [trimmed(x) for x in scene.lesions if _touches(x, low - reach, high + reach)]
        variants.append(Variant(ill, tuple(kept)))
    first = np.maximum(np.floor((low - reach - scene.origin_mm) / scene.spacing_mm), 0)
    last = np.minimum(
        np.ceil((high + reach - scene.origin_mm) / scene.spacing_mm) + 1, scene.hu.shape
    )
    part = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    extent = scene.origin_mm + np.stack(
        [np.full(3, -0.5), np.asarray(scene.hu.shape) - 0.5]
    ) * scene.spacing_mm  # fmt: skip
    return Case(
        seed=anatomy.seed,
        hu=scene.hu[part],
        tissues=anatomy.labels[part],
        origin_mm=scene.origin_mm + first * scene.spacing_mm,
        spacing_mm=scene.spacing_mm,
        organ_mm=np.stack([low, high]),
        extent_mm=extent,
        size=size_factor(scene.hu, scene.spacing_mm),
        table=scene.table,
        variants=tuple(variants),
    )


def organ_box(anatomy: Anatomy, organs: Sequence[str]) -> tuple[NDArray[np.float64], ...]:
    """Return the lowest and highest edge (z, y, x) of some organs, LPS mm.

    Raises
    ------
    NoPlaceError
        When none of them is in view.
    """
    mask = np.isin(anatomy.organ_labels(), [ANATOMY_LABELS.index(name) for name in organs])
    origin = np.asarray(anatomy.affine[[2, 1, 0], 3], np.float64)
    edges = []
    for axis in range(3):
        held = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not held.size:
            raise NoPlaceError(f"no {' and no '.join(organs)} in view")
        edges.append((held[0] - 0.5, held[-1] + 0.5))
    low, high = np.asarray(edges).T
    return origin + low * anatomy.spacing_mm, origin + high * anatomy.spacing_mm


def draw_judge(scene: Scene, rng: np.random.Generator) -> Judge:
    """Draw the scan by which difficulty is judged; training scans the scene otherwise each time."""
    seen = [profile for profile in PROFILES.values() if not profile.unseen]
    return Judge.of(
        scene,
        seen[rng.integers(len(seen))],
        thickness_mm=float(rng.choice([1.0, 2.0, 3.0, 5.0])),
        dose=float(rng.uniform(0.7, 1.4)),
    )


def _touches(lesion: Lesion, low_mm: NDArray[np.float64], high_mm: NDArray[np.float64]) -> bool:
    return all(
        axis[0] <= high and axis[-1] >= low
        for axis, low, high in zip(lesion.grid.axes, low_mm, high_mm, strict=True)
    )


def _plant(scene: Scene, check: str, rng: np.random.Generator) -> list[Lesion]:
    planter, judge = PLANTERS[check], draw_judge(scene, rng)
    difficulty = str(rng.choice(list(DIFFICULTIES), p=list(DIFFICULTIES.values())))
    for kind in rng.permutation(planter.KINDS)[:TRIES]:
        try:
            lesions = planter.plant(scene, rng, str(kind), difficulty=difficulty, judge=judge)
        except NoPlaceError:
            continue
        scene.add(lesions)
        return lesions
    return []


def _confound(scene: Scene, check: str, rng: np.random.Generator, wanted: int) -> None:
    planter, judge = PLANTERS[check], draw_judge(scene, rng)
    for kind in rng.permutation(planter.CONFOUNDERS)[:TRIES]:
        try:
            scene.add(planter.confound(scene, rng, str(kind), judge=judge))
        except NoPlaceError:
            continue
        wanted -= 1
        if not wanted:
            return


def _underlay(scene: Scene, check: str, rng: np.random.Generator) -> list[Lesion]:
    """Return what every patient has but the anatomy does not draw: the coronary arteries."""
    if check != "calcium":
        return []
    from networks.phantoms.lesions.calcium import coronaries

    return coronaries(scene, rng)


def main() -> None:
    """Draw patients from the command line: ``python -m networks.scenes --first N --size M``."""
    parser = argparse.ArgumentParser(description="Draw patients for the scenes of all checks.")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="first seed")
    parser.add_argument("--size", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.size)
    for child in start_filling(PatientPool(given.folder), seeds, given.processes):
        child.join()


if __name__ == "__main__":
    main()
