"""Who runs ensembles, as screening sees him: Triton, or a script in tests."""

from __future__ import annotations

import asyncio
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.triton.client import PRIORITY_ROUTINE
from gateway.triton.shared_memory import Organs, Source
from gateway.triton.tensors import Inference


class Infers(Protocol):
    """The part of `gateway.triton.client.TritonClient` that screening uses."""

    async def infer(
        self,
        model: str,
        *,
        geometry: npt.NDArray[np.float64],
        roi: npt.NDArray[np.int32],
        recipe: str,
        timeout_seconds: float,
        source: Source | None = None,
        organs: Organs | None = None,
        clinical: npt.NDArray[np.float32] | None = None,
        report: str | None = None,
        priority: int = PRIORITY_ROUTINE,
        queued: asyncio.Event | None = None,
    ) -> Inference:
        """Run a CT ensemble on a slab; set `queued` once Triton has the request."""
        ...
