"""``onescan triton``: a Triton server over our model repository, as a pod's sidecar."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "triton"
HELP = "run tritonserver over the model repository on a Unix socket; the entry point of its image"

SERVERS = ("tritonserver", "/opt/tritonserver/bin/tritonserver")
"""Where the program is looked for; the second is the official image's."""

PORT = 8001
"""Only part of the socket's name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the socket and what an image may have elsewhere."""
    parser.add_argument(
        "--socket",
        type=Path,
        default=Path("/run/onescan/triton"),
        help="Unix socket without its ':PORT' (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=PORT, help="last part of its name (default: %(default)s)"
    )
    parser.add_argument(
        "--metrics-port", type=int, default=0, help="Triton's own /metrics; 0 has none (default)"
    )
    parser.add_argument("--server", help="the tritonserver program (default: found on PATH)")
    parser.add_argument(
        "--backend-directory",
        type=Path,
        help="Triton's backends (default: beside the program)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="print the command, one argument a line, and stop"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Clean up after the last one and become Triton; returns only from a dry run."""
    from gateway.runtime.sidecar import REGION_PREFIX, become_triton
    from gateway.runtime.triton_command import triton_command
    from gateway.screening.manifest_reader import load_manifests
    from gateway.worker.pool import Pool

    server = _server(args.server)
    repository = settings.model_repository
    pool = Pool.of(settings.worker, load_manifests(repository))
    command = triton_command(
        server,
        repository,
        args.backend_directory or Path(server).resolve().parent.parent / "backends",
        socket=args.socket,
        port=args.port,
        exit_timeout_seconds=settings.triton.exit_timeout_seconds,
        region_prefix=REGION_PREFIX,
        metrics_port=args.metrics_port,
        checks=pool.checks if pool.restricted else None,
        trace_endpoint=settings.triton.trace_endpoint,
    )
    if args.dry_run:
        print("\n".join(command))
        return 0
    become_triton(
        command,
        socket=Path(f"{args.socket}:{args.port}"),
        restart_file=settings.triton.restart_file,
        banks=settings.home / "banks",
    )


def _server(asked: str | None) -> str:
    names = (asked,) if asked else SERVERS
    for name in names:
        if (found := shutil.which(name)) is not None:
            return found
    raise UsageError(f"There is no program {' or '.join(names)}.")
