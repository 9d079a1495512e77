"""What a study costs on a pod: stages to rates, and what loadtests.bench printed to a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.exceptions import CapacityFileError
from loadtests.capacity.cost import read_cost
from loadtests.capacity.cost_file import HOST_SECONDS, from_bench

COST = replace(
    read_cost("h200"),
    host_core_seconds=1.0,
    device_seconds=0.5,
    other_seconds=0.25,
    cores=1,
    concurrency=40,
)


def test_one_study_takes_the_sum_of_its_stages() -> None:
    """Nobody is in its way."""
    assert 1 / COST.rates()[1] == pytest.approx(1.75)


def test_many_in_hand_are_as_quick_as_the_slowest_station() -> None:
    """One core of a second a study gives one a second, however many are in hand; none more."""
    rates = COST.rates()
    assert rates[40] == pytest.approx(1.0, rel=0.01)
    assert all(rate <= min(number / 1.75, 1.0) + 1e-9 for number, rate in enumerate(rates))
    assert list(rates) == sorted(rates)


def test_two_balanced_stations_follow_the_book() -> None:
    """N customers, two stations alike: X(N) = N ÷ (N + 1) ÷ D, exact for exponential times."""
    even = replace(COST, device_seconds=1.0, other_seconds=0.0, concurrency=5)
    assert even.rates() == pytest.approx([n / (n + 1) for n in range(6)])


def test_what_was_measured_goes_before_what_follows() -> None:
    """The last figure holds for more in hand than were measured."""
    measured = replace(COST, seconds_per_study=(2.0, 1.25), concurrency=3)
    assert measured.rates() == pytest.approx((0.0, 0.5, 0.8, 0.8))


def test_a_dearer_model_is_slower_and_keeps_its_estimate() -> None:
    """The autoscaler still reads the manifests' figure."""
    dearer = COST.dearer(2.0)
    assert dearer.device_seconds == 1.0
    assert dearer.estimate_gpu_seconds == COST.estimate_gpu_seconds
    assert dearer.rates()[1] < COST.rates()[1]


BENCH = {
    "name": "nothing-runs",
    "slices": 300,
    "machine": "a machine, 2 cores",
    "commit": "abc",
    "date": "2026-11-21",
    "whole": 3.0,
    "stages": {
        "decode": {"wall_seconds": 0.5, "cpu_seconds": 0.25},
        "checks": {"wall_seconds": 2.25, "cpu_seconds": 0.25},
        "total": {"wall_seconds": 2.75, "cpu_seconds": 0.5},
    },
}


ALONE = json.dumps(BENCH)
AMONG = json.dumps([{"name": "j2k"}, BENCH])
KEPT = f'{{"name": "j2k"}}\n{json.dumps({**BENCH, "date": "2025-01-01"})}\n{ALONE}\n'


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", ALONE), ("b.json", AMONG), ("c.jsonl", KEPT)]
)
def test_a_cost_file_comes_from_the_benchmark(tmp_path: Path, name: str, text: str) -> None:
    """Worker and Triton share the cores: the device has all of the wall time."""
    printed = tmp_path / name
    printed.write_text(text, encoding="utf-8")
    made = tmp_path / "cost.toml"
    made.write_text(
        from_bench(printed, estimate_gpu_seconds=0.47, intake_core_seconds=1.0), encoding="utf-8"
    )
    cost = read_cost(str(made))
    assert cost.measured
    assert "2026-11-21" in cost.source
    assert (cost.host_core_seconds, cost.device_seconds) == (0.0, 2.75)
    assert cost.other_seconds == pytest.approx(0.25)
    assert not cost.stat_first


def test_a_cost_file_comes_from_a_gpu(tmp_path: Path) -> None:
    """Its stream's seconds are the device's; the host's are those of the file that is kept."""
    stream = {"gpu_seconds_a_study": 0.812, "runtime": "PyTorch", "precision": "fp16"}
    printed = tmp_path / "gpu.json"
    printed.write_text(json.dumps({"gpu": "NVIDIA H200", "stream": stream}), encoding="utf-8")
    made = tmp_path / "cost.toml"
    made.write_text(
        from_bench(printed, estimate_gpu_seconds=0.47, intake_core_seconds=1.0), encoding="utf-8"
    )
    cost, kept = read_cost(str(made)), read_cost("h200")
    assert cost.measured
    assert cost.gpu_type == kept.gpu_type
    assert cost.device_seconds == 0.812
    assert (cost.host_core_seconds, cost.other_seconds) == tuple(HOST_SECONDS.values())
    assert (kept.host_core_seconds, kept.other_seconds) == tuple(HOST_SECONDS.values())
    assert (cost.cores, cost.concurrency) == (kept.cores, kept.concurrency)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"name": "nothing-runs", "stages": 3}', '{"gpu": null}']
)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    """In one sentence that names the file."""
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CapacityFileError, match=r"other\.json"):
        from_bench(file, estimate_gpu_seconds=0.47, intake_core_seconds=1.0)
