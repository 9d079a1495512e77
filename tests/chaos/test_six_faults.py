"""Six faults from a fixed seed on a real server under load; `make chaos` brings fifty."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtests.chaos.faults import FAULTS
from loadtests.chaos.ledger import Sums, balanced
from loadtests.chaos.plan import FOLDER, plan
from loadtests.chaos.report import lines
from loadtests.chaos.run import run

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

SEED = 2467

SIX = ["stop_postgres", "kill_worker", "kill_postgres", "full_disk", "cut_dimse", "clock_skew"]
"""What this seed draws: a hang, two kills, a full disk, cut connections and a clock."""


async def test_promises_hold_under_six_faults(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    """Nothing lost, doubled, invented or left behind, and the stat lane is back in time."""
    steps = plan(FAULTS, len(SIX), SEED, stores=[FOLDER])
    assert [step.fault.name for step in steps] == SIX
    folder: Path = tmp_path_factory.mktemp("chaos")
    outcomes = await run(steps, seed=SEED, folder=folder, brief=True)
    print("\n".join(lines(outcomes, summed=True)))
    assert {one.fault: one.wrong for one in outcomes if one.wrong} == {}
    total = sum((one.sums for one in outcomes), Sums())
    assert balanced(total) == []
    assert total.finished > len(SIX)
    skipped = [f"{one.fault}: {one.skipped}" for one in outcomes if one.skipped]
    if skipped and request.config.getoption("--forbid-missing-tools"):
        pytest.fail("; ".join(skipped))
