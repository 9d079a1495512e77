"""A tiny pool of label maps, and one painted patient whom the tests of planters share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions import Judged
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from networks.pool import AnatomyPool, keep, with_picks

SHAPE = (48, 64, 72)

ORGANS = (Tissue.LIVER, Tissue.SPLEEN, Tissue.AORTA, Tissue.LUNG_LEFT, Tissue.VERTEBRA_MARROW)

ABDOMEN_SEED = 6
"""Patient with a lean pancreas (9 % fat) and 150 ml of stomach with gas and fluid in it."""

NOISE_HU2_MM3 = 4500.0
"""Noise power of the stand-in observer: that of texture of 7 HU correlated over 3 mm."""


@pytest.fixture(scope="session")
def abdomen() -> Scene:
    """Return a painted patient; nobody may change it."""
    rng = np.random.default_rng(ABDOMEN_SEED)
    scene = Scene.painted(sample_anatomy(ABDOMEN_SEED, spacing_mm=3.0), rng)
    scene.hu.flags.writeable = scene.anatomy.labels.flags.writeable = False
    return scene


def white_judge(grid: FineGrid, delta_hu: FloatArray) -> float:
    """Return d′ in white noise."""
    energy = float((delta_hu.astype(np.float64) ** 2).sum()) * grid.spacing_mm**3
    return float(np.sqrt(energy / NOISE_HU2_MM3))


@pytest.fixture(scope="session")
def judge() -> Judged:
    """Return a quick observer, so that a planter is tested without a scanner."""
    return white_judge


@pytest.fixture(scope="session")
def box_pool(tmp_path_factory: pytest.TempPathFactory) -> AnatomyPool:
    """Two bodies of fat with five boxes for organs."""
    folder: Path = tmp_path_factory.mktemp("pool")
    pool = AnatomyPool(folder)
    for index in range(2):
        rng = np.random.default_rng(index)
        tissues = np.zeros(SHAPE, np.uint8)
        tissues[:, 8:56, 8:64] = Tissue.VISCERAL_FAT
        for organ in ORGANS:
            s, r, c = (int(rng.integers(10, size - 26)) for size in SHAPE)
            tissues[s : s + 14, r : r + 14, c : c + 14] = organ
        keep(with_picks(tissues, seed=index), pool.path(index))
    return pool
