"""The embedded Triton: the wheel's own binary, run as our child on a Unix socket.

For laptops, continuous integration and demonstrations. The wheel's release is old and has known
holes, so nothing of it is reachable from outside: no HTTP, no metrics, gRPC on a socket in a
private folder. Production uses the image of a current release with the same model repository.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from gateway.exceptions import ModelError, RuntimeFailure
from gateway.runtime.home import Home
from gateway.runtime.janitor import TRITON_REGION_PREFIX, sweep_triton
from gateway.runtime.supervisor import Child, Supervisor, program
from gateway.runtime.triton_command import served_models, triton_command
from gateway.settings import TritonSettings
from gateway.triton.client import TritonClient
from gateway.triton.repository import model_digest, model_files

SOCKET = "triton"
"""Triton names the socket ``<this>:<port>``."""

PORT = 8001
"""Only part of the socket's name."""

OUR_BACKENDS = Path(__file__).parent / "backends"
"""One folder a backend; ``onnxruntime`` makes ordinary ``config.pbtxt`` files work."""


class EmbeddedTriton:
    """One Triton server on one home.

    Parameters
    ----------
    home : Home
        Its lock must be held.
    settings : TritonSettings
        Timeouts, threads and CPU precision.
    model_repository : Path
        What it serves.
    supervisor : Supervisor, optional
        Keeps it up; one of its own otherwise.
    """

    def __init__(
        self,
        home: Home,
        settings: TritonSettings,
        model_repository: Path,
        supervisor: Supervisor | None = None,
    ) -> None:
        self.home = home
        self.settings = settings
        self.model_repository = model_repository
        self._own = Supervisor(home) if supervisor is None else None
        self._supervisor = supervisor or self._own
        self._sockets = home.sockets
        self._files: dict[Path, str] = {}

    @property
    def url(self) -> str:
        """Address for `gateway.triton.client.TritonClient`."""
        return f"unix:{self._sockets / SOCKET}:{PORT}"

    async def start(self) -> str:
        """Start the server, wait until every model is loaded, and give its address.

        Raises
        ------
        RuntimeFailure
            When the wheel does not fit this Python, or a model does not load.
        """
        served = served_models(self.model_repository)
        if not served:
            raise RuntimeFailure(f"There is no model in {self.model_repository}.")
        self._files = model_files(self.model_repository, served)
        package = wheel()
        backends = self.make_backends(package)
        supervisor = self._supervisor
        assert supervisor is not None
        await supervisor.start(
            Child(
                name="triton",
                command=self._command(package, backends),
                environ=self._environ(package),
                ready=self._ready,
                start_timeout_seconds=self.settings.start_timeout_seconds,
                stop_timeout_seconds=self.settings.exit_timeout_seconds + 2.0,
                before_start=self._sweep,
                refuse_start=self._refuse_changed_files,
            )
        )
        return self.url

    async def stop(self) -> None:
        """Stop the server when it has no supervisor but its own."""
        if self._own is not None:
            await self._own.stop()

    def _command(self, package: Path, backends: Path) -> list[str]:
        return triton_command(
            program(package / "tritonserver" / "bin" / "tritonserver"),
            self.model_repository,
            backends,
            socket=self._sockets / SOCKET,
            port=PORT,
            exit_timeout_seconds=self.settings.exit_timeout_seconds,
            region_prefix=f"{TRITON_REGION_PREFIX}{self.home.digest}",
            trace_endpoint=self.settings.trace_endpoint,
        )

    def _environ(self, package: Path) -> dict[str, str]:
        """Give the child what it needs and nothing of the caller's secrets."""
        kept = ("HOME", "LANG", "TMPDIR", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            # The stub finds site-packages by the python3 on PATH and ignores PYTHONPATH.
            "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/bin", "/bin"]),
            "LD_LIBRARY_PATH": str(package.parent / "nvidia_pytriton.libs"),
            "PYTHONDONTWRITEBYTECODE": "1",  # __pycache__ in the repository looks like a model
            "OPENVINO_TELEMETRY_DISABLED": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "ONESCAN_BANKS": str(self.home.path / "banks"),
            "_ONESCAN_CPU_PRECISION": self.settings.precision,
            "_ONESCAN_CPU_THREADS": str(self.settings.threads),
        }

    def make_backends(self, package: Path) -> Path:
        """Lay out a backend directory: Triton's Python backend with our Python's stub, and ours."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = package / "tritonserver" / "python_backend_stubs" / version
        if not stub.is_dir():
            raise RuntimeFailure(f"The Triton wheel has no stub for Python {version}.")
        made = self.home.triton / "backends"
        shutil.rmtree(made, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        python = package / "tritonserver" / "backends" / "python"
        shutil.copytree(python, made / "python", ignore=ignored)
        shutil.copy2(stub / "triton_python_backend_stub", made / "python")
        for backend in OUR_BACKENDS.iterdir():
            if (backend / "model.py").is_file():
                shutil.copytree(backend, made / backend.name, ignore=ignored)
        return made

    async def _ready(self) -> bool:
        if not (self._sockets / f"{SOCKET}:{PORT}").exists():
            return False
        async with TritonClient(self.url) as client:
            try:
                return await client.server_ready()
            except ModelError:
                return False

    def _sweep(self) -> None:
        sweep_triton(self.home)
        (self._sockets / f"{SOCKET}:{PORT}").unlink(missing_ok=True)

    def _refuse_changed_files(self) -> None:
        """Refuse weights other than those of the first start.

        Results name the digest that a model had then, and a block that went bad since would
        change them silently.
        """
        for path, digest in self._files.items():
            if not path.is_file() or model_digest(path) != digest:
                raise RuntimeFailure(
                    f"{path} has changed since this server started; "
                    "put it back, or restart the server to take it as it is."
                )


def wheel() -> Path:
    """Find the folder of the ``pytriton`` package without importing it."""
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise RuntimeFailure("nvidia-pytriton is not installed; set ONESCAN_TRITON__URL instead.")
    return Path(spec.origin).parent
