"""A patient of a few centimetres, so that boxes are tested without drawing anybody."""

from __future__ import annotations

import numpy as np

from networks.phantoms.hu import TissueHu
from networks.phantoms.lesion import FineGrid, Lesion
from networks.phantoms.tissue import TISSUE_COUNT, Tissue
from networks.scene_file import Case, Variant
from networks.scenes import Box

ORGAN_MM = np.array([[-20.0, -12.0, -18.0], [20.0, 12.0, 18.0]])

BALL_BOX = Box("pancreas", ("pancreas",), (6.0, 6.0, 6.0))

LESION_MM = (8.0, -2.0, 6.0)


def ball(kind: str = "pdac", *, centre: tuple[float, float, float] = LESION_MM) -> Lesion:
    """Return a ball of 10 mm that is 60 HU brighter than the organ."""
    grid = FineGrid.around(centre, 7.0, 1.0)
    z, y, x = grid.offsets(centre)
    mask = z**2 + y**2 + x**2 <= 25
    return Lesion(
        check="pancreas",
        kind=kind,
        is_finding=kind == "pdac",
        difficulty="easy" if kind == "pdac" else None,
        centre_mm=centre,
        diameter_mm=10.0,
        contrast_hu=60.0,
        site="body",
        grid=grid,
        delta_hu=mask.astype(np.float32) * 60,
        mask=mask,
        dprime=20.0,
        extra={"course": [[1.0, 2.0]]},
    )


def ball_case(seed: int = 1, *, spacing_mm: float = 3.0) -> Case:
    """Return an organ in fat, with one planted and one healthy variant.

    Behind the organ lies bone, to its right air: it is plain which way it is turned.
    """
    reach = np.array([51.0, 42.0, 48.0])
    shape = tuple(int(n) for n in 2 * reach / spacing_mm + 1)
    z, y, x = np.meshgrid(*(np.arange(n) * spacing_mm - r for n, r in zip(shape, reach)),
                          indexing="ij")  # fmt: skip
    organ = np.abs(np.stack([z, y, x]) / ORGAN_MM[1][:, None, None, None]).max(axis=0) <= 1
    tissues = np.where(organ, Tissue.PANCREAS, Tissue.VISCERAL_FAT).astype(np.uint8)
    tissues[:, y[0, :, 0] > 30] = Tissue.VERTEBRA_CORTEX
    tissues[:, :, x[0, 0] < -30] = Tissue.AIR
    mean = np.zeros(TISSUE_COUNT, np.float32)
    mean[[Tissue.PANCREAS, Tissue.VISCERAL_FAT, Tissue.VERTEBRA_CORTEX]] = (40, -100, 400)
    mean[Tissue.AIR] = -1000
    return Case(
        seed=seed,
        hu=mean[tissues],
        tissues=tissues,
        origin_mm=-reach,
        spacing_mm=spacing_mm,
        organ_mm=ORGAN_MM,
        extent_mm=np.stack([-reach - spacing_mm / 2, reach + spacing_mm / 2]),
        size=0.6,
        table=TissueHu(mean, np.zeros(TISSUE_COUNT, np.float32)),
        variants=(Variant(True, (ball(),)), Variant(False, (ball("focal_fat"),))),
    )


class BallPool:
    """A pool of such patients, one a seed; stands for a `networks.scenes.ScenePool`."""

    def get(self, seed: int) -> Case:
        """Return the patient of a seed."""
        return ball_case(seed, spacing_mm=(3.0, 2.5, 2.0)[seed % 3])
