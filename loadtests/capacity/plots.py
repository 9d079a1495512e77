"""The pictures of docs/capacity.md; needs matplotlib, which the product does not bring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gateway.exceptions import UsageError
from loadtests.capacity.answer import AWAY_SECONDS, busiest
from loadtests.capacity.arrivals import draw as draw_day
from loadtests.capacity.cost import read_cost
from loadtests.capacity.keda import HOUR, Schedule
from loadtests.capacity.nodes import read_ground
from loadtests.capacity.outcome import simulate
from loadtests.capacity.profile import read_profile
from loadtests.capacity.scenario import ApiPolicy, Fault, PoolPolicy, Scenario

SHOWN = 300_000
"""Studies a day of the pictures of one day."""

FIRST, SECOND, THIRD, GREY = "#1f5fa8", "#c8591a", "#3d8a3d", "#8a8a8a"


def draw(results: Path, images: Path) -> list[Path]:
    """Draw what the results in a folder allow; gives the files.

    Raises
    ------
    UsageError
        When matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise UsageError("The plots need matplotlib, of the group loadtests.") from None
    matplotlib.use("Agg")
    drawn = []
    answers = results / "answers-national-h200.json"
    if answers.is_file():
        found = json.loads(answers.read_text(encoding="utf-8"))
        drawn.append(_costs(found, images / "capacity-cost.png"))
        shown = next((one for one in found if one["studies_per_day"] == SHOWN), found[-1])
        drawn.append(_day(shown, images / "capacity-day.png"))
    calibration = results / "calibration.json"
    if calibration.is_file():
        kept = json.loads(calibration.read_text(encoding="utf-8"))
        drawn.append(_calibration(kept, images / "capacity-calibration.png"))
    return drawn


def _day(shown: dict[str, Any], path: Path) -> Path:
    """Draw arrivals, queue and pods of a day without and with a lost zone."""
    import matplotlib.pyplot as plt

    scenario = _scenario(shown)
    when = busiest(scenario.profile)
    lost = replace(scenario, faults=(Fault(when, 0, when + AWAY_SECONDS),))
    figure, axes = plt.subplots(3, 1, figsize=(8, 7.5), sharex=True, constrained_layout=True)
    arrivals = draw_day(scenario.profile, scenario.studies_per_day, scenario.seed)
    counts, edges = np.histogram(arrivals.times / HOUR, bins=24 * 12, range=(0, 24))
    axes[0].step(edges[:-1], counts / 300, where="post", color=FIRST, linewidth=1)
    axes[0].set_ylabel("studies a second")
    axes[0].set_title(
        f"{shown['studies_per_day']:,.0f} studies a day, {scenario.profile.name} profile,"
        f" {scenario.cost.name} (assumed costs)"
    )
    for one, colour, name in ((scenario, FIRST, "no fault"), (lost, SECOND, "a zone is lost")):
        samples = simulate(one).samples
        hours = samples[:, 0] / HOUR
        axes[1].plot(hours, samples[:, 1:4].sum(axis=1), color=colour, label=name, linewidth=1)
        axes[2].plot(hours, samples[:, 5], color=colour, label=f"ready, {name}", linewidth=1.2)
        if one is scenario:
            axes[2].plot(
                hours, samples[:, 6], color=GREY, label="wanted", linewidth=0.8, linestyle=":"
            )
    axes[1].set_ylabel("studies that wait")
    axes[2].set_ylabel("pods")
    axes[2].set_xlabel("hour of the day")
    axes[2].set_xlim(0, 24)
    axes[2].set_xticks(range(0, 25, 3))
    for axis in axes[1:]:
        axis.axvspan(when / HOUR, (when + AWAY_SECONDS) / HOUR, color=GREY, alpha=0.15)
        axis.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _costs(found: list[dict[str, Any]], path: Path) -> Path:
    """Draw cost of a thousand studies and the pool's use over the studies a day."""
    import matplotlib.pyplot as plt

    studies = [one["studies_per_day"] for one in found]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for key, colour, name in (
        ("day", FIRST, "as assumed"),
        ("twice_the_cost", SECOND, "model of twice the cost, same policy"),
    ):
        costs = [one[key]["eur_per_thousand"] for one in found]
        left.plot(studies, costs, marker="o", color=colour, label=name)
        busy = [one[key]["gpu_hours_busy"] / one[key]["gpu_hours"] * 100 for one in found]
        right.plot(studies, busy, marker="o", color=colour, label=name)
    left.set_ylabel("EUR for a thousand studies, GPU only")
    right.set_ylabel("GPU-hours busy of those held, %")
    right.set_ylim(0, 100)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.set_xlabel("studies a day")
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    left.set_ylim(bottom=0)
    return _save(figure, path)


def _calibration(kept: dict[str, Any], path: Path) -> Path:
    """Draw latencies and numbers in the system, real and simulated."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), constrained_layout=True)
    real, first = kept["run"]["open_loop"], kept["simulated"][0]
    every = [one for side in kept["simulated"] for one in side]
    origin = kept["run"]["open_loop"][0]["created"]
    for all_of_it, side, colour, name in (
        (real, real, FIRST, "server"),
        (every, first, SECOND, "simulated"),
    ):
        took = np.sort([one["ended"] - one["created"] for one in all_of_it])
        left.plot(took, np.arange(1, len(took) + 1) / len(took), color=colour, label=name)
        times = np.array([one["created"] for one in side] + [one["ended"] for one in side])
        steps = np.concatenate([np.ones(len(side)), -np.ones(len(side))])
        order = np.argsort(times, kind="stable")
        right.step(
            (times[order] - origin) / 60,
            np.cumsum(steps[order]),
            where="post",
            color=colour,
            label=name,
            linewidth=0.9,
        )
    left.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":")
    left.axhline(0.95, color=GREY, linewidth=0.6, linestyle=":")
    left.set_xlabel("seconds from order to result")
    left.set_ylabel("share of the screenings")
    right.set_xlabel("minutes")
    right.set_ylabel("waiting and in hand")
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    return _save(figure, path)


def _scenario(shown: dict[str, Any]) -> Scenario:
    """Make the scenario again that an answer was found for."""
    values = shown["values"]
    pool, api = values["pools"]["main"], values["api"]["autoscaling"]
    scaling = pool["autoscaling"]
    cron = scaling.get("schedules", {}).get("day")
    schedule = None
    if cron is not None:
        start, end = (_seconds(cron[key]) for key in ("start", "end"))
        schedule = Schedule(start, end, cron["replicas"])
    policy = PoolPolicy(
        least=pool["replicas"]["min"],
        most=pool["replicas"]["max"],
        drain_seconds=scaling["targetDrainSeconds"],
        cooldown_seconds=scaling["cooldownPeriod"],
        speed=scaling["speed"],
        schedule=schedule,
    )
    return Scenario(
        profile=read_profile("national"),
        studies_per_day=shown["studies_per_day"],
        cost=read_cost("h200"),
        ground=read_ground(),
        pools=(policy,),
        api=ApiPolicy(least=api["minReplicas"], most=api["maxReplicas"]),
        seed=shown["seed"],
    )


def _seconds(cron: str) -> float:
    minute, hour = cron.split()[:2]
    return (int(hour) * 60 + int(minute)) * 60.0


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
