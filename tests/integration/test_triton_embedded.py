"""The real Triton from its wheel, as our child, and the faults that it does not mend itself."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.exceptions import (
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    RuntimeFailure,
    StubDiedError,
    TritonDiedError,
)
from gateway.runtime import janitor
from gateway.runtime.home import Home, discard
from gateway.runtime.ports import free_port
from gateway.runtime.processes import marked
from gateway.runtime.supervisor import Supervisor
from gateway.runtime.triton import EmbeddedTriton, wheel
from gateway.settings import ROOT, TritonSettings
from gateway.triton.client import TritonClient
from gateway.triton.restart import restart_embedded
from tests.tiny_repository import write_double, write_echo

pytestmark = [pytest.mark.triton, pytest.mark.timeout(90)]

SETTINGS = TritonSettings(exit_timeout_seconds=3)

BACK_SECONDS = 30.0
"""A killed Triton is back in two to three seconds on an idle machine."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_echo(tmp_path / "models")


@pytest.fixture
def path() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    yield made
    discard(made)


@pytest.fixture
async def supervisor(path: Path) -> AsyncIterator[Supervisor]:
    home = Home(path)
    with home.lock():
        made = Supervisor(home)
        yield made
        await made.stop()


@pytest.fixture
async def client(supervisor: Supervisor, repository: Path) -> AsyncIterator[TritonClient]:
    triton = EmbeddedTriton(supervisor.home, SETTINGS, repository, supervisor)
    async with TritonClient(await triton.start()) as made:
        yield made


async def echo(
    client: TritonClient,
    *,
    model: str = "echo",
    delay_seconds: float = 0.0,
    timeout_seconds: float = BACK_SECONDS,
    queued: asyncio.Event | None = None,
) -> dict[str, NDArray[Any]]:
    return await client.call(
        model,
        {
            "NUMBERS": np.arange(-3, 1000, dtype=np.int16),
            "TEXT": np.array(["Größe".encode()], np.object_),
            "DELAY_SECONDS": np.array([delay_seconds], np.float32),
        },
        outputs=["NUMBERS", "TEXT", "PID"],
        timeout_seconds=timeout_seconds,
        queued=queued,
    )


def ours(home: Home) -> list[int]:
    return [identity.pid for identity in marked(home.digest, {os.geteuid()})]


async def test_bytes_come_back_and_nothing_stays(path: Path, repository: Path) -> None:
    """What went in comes out; after stop no stub, no region and no socket is left."""
    home = Home(path)
    with home.lock():
        triton = EmbeddedTriton(home, SETTINGS, repository)
        async with TritonClient(await triton.start()) as client:
            answer = await echo(client)
        regions, processes = janitor.leftovers(path), ours(home)
        await triton.stop()
    np.testing.assert_array_equal(answer["NUMBERS"], np.arange(-3, 1000))
    assert answer["TEXT"].tolist() == ["Größe".encode()]
    assert regions
    assert len(processes) >= 2
    assert janitor.leftovers(path) == []
    assert ours(home) == []
    assert list(home.sockets.iterdir()) == []


async def test_a_request_that_is_said_to_be_queued_goes_first(client: TritonClient) -> None:
    """Another connection's waits for it: the one instance answers one request after another."""
    await echo(client)
    async with TritonClient(client.url) as other:
        await other.server_ready()
        for _ in range(10):
            queued = asyncio.Event()
            first = asyncio.create_task(echo(client, delay_seconds=0.3, queued=queued))
            started = time.monotonic()
            await queued.wait()
            assert time.monotonic() - started < 0.2
            await echo(other)
            assert time.monotonic() - started > 0.3
            await first


async def test_a_dead_stub_is_noticed_and_triton_restarted_once(
    client: TritonClient, supervisor: Supervisor
) -> None:
    """Triton says ready for ever; we kill it, and the second who noticed spares the new one."""
    stub = int((await echo(client))["PID"][0])
    os.kill(stub, signal.SIGKILL)
    with pytest.raises(StubDiedError) as first:
        await echo(client)
    with pytest.raises(StubDiedError) as second:
        await echo(client)
    assert await client.server_ready()
    home = supervisor.home
    assert restart_embedded(home.path, first.value)
    answer = await echo(client)
    assert int(answer["PID"][0]) != stub
    assert restart_embedded(home.path, second.value)
    assert (await echo(client))["PID"] == answer["PID"]
    assert supervisor.restarts["triton"] == 1
    assert len(janitor.leftovers(home.path)) == 1


