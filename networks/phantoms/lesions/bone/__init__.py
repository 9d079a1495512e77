"""Lesions of bone: three kinds of metastasis and five that are benign.

The eight kinds stand for the eight subtypes of the bone check. Seven of the published classes have
names (osteoblastic, osteolytic and mixed metastasis, bone island, haemangioma, Schmorl's node,
endplate inflammation); what the eighth is, how each looks and how often it is drawn are our choice.
Metastases are findings. The five others are classes for the classifier: findings only when asked
for by name, with ``malignant`` false, and otherwise what a negative may hold.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.bone.benign import BENIGN, DIAMETER_MM
from networks.phantoms.lesions.bone.fracture import (
    HEIGHT_LOSS,
    RIB_STEP_MM,
    compression_fracture,
    rib_fracture,
)
from networks.phantoms.lesions.bone.metastasis import metastasis
from networks.phantoms.lesions.brush import Judge, Patch, measured, tune
from networks.phantoms.scene import Scene

METASTASES = ("blastic_metastasis", "lytic_metastasis", "mixed_metastasis")

KINDS = (
    *METASTASES,
    "bone_island",
    "haemangioma",
    "schmorl_node",
    "endplate_sclerosis",
    "fracture",
)

CONFOUNDERS = (
    *KINDS[3:],
    "basivertebral_vein",
    "costochondral_calcification",
)

PUBLISHED_SUBTYPES = {
    "blastic_metastasis": "osteoblastic metastasis",
    "lytic_metastasis": "osteolytic metastasis",
    "mixed_metastasis": "mixed metastasis",
    "bone_island": "bone island",
    "haemangioma": "haemangioma",
    "schmorl_node": "Schmorl's node",
    "endplate_sclerosis": "endplate inflammation",
    "fracture": "other benign",
}
"""Kind → the subtype it stands for (pipelines.md §0); the eighth has no published name."""

STRENGTH = {
    "bone_island": (0.85, 1.1),
    "haemangioma": (0.45, 1.1),
    "schmorl_node": (0.4, 1.1),
    "endplate_sclerosis": (0.35, 1.3),
    "fracture": (0.8, 1.0),
}
"""How far the contrast of a benign kind is scaled."""


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Draw one lesion of bone.

    Raises
    ------
    NoPlaceError
        When the bones in view have no place for it.
    ValueError
        For an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if kind in METASTASES:
        found = metastasis(scene, rng, kind, difficulty=difficulty, judge=judge)
    else:
        found = tune(
            lambda size: _draw(scene, rng, kind, size),
            rng,
            judge,
            difficulty,
            size=(0.05, 1.0) if kind == "fracture" else DIAMETER_MM[kind],
            strength=STRENGTH[kind],
        )
    found.patch.extra["malignant"] = kind in METASTASES
    return [
        found.patch.lesion(
            check="bone",
            kind=kind,
            is_finding=True,
            difficulty=found.difficulty,
            dprime=found.dprime,
        )
    ]


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Draw what a negative of the bone check may hold.

    Raises
    ------
    NoPlaceError
        When the bones in view have no place for it.
    ValueError
        For an unknown kind.
    """
    if kind not in CONFOUNDERS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    patch = _draw(scene, rng, kind, None)
    patch.extra["malignant"] = False
    dprime = measured(judge, patch.grid, patch.delta_hu) if judge else None
    return [patch.lesion(check="bone", kind=kind, is_finding=False, dprime=dprime)]


def _draw(scene: Scene, rng: np.random.Generator, kind: str, size: float | None) -> Patch:
    """Draw something benign of a size: mm, or for a fracture a share of its range."""
    if kind == "fracture":
        share = float(rng.uniform(0, 1)) if size is None else size
        draws = [(rib_fracture, RIB_STEP_MM), (compression_fracture, HEIGHT_LOSS)]
        if rng.random() < 0.5:
            draws.reverse()
        for draw, (low, high) in draws:
            try:
                return draw(scene, low + share * (high - low), rng)
            except NoPlaceError:
                continue
        raise NoPlaceError("no rib and no whole vertebra is in view")
    low, high = DIAMETER_MM[kind]
    return BENIGN[kind](scene, float(rng.uniform(low, high)) if size is None else size, rng)
