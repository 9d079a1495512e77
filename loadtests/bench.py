"""Ratios against named peers: ``python -m loadtests.bench NAME --json``.

Both sides run on one machine in one run, interleaved; medians; warm page cache; start-up excluded.
The definitions are in ``loadtests/README.md``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def _transport() -> list[dict[str, Any]]:
    from loadtests.bench_transport import run

    return [run()]


def _decode() -> list[dict[str, Any]]:
    from loadtests.bench_decode import run_decode

    return [run_decode()]


def _j2k() -> list[dict[str, Any]]:
    from loadtests.bench_decode import run_j2k

    return [run_j2k()]


def _study() -> list[dict[str, Any]]:
    from loadtests.bench_study import run

    return [run()]


def _ingest() -> list[dict[str, Any]]:
    from loadtests.bench_ingest import run

    return run()


def _ingest_memory() -> list[dict[str, Any]]:
    from loadtests.bench_ingest import run_memory

    return [run_memory()]


def _dimse() -> list[dict[str, Any]]:
    from loadtests.bench_dimse import run

    return [run()]


def _results() -> list[dict[str, Any]]:
    from loadtests.bench_results import run

    return run()


def _qido(frames: int) -> list[dict[str, Any]]:
    from loadtests.bench_qido import run

    return [run(frames)]


BENCHES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "transport": _transport,
    "decode": _decode,
    "j2k": _j2k,
    "study": _study,
    "ingest": _ingest,
    "ingest-memory": _ingest_memory,
    "dimse": _dimse,
    "results": _results,
}


def machine() -> str:
    """Name the processor and its cores, so that a figure has a place."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":", 1)[1].strip() for x in lines if "model name" in x), model)
        count = sum(line.startswith("processor") for line in lines)
        amx = "with AMX" if any("amx_bf16" in x for x in lines) else "without AMX"
        return f"{model}, {count} cores, {amx}"
    return model


def commit() -> str:
    """Give the commit that is measured, marked when the tree differs from it."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main(argv: list[str] | None = None) -> int:
    """Run the named benchmarks; exit with 1 when a ratio misses its goal."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "qido", "all"])
    parser.add_argument("--json", action="store_true", help="print one JSON object a benchmark")
    parser.add_argument(
        "--frames",
        type=int,
        default=20_000_000,
        help="of the index that qido fills (3.2 kB of disk each); qido is not part of all",
    )
    args = parser.parse_args(argv)
    names = list(BENCHES) if args.name == "all" else [args.name]
    missed = False
    results = []
    for name in names:
        for result in _qido(args.frames) if name == "qido" else BENCHES[name]():
            full = {
                **result,
                "machine": machine(),
                "commit": commit(),
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            }
            results.append(full)
            missed |= not full.get("met", full["ratio"] >= full["goal"])
            if not args.json:
                print(
                    f"{full['name']:<12} {full['ratio']:8.1f}x (goal {full['goal']}x)  "
                    f"ours {full['ours']:.4g} {full['unit']}, "
                    f"peer {full['peer']:.4g} {full['unit']}",
                    flush=True,
                )
    if args.json:
        print(json.dumps(results[0] if len(results) == 1 else results, indent=2))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
