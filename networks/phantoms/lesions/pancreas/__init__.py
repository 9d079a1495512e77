"""Plant lesions of the pancreas: eight kinds, and what looks like one (pipelines.md §1.1, §6.3).

A finding is a list of lesions. The first is the mass, whose mask is the lesion; the others are
signs of it and carry ``extra["sign"]``: ``contour``, ``duct``, ``atrophy``, ``bile_duct``,
``calcification``. The difficulty is that of the mass's attenuation against parenchyma:
``dprime``; with the contour, where it pushes fat aside, it is ``dprime_with_contour``.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions.brush import Judge
from networks.phantoms.lesions.pancreas.ducts import plant_chronic_pancreatitis, plant_ipmn
from networks.phantoms.lesions.pancreas.gland import Gland
from networks.phantoms.lesions.pancreas.masses import plant_mass
from networks.phantoms.lesions.pancreas.mimics import MIMICS
from networks.phantoms.scene import Scene

KINDS = (
    "pdac",
    "pnet",
    "spt",
    "ipmn",
    "mcn",
    "scn",
    "chronic_pancreatitis",
    "other_pancreatic",
)
"""The eight classes of the differential; ``other_pancreatic`` is a metastasis, a pseudocyst or
focal autoimmune pancreatitis, named in ``extra["variant"]``."""

CONFOUNDERS = tuple(MIMICS)


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Plant one finding.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    difficulty : str
        What is asked for; the lesions say what was measured.
    judge : callable
        d′ of a patch on the scan that will be made.

    Returns
    -------
    list of Lesion
        The mass, then its signs.

    Raises
    ------
    NoPlaceError
        When the pancreas is out of view or too crowded.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    gland = Gland.of(scene)
    if kind == "ipmn":
        return plant_ipmn(gland, rng, difficulty, judge)
    if kind == "chronic_pancreatitis":
        return plant_chronic_pancreatitis(gland, rng, difficulty, judge)
    return plant_mass(gland, rng, kind, difficulty, judge)


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Plant one of `CONFOUNDERS`; `NoPlaceError` when there is no room."""
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    return MIMICS[kind](Gland.of(scene), rng)
