"""The process that makes objects: errors come back whole, and its death is not the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.delivery.maker import ResultMaker
from gateway.exceptions import NotFoundError, ResultMakingError
from gateway.results.making import Recipe
from gateway.settings import Settings

NOTHING = Recipe(tenant="default", kinds=("sr",), result={}, volumes=(), maps=())
"""Of no image, which is refused."""

BROKEN = Recipe(tenant="default", kinds=("sr",), result={}, volumes=(None,), maps=())  # type: ignore[arg-type]


async def test_errors_come_back_and_a_death_is_survived(tmp_path: Path) -> None:
    """Ours as they are, others by their kind; a killed child is followed by another."""
    maker = ResultMaker(Settings(home=tmp_path), timeout_seconds=60.0)
    try:
        with pytest.raises(NotFoundError, match="No image"):
            await maker.make(NOTHING)
        with pytest.raises(ResultMakingError, match="AttributeError"):
            await maker.make(BROKEN)
        first = maker._child
        assert first is not None
        first.kill()
        await first.wait()
        with pytest.raises(NotFoundError):
            await maker.make(NOTHING)
        assert maker._child is not first
        assert maker.waiting == 0
    finally:
        await maker.close()


async def test_whoever_takes_too_long_is_ended(tmp_path: Path) -> None:
    """And the next order gets a process of its own."""
    maker = ResultMaker(Settings(home=tmp_path), timeout_seconds=0.001)
    try:
        with pytest.raises(ResultMakingError, match="TimeoutError"):
            await maker.make(NOTHING)
        assert maker._child is None
    finally:
        await maker.close()
