"""Whatever dies during a screening, the screening finishes once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.intake.folders import collect
from gateway.settings import IntakeSettings
from networks.phantoms.study import make_study
from tests.served import Served, serving

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study large enough that a fault can fall into its screening."""
    folder = tmp_path_factory.mktemp("study") / "s"
    make_study(folder, seed=11, matrix=384, increment_mm=2.0, series=("thin",))
    return folder


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(
        WORKER__HEARTBEAT_SECONDS="0.3", WORKER__STALLED_SECONDS="3", WORKER__REAP_SECONDS="0.5"
    ) as server:
        yield server


def kill_triton(served: Served) -> None:
    os.kill(served.child("triton").pid, signal.SIGKILL)


def kill_stub(served: Served) -> None:
    os.kill(served.stubs()[0].pid, signal.SIGKILL)


def kill_worker(served: Served) -> None:
    os.kill(served.child("worker").pid, signal.SIGKILL)


def kill_postgres(served: Served) -> None:
    os.kill(served.child("postgres").pid, signal.SIGKILL)


def kill_api(served: Served) -> None:
    os.kill(served.child("api").pid, signal.SIGKILL)


def stop_and_continue_worker(served: Served) -> None:
    worker = served.child("worker")
    os.kill(worker.pid, signal.SIGSTOP)
    time.sleep(5)  # longer than STALLED_SECONDS: the reaper takes the screening away
    os.kill(worker.pid, signal.SIGCONT)


FAULTS: list[Callable[[Served], None]] = [
    kill_triton,
    kill_stub,
    kill_worker,
    kill_postgres,
    kill_api,
    stop_and_continue_worker,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_screening_survives(
    served: Served, study: Path, fault: Callable[[Served], None]
) -> None:
    """After the fault the screening ends `done`, with one result a check, from one attempt."""
    screening = await screen_with_fault(served, study, fault)
    assert screening["state"] == "done", screening
    assert [check["check"] for check in screening["checks"]] == ["liver"]
    assert screening["checks"][0]["state"] in ("positive", "negative")


async def screen_with_fault(
    served: Served, study: Path, fault: Callable[[Served], None]
) -> dict[str, Any]:
    with collect([study], settings=IntakeSettings()) as found:
        async with served.client() as client:
            await until_answering(served)
            assert not await client.store(found.instances)
            created = await client.create_screening(
                {
                    "study_instance_uid": found.instances[0].study_instance_uid,
                    "checks": ["liver"],
                }
            )
    struck = False
    deadline = time.monotonic() + 120
    screening: dict[str, Any] = {}
    while time.monotonic() < deadline:
        try:
            async with served.client() as client:
                screening = await client.screening(created["screening_id"])
        except Exception:
            assert struck, "the api failed before the fault"
            await asyncio.sleep(0.2)
            continue
        if screening["state"] == "running" and not struck:
            await asyncio.to_thread(fault, served)
            struck = True
        if screening["state"] in ("done", "failed"):
            break
        await asyncio.sleep(0.02)
    assert struck, "the screening ended before the fault could strike"
    return screening


async def until_answering(served: Served) -> None:
    """Wait until a restarted api answers again."""
    import aiohttp

    deadline = time.monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            try:
                async with session.get(served.url + "/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError("the server did not become ready again")


def test_kill_of_the_parent_leaves_nothing_running(study: Path) -> None:
    """After kill -9 of `onescan up` no process and no shared region of it is left."""
    with serving() as server:
        tree = server.tree()
        assert len(tree) > 5
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
        _, alive = psutil.wait_procs(tree, timeout=20)
        assert not [process for process in alive if process.is_running()]


def test_sigterm_stops_everything(study: Path) -> None:
    """SIGTERM ends the whole tree with exit code 0 and an empty /dev/shm of ours."""
    with serving() as server:
        server.screen(str(study))
        tree = server.tree()
        server.process.terminate()
        assert server.process.wait(60) == 0
        assert not [
            process
            for process in tree
            if process.is_running()
            and process.pid != os.getpid()
            and process.status() != psutil.STATUS_ZOMBIE
        ]
        assert not [name for name in os.listdir("/dev/shm") if digest_of(server) in name]


def digest_of(server: Served) -> str:
    from gateway.runtime.home import home_digest

    return home_digest(server.home)
