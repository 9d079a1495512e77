"""A tiny pool of label maps, so that training is tested without drawing patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from networks.phantoms.tissue import Tissue
from networks.pool import AnatomyPool, keep, with_picks

SHAPE = (48, 64, 72)

ORGANS = (Tissue.LIVER, Tissue.SPLEEN, Tissue.AORTA, Tissue.LUNG_LEFT, Tissue.VERTEBRA_MARROW)


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
