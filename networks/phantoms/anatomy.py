"""Draw one patient's anatomy from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from networks.labels import ANATOMY_LABELS
from networks.phantoms import abdomen, body, bowel, chest, skeleton
from networks.phantoms.canvas import Canvas
from networks.phantoms.fields import FloatArray, Warp
from networks.phantoms.patient import Patient, draw_patient
from networks.phantoms.tissue import organ_table

BODY_WARP = ((4.5, 110.0), (1.5, 40.0))
"""(SD mm, step mm) of the warp of everything."""

VISCERAL_WARP = ((12.0, 70.0), (4.0, 25.0))
"""(SD mm, step mm) of the further warp of the viscera (pipelines.md §6.1)."""


@dataclass(frozen=True)
class Anatomy:
    """A patient as a map of tissues.

    Attributes
    ----------
    labels : (S, R, C) ndarray of uint8
        `networks.phantoms.tissue.Tissue` values; slices inferior to superior, rows anterior to
        posterior, columns patient right to left.
    affine : (4, 4) ndarray of float64
        Maps (slice, row, column, 1) to LPS mm.
    spacing_mm : float
        Edge of the cubic voxels.
    patient : Patient
        What was drawn.
    seed : int
        Seed of everything.
    """

    labels: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]
    spacing_mm: float
    patient: Patient
    seed: int

    @property
    def parameters(self) -> dict[str, Any]:
        """What was drawn, as plain values."""
        return self.patient.as_dict()

    def organ_labels(self) -> npt.NDArray[np.uint8]:
        """Return the (S, R, C) uint8 map of `networks.labels.ANATOMY_LABELS` values."""
        return organ_table()[self.labels]

    def organ_volumes_ml(self) -> dict[str, float]:
        """Return the volume of each organ within the field of view, ml."""
        counts = np.bincount(self.organ_labels().ravel(), minlength=len(ANATOMY_LABELS))
        voxel_ml = self.spacing_mm**3 / 1000.0
        return {
            name: round(float(counts[value]) * voxel_ml, 2)
            for value, name in enumerate(ANATOMY_LABELS)
            if value
        }


def grid_axes(
    patient: Patient, spacing_mm: float, *, prone: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the (z, y, x) voxel centres in patient mm that hold the patient and the table."""
    size = patient.size
    lateral, front, back = (patient.subcutaneous_mm[1], patient.subcutaneous_mm[0],
                            patient.subcutaneous_mm[2])  # fmt: skip
    arms = 70.0 if not patient.arms_up else 0.0
    half_width = (172 + 0.45 * patient.visceral_fat_mm + 1.5 * lateral) * size[2] + 12 + arms
    ahead = (125 + max(patient.visceral_fat_mm, 0) + 1.1 * front) * size[1] + 14
    breast = 45.0 if patient.sex == "F" else 0.0
    ahead = max(ahead, (140 + breast) * size[1])
    behind = (140 + 1.3 * back) * size[1] + 14 + patient.table_top_mm + 45
    if prone:
        ahead, behind = ahead + patient.table_top_mm + 45, behind - patient.table_top_mm - 45
    ranges = (
        (patient.bottom_mm * size[0], patient.top_mm * size[0]),
        (-ahead, behind),
        (-half_width, half_width),
    )
    axes = [
        np.arange(np.ceil(low / spacing_mm), np.floor(high / spacing_mm) + 1) * spacing_mm
        for low, high in ranges
    ]
    z, y, x = (axis.astype(np.float32) for axis in axes)
    return z, y, x


def sample_anatomy(
    seed: int, *, spacing_mm: float = 3.0, prone: bool = False, fibrosis_stage: int = 0
) -> Anatomy:
    """Draw the patient of a seed.

    Parameters
    ----------
    seed : int
        The same seed gives the same bytes at the same spacing, and the same patient at any.
    spacing_mm : float
        Edge of the cubic voxels; 3 mm takes about 1.5 s on one core, 1.5 mm eight times as long.
    prone : bool
        Lie the patient face down: the table is in front, gas rises to the back.
    fibrosis_stage : int
        0 to 4: what liver fibrosis does to spleen, lobes and portal vein of the same patient.

    Returns
    -------
    Anatomy
        Organs have the volumes in ``patient.volume_ml`` unless the field of view cuts them or
        their neighbours leave too little room.

    Notes
    -----
    The population is that of pipelines.md §6.1; no scan went into it.
    """
    if spacing_mm <= 0:
        raise ValueError(f"spacing_mm must be positive, not {spacing_mm}")
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(20)]
    patient = draw_patient(streams[0], fibrosis_stage=fibrosis_stage)
    canvas = Canvas(
        grid_axes(patient, spacing_mm, prone=prone),
        size=patient.size,
        body_warp=Warp.draw(streams[1], *BODY_WARP),
        visceral_warp=Warp.draw(streams[2], *VISCERAL_WARP),
        prone=prone,
    )
    trunk = body.draw_trunk(canvas, patient, streams[3])
    if patient.sex == "F":
        body.draw_breasts(canvas, patient, streams[4])
    body.draw_arms(canvas, patient, streams[5])
    skeleton.draw_spine(canvas, patient, streams[6])
    skeleton.draw_ribs(canvas, patient, streams[7])
    skeleton.draw_shoulders(canvas, patient, streams[8])
    skeleton.draw_pelvis(canvas, patient, streams[9])
    abdomen.draw_back_muscles(canvas, patient, streams[10])
    chest.draw_aorta(canvas, patient, streams[11])
    chest.draw_veins(canvas, patient, streams[12])
    chest.draw_airways(canvas, streams[13])
    chest.draw_heart(canvas, trunk, patient, streams[14])
    chest.draw_lungs(canvas, trunk, patient, streams[15])
    abdomen.draw_kidneys(canvas, patient, streams[16])
    abdomen.draw_gallbladder(canvas, patient, streams[17])
    abdomen.draw_pancreas(canvas, patient, streams[18])
    abdomen.draw_spleen(canvas, trunk, patient, streams[18])
    abdomen.draw_liver(canvas, trunk, patient, streams[17])
    for draw in (
        bowel.draw_stomach,
        bowel.draw_duodenum,
        bowel.draw_colon,
        bowel.draw_small_bowel,
        bowel.draw_pelvic_organs,
    ):
        draw(canvas, patient, streams[19])
    body.draw_table(canvas, trunk, patient, streams[4])
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = [float(axis[0]) for axis in reversed(canvas.axes)]
    return Anatomy(
        labels=canvas.labels,
        affine=affine.astype(np.float64),
        spacing_mm=spacing_mm,
        patient=patient,
        seed=seed,
    )
