"""A phantom of a cohort: what decides it, the patient with what was planted, and its scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from networks.phantoms.acquire import Acquisition, acquire
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.detectability import Judge
from networks.phantoms.findings import plant
from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions import CHECKS, NoPlaceError
from networks.phantoms.planting import plant_confounders, plant_findings
from networks.phantoms.profiles import PROFILES, SEEN, ScannerProfile
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.scene import Scene

NEXT_PATIENT = 10_000_000
"""Added to the seed of the patient where the first has no place for a finding."""

PATIENTS = 6
"""Patients that are tried for one case."""

SPACING_MM = 3.0
"""Voxel of the anatomies, unless a plan says otherwise."""


@dataclass(frozen=True, kw_only=True)
class CasePlan:
    """What decides a case, all of it."""

    seed: int
    check: str | None = None
    """Check of the finding; None for a healthy patient."""
    kind: str | None = None
    """Kind of the finding; any of the check's where None."""
    difficulty: str = "medium"
    confounders: tuple[str, ...] = CHECKS
    """Checks of which a confounder is planted."""
    lean_liver: bool = False
    """Keep the liver's fat normal; otherwise it is what the population has."""
    profile: str = SEEN[0]
    kernel: str = "soft"
    thickness_mm: float = 1.0
    dose: float = 1.0
    spacing_mm: float = SPACING_MM
    """Voxel of the anatomy."""


@dataclass(frozen=True)
class Case:
    """A patient with what was planted, and the scan to be made of it.

    Attributes
    ----------
    plan : CasePlan
    scene : Scene
    findings : tuple of str
        Kinds that were planted.
    patient_seed : int
        Of the anatomy; the plan's unless that patient had no place.
    pdff_percent : float
        Fat fraction of the liver.
    """

    plan: CasePlan
    scene: Scene
    findings: tuple[str, ...]
    patient_seed: int
    pdff_percent: float

    @property
    def profile(self) -> ScannerProfile:
        """The scanner model."""
        return PROFILES[self.plan.profile]

    @property
    def lesions(self) -> list[Lesion]:
        """Everything planted, confounders included."""
        return self.scene.lesions

    def scan(self, *, matrix: int = 512, **given: Any) -> Acquisition:
        """Scan the whole patient; `given` goes to `networks.phantoms.acquire.acquire`."""
        return acquire(
            self.scene.hu, self.scene.anatomy.affine, self.profile,
            np.random.default_rng([self.plan.seed, 6]), kernel=self.plan.kernel, matrix=matrix,
            thickness_mm=self.plan.thickness_mm, increment_mm=self.plan.thickness_mm,
            dose=self.plan.dose, lesions=self.lesions, **given,
        )  # fmt: skip

    def region(self, grid: RegionGrid) -> FloatArray:
        """Scan a box straight onto a network's grid, (S, R, C) HU."""
        return acquire_region(
            self.scene, self.profile, np.random.default_rng([self.plan.seed, 7]), grid,
            kernel=self.plan.kernel, thickness_mm=self.plan.thickness_mm, dose=self.plan.dose,
        )  # fmt: skip


def draw_case(plan: CasePlan) -> Case:
    """Draw a case; nothing but the plan decides.

    Raises
    ------
    NoPlaceError
        When none of the patients tried has a place for the finding.
    """
    reason: NoPlaceError | None = None
    for n in range(PATIENTS):
        try:
            return _draw(plan, plan.seed + n * NEXT_PATIENT)
        except NoPlaceError as error:
            reason = error
    raise NoPlaceError(f"seed {plan.seed}: {reason}")


def _draw(plan: CasePlan, seed: int) -> Case:
    name = plan.kind or plan.check
    planted = plant([name] if name else [], None, seed)
    anatomy = sample_anatomy(
        seed, spacing_mm=plan.spacing_mm, fibrosis_stage=planted.fibrosis_stage
    )
    fixed = planted.findings or plan.lean_liver
    pdff = planted.pdff_percent if fixed else anatomy.patient.pdff_percent
    rng = np.random.default_rng([seed, 1])
    scene = Scene.painted(anatomy, rng, pdff_percent=pdff)
    judge = Judge.of(
        scene, PROFILES[plan.profile], kernel=plan.kernel, thickness_mm=plan.thickness_mm,
        dose=plan.dose, first_slice_mm=float(scene.origin_mm[0]),
    )  # fmt: skip
    kinds = plant_findings(scene, planted.wanted, seed, difficulty=plan.difficulty, judge=judge)
    plant_confounders(scene, plan.confounders, seed, judge=judge)
    return Case(plan, scene, (*planted.findings, *kinds), seed, pdff)
