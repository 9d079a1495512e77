"""Ratios against named peers: ``python -m loadtests.bench NAME --json``.

Both sides run on one machine in one run, interleaved; medians; warm page cache; start-up excluded.
The definitions are in ``loadtests/README.md``. Every result is kept as a JSON line under
``build/bench``; ``--report`` writes the tables of ``docs/benchmarks.md`` from those lines.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from loadtests import bench_report, kept
from loadtests.kept import commit, machine

__all__ = ["commit", "machine", "main"]

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"

Results = list[dict[str, Any]]


def _bench(module: str, function: str = "run") -> Callable[[], Results]:
    """Give a benchmark whose module, and what that needs, is imported when it runs."""

    def run() -> Results:
        results = getattr(import_module(f"loadtests.{module}"), function)()
        return results if isinstance(results, list) else [results]

    return run


BENCHES: dict[str, Callable[[], Results]] = {
    "transport": _bench("bench_transport"),
    "decode": _bench("bench_decode", "run_decode"),
    "j2k": _bench("bench_decode", "run_j2k"),
    "tensors": _bench("bench_tensors"),
    "inference": _bench("bench_inference"),
    "study": _bench("bench_study"),
    "nothing-runs": _bench("bench_study", "run_nothing_runs"),
    "ingest": _bench("bench_ingest"),
    "ingest-memory": _bench("bench_ingest", "run_memory"),
    "dimse": _bench("bench_dimse"),
    "results": _bench("bench_results"),
    "growth": _bench("bench_growth"),
}
"""What `all` runs, in this order."""


def _qido(frames: int) -> Results:
    from loadtests.bench_qido import run

    return [run(frames)]


def _profile() -> Results:
    from loadtests.bench_profile import run

    return run()


def main(argv: list[str] | None = None) -> int:
    """Run the named benchmarks; exit with 1 when a goal is missed or one could not be run."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "qido", "gpu", "all"], nargs="?")
    parser.add_argument("--json", action="store_true", help="print one JSON object a benchmark")
    parser.add_argument(
        "--report", action="store_true", help="then write the tables of docs/benchmarks.md"
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="with study: flame graphs of worker and Triton's stubs under build/bench instead",
    )
    parser.add_argument(
        "--frames",
        type=int,
        default=20_000_000,
        help="of the index that qido fills (3.2 kB of disk each); qido is not part of all",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=300.0,
        help="of the stream of gpu; less says nothing of a day; gpu is not part of all",
    )
    args = parser.parse_args(argv)
    if args.name == "gpu":
        from loadtests import bench_gpu

        return bench_gpu.main(as_json=args.json, seconds=args.seconds)
    if args.profile and args.name != "study":
        parser.error("--profile goes with study")
    if args.name is None and not args.report:
        parser.error("name a benchmark, or give --report")
    names = [] if args.name is None else list(BENCHES) if args.name == "all" else [args.name]
    command = " ".join(["python -m loadtests.bench", *(argv if argv is not None else sys.argv[1:])])
    results: Results = []
    bad = False
    for name in names:
        run = BENCHES.get(name) or (lambda: _qido(args.frames))
        try:
            made = _profile() if args.profile else run()
        except Exception:  # the others are worth having
            print(f"{name} could not be run:", file=sys.stderr)
            traceback.print_exc()
            bad = True
            continue
        for result in made:
            full = result if args.profile else kept.keep(result, command)
            results.append(full)
            bad |= not is_met(full)
            if not args.json:
                print(_told(full), flush=True)
    if args.json and results:
        print(json.dumps(results[0] if len(results) == 1 else results, indent=2))
    if args.report:
        bench_report.write(DOCUMENT, kept.read())
    return int(bad)


def is_met(result: Mapping[str, Any]) -> bool:
    """Tell whether a result reaches its goal; one without a goal does."""
    if "met" in result:
        return bool(result["met"])
    return result.get("goal") is None or result["ratio"] >= result["goal"]


def _told(result: Mapping[str, Any]) -> str:
    if "ratio" not in result:
        return json.dumps(result)
    goal = "no goal" if result.get("goal") is None else f"goal {result['goal']:.3g}x"
    unit = result["unit"]
    peer = "" if result.get("peer") is None else f", peer {result['peer']:.4g} {unit}"
    return (
        f"{result['name']:<16} {result['ratio']:8.1f}x ({goal})  "
        f"ours {result['ours']:.4g} {unit}{peer}"
    )


if __name__ == "__main__":
    sys.exit(main())
