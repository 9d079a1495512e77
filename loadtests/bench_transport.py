"""Fan-out of one volume to several checks: by reference against a gRPC tensor a check.

Both ways go through the same embedded Triton, the same client and the same model, which looks at
the slab and gives back a strided sum; the volume lies decoded in memory on both sides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from gateway.runtime.home import Home, discard
from gateway.runtime.triton import EmbeddedTriton
from gateway.settings import TritonSettings
from gateway.triton.client import TritonClient
from gateway.triton.shared_memory import SharedVolume

GOAL = 50.0
"""design.md, "How fast it must be": at least 50× less time."""

CALL_SECONDS = 120.0
"""Client deadline; eight gRPC tensors of 157 MB take seconds."""

CONFIG = """
name: "touch"
backend: "python"
max_batch_size: 0
input [
  { name: "SOURCE"  data_type: TYPE_STRING  dims: [ 1 ]           optional: true },
  { name: "VOLUME"  data_type: TYPE_INT16   dims: [ -1, -1, -1 ]  optional: true }
]
output [ { name: "SUM"  data_type: TYPE_INT64  dims: [ 1 ] } ]
instance_group [ { count: 2  kind: KIND_CPU } ]  # as ct_preprocess
"""

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

from preprocess.region import open_slab


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    volume = pb_utils.get_input_tensor_by_name(request, "VOLUME")
    if volume is None:
        slab = open_slab(pb_utils.get_input_tensor_by_name(request, "SOURCE").as_numpy()[0])
    else:
        slab = volume.as_numpy()
    total = slab[::10, ::64, ::64].sum(dtype=np.int64)
    return pb_utils.InferenceResponse([pb_utils.Tensor("SUM", np.array([total]))])
"""


def run(
    *,
    slices: int = 300,
    size: int = 512,
    in_flight: int = 8,
    checks: int = 8,
    repeats: int = 3,
) -> dict[str, Any]:
    """Measure both ways, interleaved, after a warm-up of each.

    Parameters
    ----------
    slices, size : int
        The volume is (slices, size, size) int16.
    in_flight : int
        Requests at once.
    checks : int
        Requests a fan-out.
    repeats : int
        Fan-outs each way; the median counts.

    Returns
    -------
    dict
        ``name, ratio, goal, ours, peer, unit`` and how it was measured; seconds a fan-out.
    """
    folder = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    home = Home(folder / "home")
    try:
        with home.lock():
            ours, peer = asyncio.run(
                _measure(home, folder, (slices, size, size), in_flight, checks, repeats)
            )
    finally:
        discard(home.path)
        discard(folder)
    return {
        "name": "transport",
        "ratio": round(peer / ours, 1),
        "goal": GOAL,
        "ours": round(ours, 5),
        "peer": round(peer, 3),
        "unit": "s",
        "volume_mb": round(2 * slices * size * size / 1e6, 1),
        "checks": checks,
        "in_flight": in_flight,
        "repeats": repeats,
    }


async def _measure(
    home: Home,
    folder: Path,
    shape: tuple[int, int, int],
    in_flight: int,
    checks: int,
    repeats: int,
) -> tuple[float, float]:
    repository = folder / "models"
    (repository / "touch" / "1").mkdir(parents=True)
    (repository / "touch" / "config.pbtxt").write_text(CONFIG)
    (repository / "touch" / "1" / "model.py").write_text(MODEL)
    settings = dataclasses.replace(TritonSettings(), exit_timeout_seconds=3)
    triton = EmbeddedTriton(home, settings, repository)
    try:
        url = await triton.start()
        with SharedVolume.create(shape, home=home.path) as volume:
            noise = np.random.default_rng(0).integers(-1024, 3071, shape[1:], np.int16)
            volume.array[:] = noise
            expected = int(volume.array[::10, ::64, ::64].sum(dtype=np.int64))
            async with TritonClient(url) as client:
                slots = asyncio.Semaphore(in_flight)

                async def check(tensors: Callable[[], dict[str, Any]]) -> None:
                    async with slots:
                        answer = await client.call(
                            "touch", tensors(), outputs=["SUM"], timeout_seconds=CALL_SECONDS
                        )
                    if int(answer["SUM"][0]) != expected:
                        raise AssertionError("other bytes arrived than were sent")

                def by_reference() -> dict[str, Any]:
                    text = volume.source().to_json().encode()
                    return {"SOURCE": np.array([text], np.object_)}

                def by_value() -> dict[str, Any]:
                    return {"VOLUME": volume.array}

                async def fan_out(tensors: Callable[[], dict[str, Any]]) -> None:
                    await asyncio.gather(*(check(tensors) for _ in range(checks)))

                for tensors in (by_reference, by_value):
                    await fan_out(tensors)
                ours, peer = [], []
                for _ in range(repeats):
                    ours.append(await _seconds(lambda: fan_out(by_reference)))
                    peer.append(await _seconds(lambda: fan_out(by_value)))
    finally:
        await triton.stop()
    return statistics.median(ours), statistics.median(peer)


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started
