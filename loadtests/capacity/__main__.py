"""Capacity by simulation: ``python -m loadtests.capacity day|cost|answers|calibrate|plots``.

docs/capacity.md shows what these commands write.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.commands.pool_capacity import as_yaml
from gateway.exceptions import OneScanError
from loadtests.capacity.answer import AWAY_SECONDS, Question, answer, busiest
from loadtests.capacity.cost import read_cost
from loadtests.capacity.cost_file import from_bench
from loadtests.capacity.nodes import read_ground
from loadtests.capacity.outcome import simulate
from loadtests.capacity.profile import read_profile
from loadtests.capacity.scenario import ApiPolicy, Fault, PoolPolicy, Scenario

OUT = Path("build/capacity")

STUDIES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
"""The question of docs/capacity.md."""


def main(argv: list[str] | None = None) -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.capacity", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    day = verbs.add_parser("day", help="simulate one day of a fixed policy, and time it")
    day.add_argument("--studies-per-day", type=float, default=1_000_000)
    day.add_argument("--profile", default="national")
    day.add_argument("--gpu", default="h200")
    day.add_argument("--seed", type=int, default=1)
    day.add_argument("--min", type=int, default=2)
    day.add_argument("--max", type=int, default=40)
    day.add_argument("--drain-seconds", type=float, default=120.0)
    day.add_argument("--lose-zone", action="store_true", help="in the busiest hour, for two hours")
    cost = verbs.add_parser("cost", help="make a cost file from what loadtests.bench printed")
    cost.add_argument("--from", dest="source", type=Path, required=True)
    cost.add_argument("--estimate-gpu-seconds", type=float, default=0.47)
    cost.add_argument("--intake-core-seconds", type=float, default=1.0)
    answers = verbs.add_parser("answers", help="answer for many numbers of studies a day")
    answers.add_argument("--studies", type=float, nargs="+", default=list(STUDIES))
    answers.add_argument("--profile", default="national")
    answers.add_argument("--gpu", default="h200")
    calibrate = verbs.add_parser("calibrate", help="a real server and the simulation side by side")
    calibrate.add_argument("--minutes", type=float, default=10.0, help="of arrivals (10)")
    calibrate.add_argument("--utilisation", type=float, default=0.6)
    calibrate.add_argument("--seed", type=int, default=1)
    calibrate.add_argument("--again", action="store_true", help="compare what was recorded last")
    verbs.add_parser("plots", help="draw docs/images/capacity-*.png")
    args = parser.parse_args(argv)
    try:
        return int({"day": _day, "cost": _cost, "answers": _answers, "calibrate": _calibrate,
                    "plots": _plots}[args.verb](args))  # fmt: skip
    except OneScanError as error:
        print(f"{error} [{error.code}]", file=sys.stderr)
        return 2


def _day(args: argparse.Namespace) -> int:
    profile = read_profile(args.profile)
    when = busiest(profile)
    scenario = Scenario(
        profile=profile,
        studies_per_day=args.studies_per_day,
        cost=read_cost(args.gpu),
        ground=read_ground(),
        pools=(PoolPolicy(least=args.min, most=args.max, drain_seconds=args.drain_seconds),),
        api=ApiPolicy(most=100),
        seed=args.seed,
        faults=(Fault(when, 0, when + AWAY_SECONDS),) if args.lose_zone else (),
    )
    wall, processor = time.perf_counter(), time.process_time()
    outcome = simulate(scenario).outcome
    took = {
        "wall_seconds": round(time.perf_counter() - wall, 2),
        "processor_seconds": round(time.process_time() - processor, 2),
    }
    print(json.dumps({**took, **asdict(outcome)}, indent=2))
    return 0


def _cost(args: argparse.Namespace) -> int:
    text = from_bench(
        args.source,
        estimate_gpu_seconds=args.estimate_gpu_seconds,
        intake_core_seconds=args.intake_core_seconds,
    )
    sys.stdout.write(text)
    return 0


def _answers(args: argparse.Namespace) -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    found = []
    for studies in args.studies:
        question = Question(studies_per_day=studies, profile=args.profile, gpu=args.gpu)
        found.append(answer(question).as_json())
        print(_row(found[-1]), flush=True)
    name = f"answers-{args.profile}-{args.gpu}".replace("/", "_")
    (OUT / f"{name}.json").write_text(json.dumps(found, indent=2), encoding="utf-8")
    for one in found:
        print(f"\n# {one['studies_per_day']:,.0f} studies a day")
        print("\n".join(as_yaml(one["values"])))
    return 0


def _row(one: dict[str, Any]) -> str:
    """Write a row of the table of docs/capacity.md."""
    policy = one["values"]["pools"]["main"]
    day = one["day"]
    schedule = policy["autoscaling"].get("schedules", {}).get("day")
    cells = [
        f"{one['studies_per_day']:,.0f}",
        f"{policy['replicas']['min']}–{policy['replicas']['max']}",
        f"{policy['autoscaling']['targetDrainSeconds']} s",
        "–" if schedule is None else f"{schedule['replicas']} pods",
        f"{day['pods_mean']:.1f}; {day['pods_most']}",
        f"{day['api_pods_most']}",
        f"{day['gpu_hours']:,.1f}",
        f"{day['gpu_hours_busy'] / day['gpu_hours']:.0%}",
        f"{day['eur_per_thousand']:.2f}" if day["eur_per_thousand"] is not None else "–",
    ]
    for key in ("day", "zone_lost", "twice_the_cost"):
        lanes = one[key]["lanes"].values()
        cells.append("; ".join(f"{lane['p95_seconds']:,.1f}" for lane in lanes))
    cells.append(f"{one['zone_lost']['lanes']['stat']['most_seconds']:,.0f}")
    double = one["twice_the_cost"]["eur_per_thousand"]
    cells.append("–" if double is None else f"{double:.2f}")
    return "| " + " | ".join(cells) + " |"


def _calibrate(args: argparse.Namespace) -> int:
    from loadtests.capacity.calibration import REPLAYS, compare, fit, replay
    from loadtests.capacity.real_run import recorded, run_real

    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / "calibration.json"
    if not args.again:
        run = asyncio.run(run_real(args.minutes, args.utilisation, args.seed, OUT))
        file.write_text(json.dumps({"run": run.as_json()}), encoding="utf-8")
    run = recorded(json.loads(file.read_text(encoding="utf-8"))["run"])
    service = fit(run)
    simulated = [replay(run, service, seed=args.seed + turn) for turn in range(REPLAYS)]
    rows = compare(run.open_loop, simulated)
    kept = {
        "run": run.as_json(),
        "service": asdict(service),
        "simulated": [[asdict(one) for one in side] for side in simulated],
        "rows": rows,
    }
    file.write_text(json.dumps(kept), encoding="utf-8")
    print(f"{len(run.open_loop)} screenings arrived, {run.rate:.3f} a second.")
    print(
        f"Alone {service.base_seconds:.3f} s + {service.seconds_per_slice * 1000:.2f} ms a slice;"
        f" done in a second with 1, 2, 3 in hand:"
        f" {', '.join(f'{rate:.2f}' for rate in service.rates[1:])} s of that."
    )
    for row in rows:
        met = "met   " if row["met"] else "MISSED"
        print(
            f"{met} {row['figure']:<28} real {row['real']:8.3f}"
            f"  simulated {row['simulated']:8.3f}  {row['error']:+.1%}"
        )
    return 0 if all(row["met"] for row in rows) else 1


def _plots(args: argparse.Namespace) -> int:
    from loadtests.capacity.plots import draw

    for path in draw(OUT, Path("docs/images")):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
