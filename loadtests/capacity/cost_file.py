"""Cost files from what ``loadtests.bench`` measured: ``study`` of a CPU pod, ``gpu`` of a GPU.

Of ``study`` it takes the row ``nothing-runs``, which has the whole study with all checks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.exceptions import CapacityFileError

WORDS = """\
title = {title}
source = {source}
measured = true
gpu_type = {gpu_type}
estimate_gpu_seconds = {estimate:g}

[stages]
host_core_seconds = {host:.3f}
device_seconds = {device:.3f}
other_seconds = {other:.3f}
intake_core_seconds = {intake:g}

[pod]
cores = {cores}
concurrency = {concurrency}
stat_first = {stat_first}
"""

WHOLE = "nothing-runs"

HOST_SECONDS = {"host": 0.19, "other": 0.13}
"""Beside a GPU, as in costs/h200.toml: measured on a CPU, docs/benchmarks.md."""


def from_bench(path: Path, *, estimate_gpu_seconds: float, intake_core_seconds: float) -> str:
    """Write the text of a cost file from what ``loadtests.bench`` printed or kept (.jsonl).

    On a CPU pod worker and Triton share the cores, so all of the worker's wall time is the device.
    A GPU's stream gives the device's seconds alone; those of the host are costs/h200.toml's.

    Raises
    ------
    CapacityFileError
        When it is nothing of ``study`` or ``gpu``.
    """
    try:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        printed = [json.loads(line) for line in lines if line.strip()]
        told = [one for some in printed for one in (some if isinstance(some, list) else [some])]
        made = [_written(one) for one in told if one.get("name") == WHOLE or one.get("stream")]
        found = made[-1]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CapacityFileError(
            f"{path.name} is not what loadtests.bench study or gpu --json prints: {error}."
        ) from None
    return WORDS.format(**found, estimate=estimate_gpu_seconds, intake=intake_core_seconds)


def _written(bench: Mapping[str, Any]) -> dict[str, Any]:
    where = ", ".join(str(bench[key]) for key in ("machine", "commit", "date") if key in bench)
    if bench.get("name") == WHOLE:
        worker = float(bench["stages"]["total"]["wall_seconds"])
        return {
            "title": _quoted(f"CPU pod: all installed checks, a study of {bench['slices']} slices"),
            "source": _quoted(f"Measured: loadtests.bench study, {where}"),
            "gpu_type": _quoted("cpu"),
            "host": 0.0,
            "device": worker,
            "other": max(float(bench["whole"]) - worker, 0.0),
            "cores": 2,
            "concurrency": 2,
            "stat_first": "false",
        }
    stream, gpu = bench["stream"], str(bench["gpu"])
    told = (
        f"Measured: loadtests.bench gpu, {gpu}, {where}, a stream without Triton; host seconds"
        " as in costs/h200.toml."
    )
    return {
        "title": _quoted(f"Pod of one {gpu}: {stream['runtime']}, {stream['precision']}"),
        "source": _quoted(told),
        "gpu_type": _quoted("h200" if "H200" in gpu else gpu.lower()),
        **HOST_SECONDS,
        "device": float(stream["gpu_seconds_a_study"]),
        "cores": 4,
        "concurrency": 3,
        "stat_first": "true",
    }


def _quoted(text: str) -> str:
    """Write a TOML string; JSON's form is one."""
    return json.dumps(text, ensure_ascii=False)