async def test_a_call_outlives_a_killed_triton(
    client: TritonClient, supervisor: Supervisor
) -> None:
    """A kill -9 in the middle of a call costs time; its stubs do not stay behind."""
    before = ours(supervisor.home)
    call = asyncio.create_task(echo(client, delay_seconds=0.5))
    await asyncio.sleep(0.2)
    os.kill(supervisor.pid("triton"), signal.SIGKILL)
    np.testing.assert_array_equal((await call)["NUMBERS"], np.arange(-3, 1000))
    assert set(before).isdisjoint(ours(supervisor.home))
    assert len(janitor.leftovers(supervisor.home.path)) == 1


async def test_a_call_that_triton_dies_of_again_is_given_up(
    client: TritonClient, supervisor: Supervisor
) -> None:
    """It may be the call's doing, and others wait for a Triton that stays up."""
    await echo(client)
    call = asyncio.create_task(echo(client, delay_seconds=BACK_SECONDS))
    for restarts in (0, 1):
        async with asyncio.timeout(BACK_SECONDS):
            while True:
                if supervisor.restarts["triton"] == restarts and await client.server_ready():
                    break
                await asyncio.sleep(0.05)
        await asyncio.sleep(2.0)  # asked again twice a second at least
        assert not call.done()
        os.kill(supervisor.pid("triton"), signal.SIGKILL)
    with pytest.raises(TritonDiedError):
        await asyncio.wait_for(call, 5.0)


async def test_every_call_has_a_deadline(client: TritonClient) -> None:
    """A slow model costs its caller no more time than it gave."""
    with pytest.raises(ModelTimeoutError):
        await echo(client, delay_seconds=1.0, timeout_seconds=0.3)


async def test_an_unknown_model_is_not_waited_for(client: TritonClient) -> None:
    """NOT_FOUND means "again" only for a model that is known to exist."""
    started = time.monotonic()
    with pytest.raises(ModelUnavailableError, match="no model 'nope'"):
        await echo(client, model="nope")
    assert time.monotonic() - started < BACK_SECONDS / 2
    assert not await client.ready(["nope"])
    with pytest.raises(ModelUnavailableError, match="did not come back"):
        await echo(client, model="nope", timeout_seconds=0.5)


async def test_nothing_listens_on_the_network(client: TritonClient, supervisor: Supervisor) -> None:
    """The wheel's release has known holes, so only this user's processes reach it."""
    inodes = {
        os.readlink(f"/proc/{supervisor.pid('triton')}/fd/{name}").removeprefix("socket:[")[:-1]
        for name in os.listdir(f"/proc/{supervisor.pid('triton')}/fd")
    }
    listening = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    assert [row for row in listening if row[3] == "0A" and row[9] in inodes] == []
    assert supervisor.home.sockets.stat().st_mode & 0o077 == 0


