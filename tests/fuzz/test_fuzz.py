"""A short run of the fuzzer; ``make fuzz`` is the long one."""

from __future__ import annotations

import pytest

from gateway.intake.header import read_header
from tests.fuzz.block import run_block
from tests.fuzz.seeds import Seed, seeds
from tests.fuzz.targets import TARGETS, Header

INPUTS = {"header": 400, "store": 100, "dimse": 150}
"""Of each target in every run of the tests."""


@pytest.mark.parametrize("seed", seeds(), ids=lambda seed: seed.name)
def test_the_fuzzer_starts_from_what_is_taken(seed: Seed) -> None:
    """Else it would only ever see refusals of the first byte."""
    assert read_header(seed.data).sop_instance_uid
    assert seed.name == "deflated" or len(seed.places) > 20


@pytest.mark.parametrize("name", ["explicit", "rle", "jpeg ls", "jpeg 2000", "jpeg"])
def test_what_is_not_damaged_is_decoded(name: str) -> None:
    """One slice is no CT volume, but nothing else is wrong with it."""
    [seed] = [seed for seed in seeds() if seed.name == name]
    assert Header().feed(seed.data) == "decoded, series.too_few_slices"


@pytest.mark.postgres
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_refused_or_kept_and_nothing_else(name: str) -> None:
    """No crash, no hang, no file, segment or row that belongs to nothing."""
    target = TARGETS[name]()
    target.open()
    try:
        told = run_block(target, 20261121, INPUTS[name])
    finally:
        target.close()
    assert sum(told.values()) >= INPUTS[name] * 0.9
    assert len(told) > 3  # inputs get to different depths
