"""Readiness by doing: a small volume through shared memory and every step of an ensemble.

Triton's own word is worth nothing here: with a dead Python stub it stays "ready" for ever, and
with NumPy 2 in the stub inputs read as zeros without an error.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gateway.exceptions import ModelError, ModelOutputError, StorageFullError
from gateway.triton.client import PRIORITY_STAT, TritonClient
from gateway.triton.shared_memory import SharedVolume

log = logging.getLogger("onescan.triton")

MODEL = "anatomy"
"""Every study goes through it, so what keeps it from answering keeps everything."""

SHAPE = (32, 32, 32)
"""(S, R, C) of the synthetic volume; one tile of the smallest size on a 3 mm grid."""

CACHE_SECONDS = 1.0
"""Probes come from several sides; Triton is asked once a second."""


class Readiness:
    """Whether one Triton answers rightly.

    Parameters
    ----------
    client : TritonClient
        Where to ask.
    home : Path
        ``ONESCAN_HOME``, for the name of the region.
    recipe : str
        JSON of the anatomy manifest's recipe.
    """

    def __init__(self, client: TritonClient, *, home: Path, recipe: str) -> None:
        self._client = client
        self._home = home
        self._recipe = recipe
        self._checked = -CACHE_SECONDS
        self._failure: ModelError | StorageFullError | None = None
        self._lock = asyncio.Lock()

    async def check(self, *, timeout_seconds: float = 10.0) -> None:
        """Screen the synthetic volume, unless that was done within the last second.

        Raises
        ------
        StubDiedError
            When this Triton must be restarted.
        ModelError
            When Triton does not answer, or not what it should.
        StorageFullError
            When /dev/shm has no room for 64 kB.
        """
        async with self._lock:
            if time.monotonic() - self._checked >= CACHE_SECONDS:
                try:
                    await self._infer(timeout_seconds)
                    self._failure = None
                except (ModelError, StorageFullError) as failure:
                    log.warning("onescan.triton.not_ready code=%s", failure.code)
                    self._failure = failure
                self._checked = time.monotonic()
        if self._failure is not None:
            raise self._failure

    async def _infer(self, timeout_seconds: float) -> None:
        geometry = known_geometry()
        with SharedVolume.create(SHAPE, home=self._home) as volume:
            volume.array[:] = known_volume()
            answer = await self._client.infer(
                MODEL,
                source=volume.source(),
                geometry=geometry,
                roi=np.array([0, SHAPE[0], 0, SHAPE[1], 0, SHAPE[2]], np.int32),
                recipe=self._recipe,
                timeout_seconds=timeout_seconds,
                priority=PRIORITY_STAT,
            )
        # At the recipe's own spacing the grid is the slab: its shape and its matrix come back.
        same_grid = np.allclose(answer.mask_geometry, geometry, atol=1e-6)
        if answer.mask.shape != SHAPE or not same_grid or "measures" not in answer.lesions:
            raise ModelOutputError(f"{MODEL} does not give back the grid of a known volume.")


def known_volume() -> NDArray[np.int16]:
    """Make a soft cylinder in air.

    Returns
    -------
    (32, 32, 32) ndarray of int16
        HU: 40 inside a radius of 12 voxels around the slice axis, −1000 outside.
    """
    row, column = np.mgrid[: SHAPE[1], : SHAPE[2]] - 15.5
    plane = np.where(row**2 + column**2 < 12.0**2, 40, -1000).astype(np.int16)
    return np.ascontiguousarray(np.broadcast_to(plane, SHAPE))


def known_geometry() -> NDArray[np.float64]:
    """Give the (4, 4) matrix of the known volume: 3 mm voxels, an origin that is nowhere zero."""
    matrix = np.zeros((4, 4))
    matrix[2, 0] = matrix[1, 1] = matrix[0, 2] = 3.0  # slice → z, row → y, column → x
    matrix[:, 3] = -46.5, -47.5, -48.5, 1.0
    return matrix
