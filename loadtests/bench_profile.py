"""Where a study's time goes: flame graphs of worker and stubs, and Triton's own statistics.

``python -m loadtests.bench study --profile`` screens a study with all checks a few times while
py-spy looks at the worker and at each of Triton's Python stubs; what they do in C++ (OpenVINO,
NumPy) shows as the Python line that called it. What waits is left out.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import tritonclient.grpc.aio as triton

from gateway.client import GatewayClient
from gateway.intake.folders import collect
from loadtests.bench_studies import KEPT, SLICES, phantom
from loadtests.own_server import own_server
from loadtests.server_costs import part_pids

STUDIES = 5
"""Screened while py-spy looks on."""

RATE_HZ = 50
"""Looks a second at each process; there are a dozen."""

ATTACH_SECONDS = 3.0
"""Until every py-spy looks on."""

FIELDS = ("queue", "compute_input", "compute_infer", "compute_output")


def run(*, studies: int = STUDIES, slices: int = SLICES, out: Path = KEPT) -> list[dict[str, Any]]:
    """Profile, and give the files written and Triton's seconds by model."""
    return [asyncio.run(_profile(studies, phantom(slices), out))]


async def _profile(studies: int, folder: Path, out: Path) -> dict[str, Any]:
    async with own_server() as server, GatewayClient(server.url, server.key) as client:
        with collect([folder], settings=server.settings.intake) as found:
            await client.store(found.instances)
            asked = {"study_instance_uid": found.instances[0].study_instance_uid}

        async def screen() -> float:
            begun = time.perf_counter()
            created = await client.create_screening(asked)
            await client.wait(created["screening_id"])
            return time.perf_counter() - begun

        await screen()  # warms up
        async with triton.InferenceServerClient(server.settings.triton.url) as asked_triton:
            before = await asked_triton.get_inference_statistics(as_json=True)
            plain = [await screen() for _ in range(studies)]
            after = await asked_triton.get_inference_statistics(as_json=True)
        with flame_graphs(processes(server.settings.home), out) as files:
            await asyncio.sleep(ATTACH_SECONDS)
            profiled = [await screen() for _ in range(studies)]
    return {
        "name": "profile",
        "studies": studies,
        "seconds": [round(one, 3) for one in plain],
        "seconds_profiled": [round(one, 3) for one in profiled],
        "triton": spent(before, after, studies),
        "files": [str(file) for file in files if file.is_file()],
    }


def processes(home: Path) -> dict[str, int]:
    """Find the worker and Triton's stubs, each stub by its model's name."""
    pids = part_pids(home)
    found = {"worker": pids["worker"]}
    for process in psutil.Process(pids["triton"]).children(recursive=True):
        model = stub_model(process.cmdline())
        if model:
            name, number = model, 2
            while name in found:
                name, number = f"{model}-{number}", number + 1
            found[name] = process.pid
    return found


def stub_model(command: Sequence[str]) -> str:
    """Tell whose stub a command line is; empty where it is none."""
    if len(command) < 2 or not command[0].endswith("triton_python_backend_stub"):
        return ""
    return Path(command[1]).parts[-3]  # …/MODEL/VERSION/model.py or model.onnx


@contextmanager
def flame_graphs(pids: Mapping[str, int], out: Path) -> Iterator[list[Path]]:
    """Let py-spy look at processes during a block; the files are there when it ends."""
    out.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("py-spy")
    files = [out / f"profile-{name}.svg" for name in pids]
    lookers = [
        subprocess.Popen(
            [str(program), "record", "--pid", str(pid), "--rate", str(RATE_HZ),
             "--nonblocking", "--threads", "--duration", "unlimited", "--output", str(file)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for file, pid in zip(files, pids.values())
    ]  # fmt: skip
    try:
        yield files
    finally:
        for looker in lookers:
            looker.send_signal(signal.SIGINT)
        for looker in lookers:
            looker.wait()


def spent(
    before: Mapping[str, Any], after: Mapping[str, Any], studies: int
) -> dict[str, dict[str, float]]:
    """Give requests and seconds of a study by model, the longest first, from two statistics."""
    earlier = {one["name"]: one for one in before["model_stats"]}
    found = {}
    for one in after["model_stats"]:
        then = earlier.get(one["name"], {})
        told = {
            f"{field}_seconds": round(
                (_nanoseconds(one, field) - _nanoseconds(then, field)) / 1e9 / studies, 4
            )
            for field in FIELDS
        }
        count = int(one.get("inference_count", 0)) - int(then.get("inference_count", 0))
        if count:
            found[one["name"]] = {"requests": round(count / studies, 1), **told}
    return dict(sorted(found.items(), key=lambda item: -item[1]["compute_infer_seconds"]))


def _nanoseconds(one: Mapping[str, Any], field: str) -> int:
    return int(one.get("inference_stats", {}).get(field, {}).get("ns", 0))
