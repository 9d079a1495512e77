"""``make chaos``: faults on a server under load, and whether anything was lost or made up.

The faults and all that is random in them come from the seed. Each outcome is a line of
``build/chaos/ledger.jsonl``; a run with the same seed and number goes on where it was
interrupted, and ``--report`` prints what there is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.chaos.faults import FAULTS
from loadtests.chaos.plan import FOLDER, S3, plan
from loadtests.chaos.report import lines, passed
from loadtests.chaos.run import Outcome, left, run

ROOT = Path(__file__).resolve().parents[2]

BUILD = ROOT / "build" / "chaos"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=50, help="how many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", choices=sorted(FAULTS), help="of these"
    )
    parser.add_argument("--store", choices=(FOLDER, S3), help="one object store instead of both")
    parser.add_argument("--report", action="store_true", help="print what there is and exit")
    parser.add_argument("--anew", action="store_true", help="forget what there is")
    args = parser.parse_args(argv)
    BUILD.mkdir(parents=True, exist_ok=True)
    only = "-".join(args.only)
    named = f"{args.seed}-{args.faults}" + (f"-{only}" if only else "") + (args.store or "")
    ledger = BUILD / f"ledger-{named}.jsonl"
    if args.anew:
        ledger.unlink(missing_ok=True)
    faults = {name: fault for name, fault in FAULTS.items() if name in args.only or not args.only}
    stores = (args.store,) if args.store else (FOLDER, S3)
    steps = plan(faults, args.faults, args.seed, stores=stores)
    done = read(ledger)
    if not args.report:
        with ledger.open("a", encoding="utf-8") as file:

            def told(outcome: Outcome) -> None:
                file.write(json.dumps(outcome.to_json()) + "\n")
                file.flush()
                print("\n".join(lines([outcome])), flush=True)

            signal.signal(signal.SIGTERM, signal.default_int_handler)  # tidies up as Ctrl-C does
            asyncio.run(run(left(steps, done), seed=args.seed, folder=BUILD, told=told))
        done = read(ledger)
    print("\n".join(["", *lines(done, summed=True)]))
    return 0 if passed(done, len(steps)) else 1


def read(ledger: Path) -> list[Outcome]:
    """Read the outcomes of a run; a line that was being written when it was killed is dropped."""
    found = []
    text = ledger.read_text(encoding="utf-8") if ledger.exists() else ""
    for line in text.splitlines():
        try:
            found.append(Outcome.of(json.loads(line)))
        except ValueError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
