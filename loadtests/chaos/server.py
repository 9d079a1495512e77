"""The whole embedded server as people run it, in a cage, each process of it found by its record."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from gateway.runtime import launch
from gateway.runtime.home import Home, discard
from gateway.runtime.pginstall import FOREIGN_ROOT
from gateway.runtime.ports import free_port
from gateway.runtime.processes import ProcessIdentity
from loadtests.chaos.cage import Cage, SmallDisk, may_mount
from loadtests.chaos.clocks import Clock
from loadtests.chaos.models import CHECK, make_repository

CHILDREN = ("postgres", "triton", "worker", "api", "dimse")
"""What the supervisor keeps up."""

SHM = Path("/dev/shm")

SHM_BYTES = 256 * 1024**2

OBJECTS_BYTES = 1536 * 1024**2
"""256 MiB of it stay free; the studies of a long run need the rest."""

DATABASE_BYTES = 768 * 1024**2

START_SECONDS = 180.0

QUIET_SECONDS = 2.0
"""After which what came by DIMSE is screened."""

PARTNERS = f"""[partners.modality]
ae_titles = ["MODALITY"]
checks = ["{CHECK}"]
quiet_seconds = {QUIET_SECONDS}
"""

SETTINGS = {
    "WORKER__HEARTBEAT_SECONDS": "0.5",
    "WORKER__STALLED_SECONDS": "4",
    "WORKER__REAP_SECONDS": "0.5",
    "STORE__WATERMARK_BYTES": str(64 * 1024**2),
    "DIMSE__REQUEST_SECONDS": "3",
    "DIMSE__STALL_SECONDS": "6",
    "DIMSE__IDLE_SECONDS": "6",
}
"""So that a minute shows what else takes several; what a fault does is the same."""


@dataclass
class Server:
    """A running one."""

    process: subprocess.Popen[bytes]
    home: Path
    url: str
    dimse_port: int
    key: str
    models: Path
    clock: Clock
    database_folder: Path
    caged: bool

    def child(self, name: str) -> psutil.Process:
        """Find a child by the record that the supervisor keeps."""
        identity = ProcessIdentity.load(self.home / "run" / f"{name}.json")
        if identity is None or not identity.alive():
            raise LookupError(f"{name} does not run")
        return psutil.Process(identity.pid)

    def stubs(self) -> list[psutil.Process]:
        """Find Triton's Python stubs."""
        return [
            process
            for process in self.child("triton").children(recursive=True)
            if "triton_python_backend_stub" in process.name()
            or any("triton_python_backend_stub" in word for word in process.cmdline()[:1])
        ]

    def session(self, name: str) -> list[psutil.Process]:
        """Find a child and all below it."""
        child = self.child(name)
        return [child, *child.children(recursive=True)]

    def disk(self, path: Path) -> SmallDisk:
        """Give one of the small disks."""
        return SmallDisk(self.process.pid, path)

    @property
    def shm(self) -> SmallDisk:
        """Its ``/dev/shm``."""
        return self.disk(SHM)

    def log(self) -> str:
        """Give what ``onescan up`` said."""
        return (self.home / "up.log").read_text(errors="replace")


@asynccontextmanager
async def chaos_server(environ: Mapping[str, str] | None = None) -> AsyncIterator[Server]:
    """Run ``onescan up`` on an empty home and stop it; whatever it leaves stays for `checks`.

    Parameters
    ----------
    environ : mapping, optional
        More environment variables, such as those of an object store.
    """
    home = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    server = await asyncio.to_thread(_start, home, environ or {})
    try:
        await asyncio.to_thread(_until_up, server)
        yield server
    finally:
        await asyncio.to_thread(_stop, server)
        discard(home)
        for folder in (home, server.clock.folder):
            shutil.rmtree(folder, ignore_errors=True)


def _start(home: Path, environ: Mapping[str, str]) -> Server:
    Home(home)
    (home / "partners.toml").write_text(PARTNERS, encoding="utf-8")
    models = make_repository(home / "models")
    # not below the home, which PostgreSQL's own user may not enter
    clock = Clock(Path(tempfile.mkdtemp(prefix="os-clock-", dir="/tmp")))
    database = _database_folder(home)
    dimse_port = free_port("127.0.0.1")
    settings = {f"ONESCAN_{name}": value for name, value in SETTINGS.items()}
    command = [
        *(sys.executable, str(Path(__file__).with_name("up.py"))),
        *(str(clock.interpreter()), "--port", "0"),
    ]
    if may_mount():
        sizes = {SHM: SHM_BYTES, home / "objects": OBJECTS_BYTES, database: DATABASE_BYTES}
        command = Cage(sizes).command(command)
    # whatever ends the run ends the server, which ends its children
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid())]
    command = [*launcher, str(int(signal.SIGTERM)), "-1", "-1", *command]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("ONESCAN_")},
                **settings,
                **environ,
                "ONESCAN_HOME": str(home),
                "ONESCAN_DIMSE__PORT": str(dimse_port),
                "ONESCAN_TRITON__MODEL_REPOSITORY": str(models),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Server(process, home, "", dimse_port, "", models, clock, database, may_mount())


def _database_folder(home: Path) -> Path:
    """Say where PostgreSQL's data will lie, before there are any."""
    if os.geteuid() != 0:
        return home / "postgres"
    base = FOREIGN_ROOT / f"chaos-{home.name}"
    base.mkdir(parents=True, mode=0o755)
    (home / "postgres" / "at").write_text(str(base))
    return base


def _until_up(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    record = server.home / "run" / "url"
    while time.monotonic() < deadline and server.process.poll() is None:
        if record.exists() and (url := record.read_text().strip()):
            server.url, server.key = url, Home(server.home).api_key()
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not come up:\n" + server.log())


def _stop(server: Server) -> None:
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGTERM)
        try:
            server.process.wait(60)
        except subprocess.TimeoutExpired:
            server.process.kill()
            server.process.wait(10)
