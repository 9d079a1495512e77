"""A seed says which faults come, and each kind comes before any comes again."""

from __future__ import annotations

from loadtests.chaos.faults import FAULTS
from loadtests.chaos.plan import FOLDER, S3, plan

ASKED_FOR = (
    *("kill_api", "kill_worker", "kill_triton", "kill_stub", "kill_postgres", "kill_dimse"),
    *("stop_api", "stop_worker", "stop_triton", "stop_stub", "stop_postgres", "stop_dimse"),
    *("full_disk", "full_database_disk", "full_shm", "s3_errors", "s3_down", "s3_slow", "s3_cut"),
    *("cut_api", "cut_dimse", "clock_forward", "clock_back", "clock_skew", "corrupt_model"),
    "corrupt_weights",
    *("poison_study", "slow_clients", "half_open_dimse"),
)


def test_every_fault_is_there_by_its_name() -> None:
    """And says what it does and how it ends."""
    assert set(FAULTS) == set(ASKED_FOR)
    assert all(fault.does and fault.ends for fault in FAULTS.values())


def test_a_seed_gives_the_same_run_again() -> None:
    """And another seed another one."""
    assert plan(FAULTS, 50, 3) == plan(FAULTS, 50, 3)
    assert plan(FAULTS, 50, 3) != plan(FAULTS, 50, 4)


def test_fifty_faults_have_each_kind() -> None:
    """Numbered from 1, those on one object store together."""
    steps = plan(FAULTS, 50, 1)
    assert [step.number for step in steps] == list(range(1, 51))
    assert {step.fault.name for step in steps} == set(FAULTS)
    assert [step.store for step in steps] == sorted(step.store for step in steps)
    assert all(step.fault.store in ("", step.store) for step in steps)


def test_one_store_has_no_faults_of_the_other() -> None:
    """S3 fails only where there is S3."""
    assert not [s for s in plan(FAULTS, 50, 1, stores=[FOLDER]) if s.fault.store == S3]
    assert not [s for s in plan(FAULTS, 50, 1, stores=[S3]) if s.fault.store == FOLDER]
