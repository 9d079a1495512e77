"""Run a module of ``networks`` in a process of its own: the gateway imports no torch.

The process gets none of the gateway's secrets, since what others bring may be code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from gateway.exceptions import OneScanError, RuntimeFailure
from gateway.settings import ROOT

KEPT = (
    "CUDA_VISIBLE_DEVICES", "HOME", "LANG", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES", "PATH",
    "TMPDIR",
)  # fmt: skip
"""Of the environment."""


def run_networks(module: str, arguments: Sequence[str]) -> Any:
    """Run it, its lines on our stderr, and give its result.

    Parameters
    ----------
    module : str
        Such as ``networks.compile``; it tells its result as `networks.told` does.
    arguments : sequence of str

    Raises
    ------
    OneScanError
        The error that it tells, of the class that has its code.
    RuntimeFailure
        When it ends without a word.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    done = subprocess.run(
        # -P: no module is taken from the folder that the command happens to run in
        [sys.executable, "-P", "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        },
        check=False,
    )
    try:
        told = json.loads(done.stdout)
    except ValueError:
        raise RuntimeFailure(
            f"{module} ended with exit code {done.returncode} and without a result."
        ) from None
    if error := told.get("error"):
        raise _error(error["code"], error["message"])
    return told["result"]


def _error(code: str, message: str) -> OneScanError:
    for kind in _kinds(OneScanError):
        if kind.code == code:
            return kind(message)
    return RuntimeFailure(message)


def _kinds(kind: type[OneScanError]) -> Iterator[type[OneScanError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)
