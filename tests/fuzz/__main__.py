"""Fuzz intake and decoding: ``python -m tests.fuzz [--inputs 50000] [--minutes M]``.

Goes on where it was interrupted: each block of inputs is a line of the ledger. The exit code is 1
when an input has shown something; it is kept beside the ledger.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests.bench import commit
from tests.fuzz.block import BLOCK, run_block
from tests.fuzz.targets import TARGETS

FOLDER = Path("build/fuzz")

BLOCK_SECONDS = 600
"""A block that takes longer hangs."""


def main() -> int:
    """Run the blocks that are not in the ledger."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then stop")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--report", action="store_true", help="count what there is")
    parser.add_argument("--repeat", type=Path, help="feed one kept input again")
    parser.add_argument("--block", nargs=2, metavar=("TARGET", "NUMBER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.block:
        return _one(args.block[0], int(args.block[1]), args.folder)
    if args.repeat:
        return _repeat(args.repeat)
    if not args.report:
        _run(args.inputs, args.minutes, args.folder)
    return _report(args.folder)


def _run(inputs: int, minutes: float, folder: Path) -> None:
    deadline = time.monotonic() + 60 * minutes
    done = {(row["target"], row["block"]) for row in _ledger(folder)}
    names = list(TARGETS)
    for index in range(-(-inputs // BLOCK)):
        name, number = names[index % len(names)], index // len(names)
        if (name, number) in done:
            continue
        if time.monotonic() > deadline:
            return
        row = _in_child(name, number, folder)
        with (folder / "ledger.jsonl").open("a") as ledger:
            ledger.write(json.dumps(row) + "\n")
        print(f"{name} {number}: {row['found'] or 'nothing'} in {row['seconds']} s", flush=True)


def _in_child(name: str, number: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fuzz", "--folder", str(folder)]
    start = time.monotonic()
    found, told = "", {}
    try:
        done = subprocess.run(
            [*command, "--block", name, str(number)],
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        if done.returncode:
            found = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            found = f"[{done.returncode}] {found}"
            (folder / f"{name}-{number}.txt").write_text(done.stderr)
        else:
            told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        found = "hangs"
    last = folder / f"{name}-{number}.last"
    if found and last.exists():
        last.rename(folder / f"{name}-{number}.input")
    last.unlink(missing_ok=True)
    return {
        "target": name,
        "block": number,
        "inputs": sum(told.values()),
        "told": told,
        "found": found,
        "seconds": round(time.monotonic() - start, 1),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _one(name: str, number: int, folder: Path) -> int:
    target = TARGETS[name]()
    target.open()
    try:
        told = run_block(target, number, BLOCK, folder / f"{name}-{number}.last")
    finally:
        target.close()
    print(json.dumps(told))
    return 0


def _repeat(kept: Path) -> int:
    target = TARGETS[kept.stem.partition("-")[0]]()
    target.open()
    try:
        print(target.feed(pickle.loads(kept.read_bytes())))
    finally:
        target.close()
    return 0


def _ledger(folder: Path) -> list[dict[str, Any]]:
    path = folder / "ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _report(folder: Path) -> int:
    rows = _ledger(folder)
    for name in TARGETS:
        own = [row for row in rows if row["target"] == name]
        told: Counter[str] = Counter()
        for row in own:
            told.update(row["told"])
        print(f"{name}: {sum(told.values())} inputs, {dict(told.most_common())}")
    findings = [row for row in rows if row["found"]]
    for row in findings:
        print(f"{row['target']} {row['block']}: {row['found']}")
    return int(bool(findings))


if __name__ == "__main__":
    sys.exit(main())