async def test_our_onnxruntime_backend_completes_batches_and_fails_alone(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """Tensors come from the ONNX file; a bad request does not take its batch down."""
    triton = EmbeddedTriton(supervisor.home, SETTINGS, write_double(tmp_path / "onnx"), supervisor)

    async def double(length: int, value: float) -> NDArray[Any]:
        x = np.full((1, 2, length), value, np.float32)
        answer = await client.call("double", {"x": x}, outputs=["y"], timeout_seconds=20)
        return answer["y"]

    async with TritonClient(await triton.start()) as client:
        answers = await asyncio.gather(
            double(8, 1.0), double(8, 2.0), double(7, 1.0), double(12, 3.0), return_exceptions=True
        )
    assert isinstance(answers[2], ModelError)
    for answer, (length, value) in zip(answers[:2] + answers[3:], [(8, 2), (8, 4), (12, 6)]):
        np.testing.assert_array_equal(answer, np.full((1, 2, length), value, np.float32))
    log = (supervisor.home.logs / "triton.log").read_text()
    assert re.search(r"double_0\S*: OpenVINO (f32|bf16)", log)


async def test_a_long_home_works(tmp_path: Path, repository: Path) -> None:
    """The socket moves to a short private folder."""
    home = Home(tmp_path / ("long" * 30))
    with home.lock():
        triton = EmbeddedTriton(home, SETTINGS, repository)
        async with TritonClient(await triton.start()) as client:
            assert (await echo(client))["NUMBERS"][0] == -3
        await triton.stop()
    discard(home.path)


async def test_a_model_that_does_not_load_is_named(
    supervisor: Supervisor, repository: Path
) -> None:
    """The person at the terminal is told which file to mend."""
    (repository / "echo" / "1" / "model.py").write_text("import no_such_module\n")
    with pytest.raises(RuntimeFailure, match=r"echo.*no_such_module"):
        await EmbeddedTriton(supervisor.home, SETTINGS, repository, supervisor).start()


async def test_weights_that_went_bad_are_not_served(supervisor: Supervisor, tmp_path: Path) -> None:
    """They would change results in silence; put back, Triton comes back with them."""
    repository = write_double(tmp_path / "models")
    file = repository / "double" / "1" / "model.onnx"
    kept = file.read_bytes()
    async with TritonClient(
        await EmbeddedTriton(supervisor.home, SETTINGS, repository, supervisor).start()
    ) as client:
        damaged = kept.replace(b"sum", b"som")  # another name for an inner tensor: it still loads
        assert damaged != kept
        file.write_bytes(damaged)
        os.kill(supervisor.pid("triton"), signal.SIGKILL)
        deadline = time.monotonic() + BACK_SECONDS
        while supervisor.restarts["triton"] < 2:  # the second one follows a refusal
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert not await client.server_ready()
        file.write_bytes(kept)
        while not await client.server_ready():
            assert time.monotonic() < deadline + BACK_SECONDS
            await asyncio.sleep(0.05)


async def test_an_empty_repository_is_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    """A server of nothing is a mistake in the settings."""
    with pytest.raises(RuntimeFailure, match="no model in"):
        await EmbeddedTriton(supervisor.home, SETTINGS, tmp_path, supervisor).start()


PARENT = """
import asyncio, sys
from pathlib import Path
from gateway.runtime.home import Home
from gateway.runtime.triton import EmbeddedTriton, wheel
from gateway.settings import ROOT, TritonSettings

async def main():
    home = Home(Path(sys.argv[1]))
    with home.lock():
        await EmbeddedTriton(home, TritonSettings(), Path(sys.argv[2])).start()
        print("ready", flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def run(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_kill_nine_of_the_parent_is_cleaned_up_by_the_next_start(
    path: Path, repository: Path
) -> None:
    """Triton dies with its parent; its stubs and regions go when the next server starts."""
    parent = run(sys.executable, "-c", PARENT, str(path), str(repository))
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
    assert janitor.leftovers(path)
    home = Home(path)
    with home.lock():
        janitor.clean(home)
    assert janitor.leftovers(path) == []
    assert ours(home) == []


async def test_a_pods_triton_serves_what_its_pool_needs(path: Path, tmp_path: Path) -> None:
    """`onescan triton` on a Unix socket, with what a killed one left; its metrics are there."""
    backends = EmbeddedTriton(Home(path), SETTINGS, ROOT / "model_repository").make_backends(
        wheel()
    )
    socket_path = path / "sock" / "triton"
    must_restart = path / "must-restart"
    must_restart.touch()
    metrics_port = free_port("127.0.0.1")
    server = wheel() / "tritonserver" / "bin" / "tritonserver"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "triton", "--socket", str(socket_path),
        "--server", str(server), "--backend-directory", str(backends),
        "--metrics-port", str(metrics_port),
        env={
            "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/bin", "/bin"]),
            "LD_LIBRARY_PATH": str(wheel().parent / "nvidia_pytriton.libs"),
            "HOME": str(tmp_path),
            "ONESCAN_HOME": str(path / "home"),
            "ONESCAN_TRITON__RESTART_FILE": str(must_restart),
            "ONESCAN_TRITON__EXIT_TIMEOUT_SECONDS": "20",
            "ONESCAN_WORKER__CHECKS": "liver",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        listening = Path(f"{socket_path}:8001")
        async with asyncio.timeout(60):
            while not listening.exists():  # the startup probe of its pod
                assert process.returncode is None
                await asyncio.sleep(0.1)
        assert not must_restart.exists()
        async with TritonClient(f"unix:{listening}") as client:
            assert await client.ready(["anatomy", "liver", "liver_net"])
            assert not await client.ready(["bone"])
        async with asyncio.timeout(30):
            assert "nv_inference_request_success" in await metrics(metrics_port)
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 40) == 0


async def metrics(port: int) -> str:
    """Read them; Triton opens their port after that of its requests."""
    while True:
        try:
            return await asyncio.to_thread(_read, f"http://127.0.0.1:{port}/metrics")
        except urllib.error.URLError:
            await asyncio.sleep(0.1)


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())
