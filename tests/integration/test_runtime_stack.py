"""The whole server as one process tree: what its start promises and its end leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from gateway.exceptions import RuntimeFailure
from gateway.runtime.home import Home, discard
from gateway.runtime.janitor import leftovers
from gateway.runtime.ports import free_port
from gateway.runtime.processes import marked
from gateway.runtime.stack import Server, embedded, run_stack
from gateway.settings import ApiSettings, Settings, TritonSettings
from tests.stand_in_net import write_stand_in

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.timeout(120)]

CHILDREN = ("postgres", "triton", "api", "worker")

WAIT_SECONDS = 30.0


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """A home with a short path; the shipped models with a network that needs no training."""
    repository = tmp_path / "models"
    shutil.copytree(ROOT / "model_repository", repository)
    write_stand_in(repository / "anatomy_net" / "1" / "model.onnx")
    home = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    yield Settings(
        home=home,
        api=ApiSettings(port=0),
        triton=TritonSettings(model_repository=str(repository), exit_timeout_seconds=3),
    )
    discard(home)


def processes_of(home: Path) -> set[int]:
    """Everything that carries the home's marker, whoever it runs as."""
    uids = {process.uids().real for process in psutil.process_iter()}
    return {identity.pid for identity in marked(Home(home).digest, uids)}


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.05)


async def test_it_serves_is_stopped_and_leaves_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready means that the api answers; stop ends every process and region, and the address.

    Credentials of an object store reach those that speak to it, and Triton does not.
    """
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of a bucket")
    monkeypatch.setenv("SOME_SECRET", "x")
    stop, seen = asyncio.Event(), []
    dimse = dataclasses.replace(settings.dimse, port=free_port("127.0.0.1"))
    settings = dataclasses.replace(settings, dimse=dimse)

    def ready(server: Server) -> None:
        pids = {name: server.supervisor.pid(name) for name in (*CHILDREN, "dimse")}
        with socket.create_connection(("127.0.0.1", dimse.port), 5):
            pass
        environs = {name: psutil.Process(pid).environ() for name, pid in pids.items()}
        told = {name for name, environ in environs.items() if "AWS_ACCESS_KEY_ID" in environ}
        assert told == {"api", "worker", "dimse"}
        assert not [name for name, environ in environs.items() if "SOME_SECRET" in environ]
        link = next(word for sentence in said for word in sentence.split() if "token=" in word)
        with requests.Session() as browser:
            page = browser.get(link, timeout=10)
            assert (page.status_code, page.url) == (200, f"{server.url}/ui")
            session = browser.get(f"{server.url}/auth/session", timeout=10).json()
            assert session["name"] == "link"
            assert browser.get(link, timeout=10).status_code == 400  # once
        seen.append((server, pids, processes_of(settings.home)))
        stop.set()

    said: list[str] = []
    await run_stack(settings, say=said.append, ready=ready, stop=stop)
    [(server, pids, processes)] = seen
    assert set(pids.values()) <= processes
    assert server.key == (settings.home / "key").read_text()
    assert any(server.url in sentence for sentence in said)
    assert server.key not in " ".join(said) + repr(server)
    assert processes_of(settings.home) == set()
    assert not any(psutil.pid_exists(pid) for pid in processes)
    assert leftovers(settings.home) == []
    assert sorted(path.name for path in (settings.home / "run").iterdir()) == ["lock", "sockets"]


@pytest.mark.slow
async def test_each_child_comes_back_after_kill_nine(settings: Settings) -> None:
    """Whoever dies is started again and the server serves on."""
    from gateway.runtime.stack import running_url

    async with embedded(settings) as server:
        for name in CHILDREN:
            os.kill(server.supervisor.pid(name), signal.SIGKILL)
        await eventually(lambda: all(server.supervisor.restarts[name] == 1 for name in CHILDREN))
        deadline = time.monotonic() + WAIT_SECONDS
        while await running_url(settings) != server.url:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        os.kill(server.supervisor.pid("worker"), signal.SIGSTOP)  # and is stopped all the same
    assert processes_of(settings.home) == set()
    assert leftovers(settings.home) == []


async def test_a_taken_port_is_one_sentence(settings: Settings) -> None:
    """The person at the terminal learns which port, and nothing stays behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = dataclasses.replace(settings, api=ApiSettings(port=port))
        with pytest.raises(RuntimeFailure, match=f"Port {port} of 127.0.0.1 cannot be used"):
            async with embedded(settings):
                pass
    assert processes_of(settings.home) == set()


SERVER = """
import asyncio, os
from gateway.runtime.stack import run_stack
from gateway.settings import Settings

settings = Settings.from_environ(os.environ)
asyncio.run(run_stack(settings, ready=lambda server: print("ready", flush=True)))
"""


def serve(settings: Settings) -> subprocess.Popen[str]:
    environ = {**os.environ, **settings.to_environ(), "ONESCAN_API__PORT": "0"}
    return subprocess.Popen(
        [sys.executable, "-c", SERVER], env=environ, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
async def test_kill_nine_of_the_parent_then_start_again(settings: Settings) -> None:
    """The first server's remains go when the second one starts; it stops cleanly on SIGTERM."""
    first = serve(settings)
    assert first.stdout is not None
    with first, first.stdout:
        assert first.stdout.readline() == "ready\n"
        remains = processes_of(settings.home)
        first.kill()
    second = serve(settings)
    assert second.stdout is not None
    with second, second.stdout:
        assert second.stdout.readline() == "ready\n"
        assert remains.isdisjoint(processes_of(settings.home))
        second.send_signal(signal.SIGTERM)
    assert second.returncode == 0
    assert processes_of(settings.home) == set()
    assert leftovers(settings.home) == []
