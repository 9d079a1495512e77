"""What is true of a phantom study, as written into truth.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from networks.labels import ANATOMY_LABELS
from networks.phantoms.acquire import Acquisition
from networks.phantoms.anatomy import Anatomy
from networks.phantoms.findings import steatosis_grade
from networks.phantoms.header import StudyHeader
from networks.phantoms.hu import liver_hu
from networks.phantoms.lesion import Lesion
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

TRUTH_VERSION = 1
"""Raised when a field of truth.json changes its meaning."""


def coverage(anatomy: Anatomy, range_mm: tuple[float, float]) -> dict[str, dict[str, Any]]:
    """Return per organ the volume within a range of z and whether the range cuts it.

    Volumes are in ml; an organ is `complete`, `truncated` (with the sides) or `absent`.
    An organ whose drawn volume the phantom itself does not hold is truncated too.
    """
    labels = anatomy.organ_labels()
    z = anatomy.affine[2, 3] + anatomy.spacing_mm * np.arange(labels.shape[0])
    inside = (z >= range_mm[0]) & (z <= range_mm[1])
    counts = np.stack(
        [np.bincount(plane.ravel(), minlength=len(ANATOMY_LABELS)) for plane in labels]
    )
    voxel_ml = anatomy.spacing_mm**3 / 1000
    below, above = z < range_mm[0], z > range_mm[1]
    result: dict[str, dict[str, Any]] = {}
    for value, name in enumerate(ANATOMY_LABELS):
        if not value:
            continue
        column = counts[:, value]
        volume = float(column[inside].sum() * voxel_ml)
        first, last = column[0] > 0, column[-1] > 0
        sides = []
        if column[below].sum() or (first and inside[0]):
            sides.append("inferior")
        if column[above].sum() or (last and inside[-1]):
            sides.append("superior")
        state = "absent" if not volume else "truncated" if sides else "complete"
        result[name] = {
            "volume_ml": round(volume, 2),
            "coverage": state,
            "truncated_sides": sides if volume else [],
        }
    return result


def truth_of(
    scene: Scene,
    findings: Sequence[str],
    pdff_percent: float,
    header: StudyHeader,
    *,
    kvp: float,
    range_mm: tuple[float, float],
    scan: Acquisition | None,
    series: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the truth about a study as plain values.

    Expected HU are those of the tissue, before the scanner's bias of up to ±3 HU.
    """
    anatomy, table = scene.anatomy, scene.table
    organs = coverage(anatomy, range_mm)
    liver, spleen = float(table.mean[Tissue.LIVER]), float(table.mean[Tissue.SPLEEN])
    native = header.phase == "native"
    return {
        "version": TRUTH_VERSION,
        "notice": "synthetic phantom, not a patient",
        "seed": anatomy.seed,
        "study_instance_uid": str(header.study_uid),
        "findings": list(findings),
        "phase": header.phase,
        "contrast_agent": header.contrast_agent,
        "profile": header.profile.name,
        "kvp": kvp,
        "position": header.position,
        "patient_age": header.patient_age,
        "lesions": [{"id": n, **lesion.truth()} for n, lesion in enumerate(scene.lesions, 1)],
        "pdff_percent": pdff_percent,
        "steatosis": {
            "grade": steatosis_grade(pdff_percent),
            "native_liver_hu": round(liver_hu(pdff_percent, kvp=kvp), 2),
            "expected_liver_hu": round(liver, 2),
            "expected_spleen_hu": round(spleen, 2),
            "expected_liver_minus_spleen_hu": round(liver - spleen, 2) if native else None,
            "expected_liver_to_spleen": round(liver / spleen, 3) if native else None,
        },
        "organ_hu": {
            "aorta": round(float(table.mean[Tissue.AORTA]), 2),
            "heart": round(float(table.mean[Tissue.RIGHT_HEART]), 2),
            "portal_vein": round(float(table.mean[Tissue.PORTAL_VEIN]), 2),
            "kidney": round(float(table.mean[Tissue.KIDNEY_RIGHT_CORTEX]), 2),
            "pancreas": round(float(table.mean[Tissue.PANCREAS]), 2),
            "inferior_vena_cava": round(float(table.mean[Tissue.INFERIOR_VENA_CAVA]), 2),
            "vertebra_marrow": round(float(table.mean[Tissue.VERTEBRA_MARROW]), 2),
        },
        "organ_volumes_ml": {name: organ["volume_ml"] for name, organ in organs.items()},
        "coverage": {
            name: {key: organ[key] for key in ("coverage", "truncated_sides")}
            for name, organ in organs.items()
        },
        "range_mm": [round(value, 3) for value in range_mm],
        "affine": None if scan is None else scan.affine.tolist(),
        "parameters": anatomy.parameters,
        "series": series,
    }


def save_masks(path: Path, lesions: Sequence[Lesion]) -> None:
    """Write the masks of lesions, each on its own grid.

    Parameters
    ----------
    path : Path
        Takes ``mask_ID`` (S, R, C) bool and ``affine_ID`` (4, 4), (slice, row, column, 1) → LPS mm,
        for each ``id`` in truth.json.
    """
    arrays: dict[str, Any] = {}
    for n, lesion in enumerate(lesions, 1):
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = lesion.grid.spacing_mm
        affine[:3, 3] = lesion.grid.origin_mm[::-1]
        affine[3, 3] = 1.0
        arrays |= {f"mask_{n}": lesion.mask, f"affine_{n}": affine}
    np.savez_compressed(path, **arrays)
