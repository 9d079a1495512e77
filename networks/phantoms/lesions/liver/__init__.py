"""Plant diffuse liver disease, and what is none (pipelines.md §1.1, §6.3).

Fibrosis is a surface and a texture here, and spleen, lobes and portal vein in the anatomy
(`sample_anatomy` with ``fibrosis_stage``); steatosis is a change of HU over the whole organ. Masks
of diffuse signs are empty.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import Judged
from networks.phantoms.lesions.liver.fibrosis import plant_fibrosis
from networks.phantoms.lesions.liver.mimics import MIMICS
from networks.phantoms.lesions.liver.organ import Liver
from networks.phantoms.lesions.liver.steatosis import plant_steatosis
from networks.phantoms.scene import Scene

KINDS = (
    *(f"fibrosis_f{stage}" for stage in range(1, 5)),
    *(f"steatosis_s{grade}" for grade in range(1, 4)),
)
CONFOUNDERS = tuple(MIMICS)


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judged,
) -> list[Lesion]:
    """Plant one finding.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    difficulty : str
        What is asked for; the lesions say what was measured. Steatosis has none.
    judge : callable
        d′ of a patch on the scan that will be made.

    Returns
    -------
    list of Lesion
        Of fibrosis the surface, then its other signs; of steatosis one.

    Raises
    ------
    NoPlaceError
        When too little liver is in view.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    liver = Liver.of(scene)
    degree = int(kind[-1])
    if kind.startswith("fibrosis"):
        return plant_fibrosis(liver, rng, degree, difficulty, judge)
    return plant_steatosis(liver, rng, degree)


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judged | None = None
) -> list[Lesion]:
    """Plant one of `CONFOUNDERS`; `NoPlaceError` when there is no room."""
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    return MIMICS[kind](Liver.of(scene), rng)
