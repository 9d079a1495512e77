"""The command line of a Triton server over our model repository, embedded or in a pod."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gateway.runtime.triton_traces import trace_options
from gateway.triton.repository import networks_of, networks_without_weights, read_config

ANATOMY = "anatomy"
"""What every check begins with."""

STUB_TIMEOUT_SECONDS = 60
"""For one stub to import and initialise; loading OpenVINO on a busy laptop takes several."""

SHM_BYTES = 1024**2
"""First size and growth step of one stub's region; tensors make it grow as needed."""


def triton_command(
    server: str,
    model_repository: Path,
    backend_directory: Path,
    *,
    socket: Path,
    port: int,
    exit_timeout_seconds: int,
    region_prefix: str,
    metrics_port: int = 0,
    checks: Collection[str] | None = None,
    trace_endpoint: str = "",
) -> list[str]:
    """Give the arguments, the program first.

    Parameters
    ----------
    server : str
        The ``tritonserver`` program.
    model_repository, backend_directory : Path
        What it serves, and with what.
    socket : Path
        gRPC listens on the Unix socket ``<socket>:<port>`` and nowhere else.
    port : int
        Only part of the socket's name.
    exit_timeout_seconds : int
        For requests in hand after SIGTERM.
    region_prefix : str
        Of the Python stubs' own regions in ``/dev/shm``.
    metrics_port : int
        Port of Triton's own ``/metrics`` on all addresses; 0 has none.
    checks : collection of str, optional
        Only the models of these; None is all.
    trace_endpoint : str
        Where its spans go; see `gateway.runtime.triton_traces`.
    """
    python = {
        "shm-region-prefix-name": region_prefix,
        "shm-default-byte-size": SHM_BYTES,
        "shm-growth-byte-size": SHM_BYTES,
        "stub-timeout-seconds": STUB_TIMEOUT_SECONDS,
    }
    models = served_models(model_repository, checks)
    metrics = [f"--metrics-port={metrics_port}", "--metrics-address=0.0.0.0"]
    return [
        server,
        f"--model-repository={model_repository}",
        f"--backend-directory={backend_directory}",
        # Explicit, at start only: a check that is a rule has a folder but no model, and
        # Triton would refuse to start over it.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in models),
        "--strict-readiness=true",
        # Saves a stub a model and seconds of starting; the file is the truth then.
        *(["--disable-auto-complete-config"] if _complete(model_repository, models) else []),
        "--exit-on-error=true",
        f"--exit-timeout-secs={exit_timeout_seconds}",
        "--allow-http=false",
        f"--allow-metrics={'true' if metrics_port else 'false'}",
        *(metrics if metrics_port else []),
        "--allow-grpc=true",
        f"--grpc-address=unix:{socket}",
        f"--grpc-port={port}",
        "--log-verbose=0",
        "--log-format=ISO8601",
        *trace_options(trace_endpoint),
        *(f"--backend-config=python,{name}={value}" for name, value in python.items()),
    ]


def served_models(model_repository: Path, checks: Collection[str] | None = None) -> list[str]:
    """List the folders of a repository that hold a model: a configuration or a version.

    Networks whose weights are not here are left out, and so are the ensembles over them: their
    checks are not evaluated, and the others are served.

    Parameters
    ----------
    model_repository : Path
        One folder a model.
    checks : collection of str, optional
        Only what these and the anatomy need; None is everything.
    """
    if not model_repository.is_dir():
        return []
    names = {
        folder.name
        for folder in model_repository.iterdir()
        if folder.is_dir()
        and ((folder / "config.pbtxt").is_file() or any(folder.glob("[1-9]*/model.*")))
    }
    configs = {
        name: read_config(path)
        for name in names
        if (path := model_repository / name / "config.pbtxt").is_file()
    }
    missing = networks_without_weights(model_repository)
    for name, config in configs.items():
        steps = {step.model_name for step in config.ensemble_scheduling.step}
        if steps & missing:
            missing = missing | {name}
    served = names - missing
    return sorted(served if checks is None else served & _needed(model_repository, configs, checks))


def _needed(
    model_repository: Path, configs: Mapping[str, Any], checks: Collection[str]
) -> set[str]:
    """Follow checks and anatomy to the steps of their ensembles and to their networks."""
    needed: set[str] = set()
    follow = {ANATOMY, *checks}
    while follow:
        name = follow.pop()
        needed.add(name)
        steps = configs[name].ensemble_scheduling.step if name in configs else ()
        follow |= {step.model_name for step in steps} - needed
        follow |= set(networks_of(model_repository / name)) - needed
    return needed


def _complete(model_repository: Path, models: Collection[str]) -> bool:
    """Tell whether every configuration names its inputs and outputs."""
    paths = [model_repository / name / "config.pbtxt" for name in models]
    return all(
        path.is_file() and (config := read_config(path)).input and config.output for path in paths
    )
