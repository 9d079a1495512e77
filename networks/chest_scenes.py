"""Patients with several findings of the chest each, kept on disk.

A finding of the chest takes a second to plant and there are 67 kinds; so each patient carries a
few at once, the kinds taken in turn. The patient and what was planted are files of their own, for a
sample looks at one planting only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from networks.background import start_filling
from networks.phantoms.chest_labels import CHEST_LABELS, labels_of_kind
from networks.phantoms.lesion import DIFFICULTIES, Lesion
from networks.phantoms.lesions import PLANTERS, NoPlaceError
from networks.phantoms.lesions.chest.skeleton import LOW_MARROW_HU
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from networks.plantings import PlantingPool
from networks.scene_file import Case, Variant, trimmed
from networks.scenes import (
    FIRST_SEED,
    Box,
    PatientPool,
    default_folder,
    draw_case,
    draw_judge,
    paint_scene,
)
from networks.version import digest

BOX = Box("chest", ("lung_right", "lung_left", "heart", "liver"), (9.0, 15.0, 24.0))
"""The lungs with the wall around them and what a chest scan shows of the upper abdomen; ``[roi]``
of the manifest."""

PLANTED = 3
"""Plantings of a patient, beside the healthy one."""

FINDINGS = 4
"""Of each planting."""

ELSEWHERE = ("pancreas_or_stomach",)
"""Labels that are taken from another check's answer."""

NATURAL = ("steatosis", "low_bone_density")
"""Labels that are true of some patients without being planted."""

FATTY_PERCENT = (5.5, 10.0)
"""PDFF up to which there is no steatosis, and from which there is; between, it is not asked."""

DENSE_SPARE_HU = 30.0
"""Marrow denser by this than `LOW_MARROW_HU` is of normal density; between, it is not asked."""

SHARES = (0.35, 0.4, 0.25)
"""Of easy, medium and hard."""

DRAWN_BY = ("chest", "nodule", "calcium", "bone", "aorta")
"""The planters; imported by name at run time."""


@dataclass(frozen=True)
class Planting:
    """One planting of a patient.

    Attributes
    ----------
    seed, number : int
        Of the patient, and of the planting; the last is the healthy one.
    labels : tuple of str
        What was planted.
    """

    seed: int
    number: int
    labels: tuple[str, ...]


@cache
def wanted() -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return each label that is planted here, with the (check, kind) pairs that plant it."""
    found = []
    for label in CHEST_LABELS:
        pairs = []
        for planter in label.planters:
            check, kind = planter.split(".")
            if check in DRAWN_BY and check in PLANTERS:
                kinds = PLANTERS[check].KINDS if kind == "*" else (kind,)
                pairs += [(check, name) for name in kinds]
        if pairs and label.name not in ELSEWHERE:
            found.append((label.name, tuple(pairs)))
    return tuple(found)


class ChestPool(PlantingPool):
    """Plantings by patient.

    Parameters
    ----------
    folder : Path
        Where pools are kept.
    planted, healthy : int
        Plantings of each patient with and without findings.
    """

    def __init__(self, folder: Path, *, planted: int = PLANTED, healthy: int = 1) -> None:
        planters = (f"networks.phantoms.lesions.{check}" for check in DRAWN_BY)
        version = digest("networks.chest_scenes", *planters)
        super().__init__(folder / f"chest-{planted}-{healthy}-{version}")
        self.planted, self.healthy = planted, healthy
        self.patients = PatientPool(folder)

    def plantings(self, seed: int) -> list[Planting]:
        """Return the plantings of a patient."""
        labels = self.told(seed)["labels"]
        return [Planting(seed, number, tuple(names)) for number, names in enumerate(labels)]

    def draw(self, seed: int) -> tuple[Case, dict[str, Any]]:
        """Draw a patient; told are the labels of each planting, fat and marrow."""
        anatomy = self.patients.get(seed)
        variants, scene = [], paint_scene(anatomy)
        for number in range(self.planted + self.healthy):
            scene.lesions = []
            count = FINDINGS if number < self.planted else 0
            lesions = plant(scene, count, turn=(seed * self.planted + number) * FINDINGS)
            variants.append(Variant(count > 0, tuple(trimmed(lesion) for lesion in lesions)))
        case = draw_case(anatomy, BOX, planted=0, healthy=0)
        told = {
            "labels": [sorted(planted_labels(variant.lesions)) for variant in variants],
            "pdff_percent": anatomy.patient.pdff_percent,
            "marrow_hu": float(case.table.mean[Tissue.VERTEBRA_MARROW]),
        }
        return replace(case, variants=tuple(variants)), told


def planted_labels(lesions: Sequence[Lesion]) -> set[str]:
    """Return the labels of what was planted."""
    return {
        name
        for lesion in lesions
        if lesion.is_finding
        for name in labels_of_kind(lesion.check, lesion.kind)
    }


def natural_labels(told: dict[str, Any]) -> dict[str, int]:
    """Return what is true of a patient beside what was planted: 1, 0, or −1 for not asked."""
    low, high = FATTY_PERCENT
    fat, marrow = told["pdff_percent"], told["marrow_hu"]
    return {
        "steatosis": 1 if fat >= high else 0 if fat <= low else -1,
        "low_bone_density": 1
        if marrow < LOW_MARROW_HU
        else 0
        if marrow > LOW_MARROW_HU + DENSE_SPARE_HU
        else -1,
    }


def plant(scene: Scene, count: int, *, turn: int) -> list[Lesion]:
    """Plant findings whose labels are next in turn, and a confounder or two.

    Parameters
    ----------
    scene : Scene
        Takes them.
    count : int
        Of the findings; where one has no place, another label is tried.
    turn : int
        Of the first; the order of the labels changes each time that all had their turn.
    """
    rng = np.random.default_rng((scene.anatomy.seed, 6, turn, count))
    judge = draw_judge(scene, rng)
    labels = wanted()
    spare = [labels[n] for n in rng.permutation(len(labels))[:count]]
    for place in range(turn, turn + count):
        order = np.random.default_rng((7, place // len(labels))).permutation(len(labels))
        for _, pairs in (labels[order[place % len(labels)]], spare.pop()):
            check, kind = pairs[rng.integers(len(pairs))]
            difficulty = str(rng.choice(DIFFICULTIES, p=SHARES))
            try:
                planter = PLANTERS[check]
                scene.add(planter.plant(scene, rng, kind, difficulty=difficulty, judge=judge))
            except NoPlaceError:
                continue
            break
    for _ in range(1 + int(rng.random() < 0.5)):
        check = "chest" if rng.random() < 0.75 else str(rng.choice(DRAWN_BY[1:]))
        kinds = PLANTERS[check].CONFOUNDERS if check in PLANTERS else ()
        try:
            if kinds:
                scene.add(PLANTERS[check].confound(scene, rng, str(rng.choice(kinds)), judge=judge))
        except NoPlaceError:
            continue
    return scene.lesions


def main() -> None:
    """Draw patients from the command line: ``python -m networks.chest_scenes --size 100``."""
    parser = argparse.ArgumentParser(description="Draw the patients of the chest's network.")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="first seed")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--healthy", type=int, help="draw no findings, but this many plantings")
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    pool = ChestPool(given.folder)
    if given.healthy:
        pool = ChestPool(given.folder, planted=0, healthy=given.healthy)
    seeds = range(given.first, given.first + given.size)
    for child in start_filling(pool, seeds, given.processes):
        child.join()


if __name__ == "__main__":
    main()
