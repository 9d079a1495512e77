"""Every command of a pod starts with what its image has, and nothing more can be imported."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.databases import named, running_postgres
from tests.dockerfile import read_dockerfile

ROOT = Path(__file__).resolve().parents[2]

START_SECONDS = 30

RECORDER = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps({"arguments": sys.argv[1:], "environ": dict(os.environ)}))
"""


def command(image: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.image_environment", image, *arguments]


def environ(image: str, home: Path, **more: str) -> dict[str, str]:
    """What the image's ENV says, on loopback and with a home of this test."""
    said = read_dockerfile(ROOT / "Dockerfile").stages[image].environ
    ours = {name: value for name, value in said.items() if name.startswith("ONESCAN_")}
    ours |= {name: "127.0.0.1" for name in ours if name.endswith("HOST")}
    outer = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    outer["PYTHONDONTWRITEBYTECODE"] = said["PYTHONDONTWRITEBYTECODE"]
    return outer | ours | {"ONESCAN_HOME": str(home), "HOME": str(home)} | more


def watched(strace: str, trace: Path, command: list[str]) -> list[str]:
    """Write down each file that the command opens for writing, makes, moves or removes."""
    calls = "trace=open,openat,creat,mkdir,mkdirat,rename,renameat2,unlink,unlinkat"
    return [strace, "-D", "-f", "-qq", "-e", calls, "-o", str(trace), *command]


def written(trace: Path) -> set[Path]:
    changing = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|mkdir|rename|unlink|creat\(")
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    paths = (re.search(r'"([^"]*)"', line) for line in lines if changing.search(line))
    return {Path(path[1]) for path in paths if path} - {Path("/dev/null")}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def status_of(url: str) -> int:
    """Answer of a probe; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def wait_for(process: subprocess.Popen[str], url: str) -> int:
    deadline = time.monotonic() + START_SECONDS
    while not (status := status_of(url)):
        assert process.poll() is None, process.communicate()[1][-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return status


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database that the image's own ``onescan migrate`` has made."""
    with running_postgres() as server:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE images")
        yield named(server, "images")


@pytest.fixture(scope="module")
def migrated(database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        command("gateway", "migrate"),
        env=environ("gateway", home, DATABASE_URL=database),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return database


@pytest.mark.slow
@pytest.mark.postgres
def test_api_worker_and_listener_start(
    migrated: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """All three answer their probes, end with 0 on SIGTERM, and write under their mounts alone.

    The worker waits for Triton meanwhile.
    """
    strace = need_tool("strace")
    home = tmp_path / "home"
    ports = {name: free_port() for name in ("serve", "worker", "dimse", "scp")}
    more = {
        "DATABASE_URL": migrated,
        "ONESCAN_STORE__NODE": "test",
        "ONESCAN_API__PORT": str(ports["serve"]),
        "ONESCAN_WORKER__METRICS_PORT": str(ports["worker"]),
        "ONESCAN_DIMSE__PORT": str(ports["scp"]),
        "ONESCAN_DIMSE__METRICS_PORT": str(ports["dimse"]),
        "ONESCAN_TRITON__URL": f"unix:{tmp_path}/none:8001",
    }
    probes = {"serve": "livez", "worker": "livez", "dimse": "metrics"}
    started = {
        name: subprocess.Popen(
            watched(strace, tmp_path / name, command("gateway", name)),
            env=environ("gateway", home, **more),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in probes
    }
    try:
        for name, path in probes.items():
            url = f"http://127.0.0.1:{ports[name]}/{path}"
            assert wait_for(started[name], url) == 200, name
        assert status_of(f"http://127.0.0.1:{ports['worker']}/readyz") == 503
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        said = {name: process.communicate(timeout=30) for name, process in started.items()}
    finally:
        for process in started.values():
            process.kill()
    assert {name: process.returncode for name, process in started.items()} == dict.fromkeys(
        probes, 0
    ), said
    mounts = (home, Path("/dev/shm"))
    for name in probes:
        paths = written(tmp_path / name)
        assert [one for one in paths if not any(map(one.is_relative_to, mounts))] == [], name
        assert paths or name != "worker"  # its first region


def test_triton_is_begun_by_its_image(tmp_path: Path) -> None:
    """The server gets its options and the repository, and none of our settings or secrets."""
    folder = tmp_path / "opt" / "bin"
    folder.mkdir(parents=True)
    server = folder / "tritonserver"
    server.write_text(RECORDER)
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    words = read_dockerfile(ROOT / "Dockerfile").stages["triton"].last("CMD").words
    socket_path = tmp_path / "run" / "triton"
    more = {
        "DATABASE_URL": "postgresql://onescan:secret@postgres/onescan",
        "ORT_DISABLE_TELEMETRY": "1",
        "ONESCAN_WORKER__CHECKS": "liver",
        "ONESCAN_TRITON__RESTART_FILE": str(tmp_path / "triton-must-restart"),
    }
    (tmp_path / "triton-must-restart").touch()
    done = subprocess.run(
        command("triton", *words, f"--server={server}", f"--socket={socket_path}"),
        env=environ("triton", tmp_path, **more),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert f"--grpc-address=unix:{socket_path}" in seen["arguments"]
    assert f"--backend-directory={tmp_path}/opt/backends" in seen["arguments"]
    assert "--metrics-port=8002" in seen["arguments"]
    loaded = {text.partition("=")[2] for text in seen["arguments"] if "--load-model" in text}
    assert {"anatomy", "anatomy_net", "ct_preprocess", "ct_postprocess", "liver_net"} <= loaded
    assert "pancreas_net" not in loaded
    assert seen["environ"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert "DATABASE_URL" not in seen["environ"]
    assert not (tmp_path / "triton-must-restart").exists()


def test_models_import_what_the_image_has() -> None:
    """The Python models' own code imports in the triton image."""
    code = (
        "import sys\n"
        "from tests.image_environment import Without, absent_modules\n"
        "absent = absent_modules('triton')\n"
        "sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]\n"
        "import postprocess.finish, postprocess.search, preprocess.bank, preprocess.prepare\n"
        "import preprocess.tokens, scipy.ndimage, scipy.spatial\n"
        "assert not {'onnxruntime', 'openvino', 'torch', 'pytest'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("image", "name"), [("gateway", "pool"), ("backup", "backup"), ("backup", "restore")]
)
def test_operators_commands_start(image: str, name: str, tmp_path: Path) -> None:
    """What an operator runs in a pod says how it is used."""
    done = subprocess.run(
        command(image, name, "--help"),
        env=environ(image, tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"onescan {name}" in done.stdout


def test_the_embedded_server_is_missed_by_name(tmp_path: Path) -> None:
    """``onescan up`` in a pod is one sentence, not a traceback."""
    done = subprocess.run(
        command("gateway", "up"),
        env=environ("gateway", tmp_path, ONESCAN_TRITON__URL=""),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("onescan: ")
    assert "Traceback" not in done.stderr
