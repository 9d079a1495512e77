"""Triton in a pod beside its worker: the process that becomes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from gateway.runtime.janitor import TRITON_REGION_PREFIX, sweep_regions

REGION_PREFIX = f"{TRITON_REGION_PREFIX}pod-"
"""Of the stubs' regions; a pod has one Triton and a ``/dev/shm`` of its own."""

OURS = ("DATABASE_URL", "ONESCAN_")
"""What Triton and the models' Python need not know."""


def become_triton(command: list[str], *, socket: Path, restart_file: str, banks: Path) -> NoReturn:
    """Take away what a killed Triton left, and replace this process by a new one.

    Parameters
    ----------
    command : list of str
        Of `gateway.runtime.triton_command.triton_command`.
    socket : Path
        Where it will listen.
    restart_file : str
        By which its restart was asked for; empty for none.
    banks : Path
        Folder of the site's own tile banks.
    """
    sweep_regions(REGION_PREFIX)
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    if restart_file:
        Path(restart_file).unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    os.execve(
        command[0],
        command,
        {
            **kept,
            "PYTHONDONTWRITEBYTECODE": "1",  # __pycache__ in the repository looks like a model
            "ONESCAN_BANKS": str(banks),
        },
    )
