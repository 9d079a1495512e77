"""Calls of Triton are counted by how they end, since Triton's own failure metrics mislead."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.exceptions import ModelUnavailableError
from gateway.metrics import REGISTRY
from gateway.triton.client import OUTCOMES, TritonClient


def counted(model: str) -> dict[str, float | None]:
    return {
        outcome: REGISTRY.get_sample_value(
            "onescan_inferences_total", {"model": model, "outcome": outcome}
        )
        for outcome in OUTCOMES
    }


async def test_a_call_is_counted_by_how_it_ended(tmp_path: Path) -> None:
    """From zero, for each model that is known to exist."""
    async with TritonClient(f"unix:{tmp_path}/nobody", models=["silent"]) as client:
        assert set(counted("silent").values()) == {0.0}
        arrays = {"X": np.zeros(1, np.float32)}
        with pytest.raises(ModelUnavailableError):
            await client.call("silent", arrays, outputs=["Y"], timeout_seconds=0.2)
        assert counted("silent")["unavailable"] == 1
        calling = asyncio.create_task(
            client.call("silent", arrays, outputs=["Y"], timeout_seconds=20)
        )
        await asyncio.sleep(0.1)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    told = counted("silent")
    assert (told["unavailable"], told["cancelled"], told["answered"]) == (1, 1, 0)
