"""A folder of somebody else: files are taken from within it and from nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.exceptions import NetworkRefusedError

MOST_JSON_BYTES = 64 * 1024**2


def inside(folder: Path, name: str) -> Path:
    """Give a file of the folder.

    Raises
    ------
    NetworkRefusedError
        When it is not there, or the name or a link leads out of the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise NetworkRefusedError(f"{name} leads out of {folder}.")
    if not path.is_file():
        raise NetworkRefusedError(f"{folder} has no {name}.")
    return path


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Read a JSON object of the folder."""
    path = inside(folder, name)
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ValueError
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise NetworkRefusedError(f"{name} is not JSON.") from None
    if not isinstance(value, dict):
        raise NetworkRefusedError(f"{name} is not a JSON object.")
    return value
