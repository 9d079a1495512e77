"""Requests are counted by route and status."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.api.middlewares import measure
from gateway.metrics import REGISTRY


async def counted_after(error: type[BaseException]) -> dict[str, float]:
    """Raise in a handler; give what was counted for its route."""
    route = f"/{error.__name__}/{{uid}}"

    async def handler(request: web.Request) -> web.StreamResponse:
        raise error

    app = web.Application(middlewares=[measure])
    app.router.add_get(route, handler)
    async with TestClient(TestServer(app)) as client:
        with contextlib.suppress(aiohttp.ClientError):  # the connection was closed
            await client.get(f"/{error.__name__}/1.2.3")
    samples = [
        sample
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "onescan_requests_total" and sample.labels["route"] == route
    ]
    return {sample.labels["status"]: sample.value for sample in samples}


@pytest.mark.parametrize("error", [ConnectionResetError, asyncio.CancelledError])
async def test_a_client_that_went_away_is_no_fault_of_ours(error: type[BaseException]) -> None:
    """It is counted as 499, never among the 5xx that somebody is called for."""
    assert await counted_after(error) == {"499": 1}


async def test_an_exception_that_nobody_caught_is_a_fault() -> None:
    """It is counted as 500."""
    assert await counted_after(RuntimeError) == {"500": 1}
