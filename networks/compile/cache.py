"""Engines on disk, found by the digest of their key: a folder each, readable beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.exceptions import OtherEngineError
from networks.compile.key import Key, Machine

PLAN = "model.plan"
TOLD = "engine.json"
"""Key, parity and the plan's own digest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an engine."""

    told: dict[str, Any]
    """As it stands in `TOLD`."""

    plan: Path | None
    """The engine; None where it answers otherwise than ONNX Runtime, so that it is not tried
    again."""


class Cache:
    """A folder of engines; several machines may share it.

    Parameters
    ----------
    folder : Path
        Made when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def lock(self, key: Key) -> Path:
        """Give the file of an engine's lock."""
        return self.folder / f"{key.digest()}.lock"

    def find(self, key: Key) -> Entry | None:
        """Find an engine; None where there is none, or where it is damaged.

        Raises
        ------
        OtherEngineError
            When what lies there was made for another machine or another network.
        """
        folder = self.folder / key.digest()
        try:
            told = json.loads((folder / TOLD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        check_engine(told, key.machine, str(folder))
        if told.get("key") != key.told():
            raise OtherEngineError(f"{folder} holds an engine of another network or other shapes.")
        if told.get("plan") is None:
            return Entry(told, None)
        plan = folder / PLAN
        if not plan.is_file() or file_digest(plan) != told["plan"]:
            return None
        return Entry(told, plan)

    def keep(self, key: Key, engine: bytes | None, parity: dict[str, Any]) -> Entry:
        """Keep an engine, or that there is none worth keeping; its lock must be held."""
        name = key.digest()
        for left in self.folder.glob(f".{name}-*"):
            shutil.rmtree(left, ignore_errors=True)  # of one that was killed
        part = self.folder / f".{name}-{os.getpid()}"
        part.mkdir()
        plan = None if engine is None else hashlib.sha256(engine).hexdigest()
        told = {"key": key.told(), "digest": name, "plan": plan, "parity": parity}
        if engine is not None:
            write_durably(part / PLAN, engine)
        write_durably(part / TOLD, readable(told))
        folder = self.folder / name
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
        return Entry(told, None if engine is None else folder / PLAN)


def check_engine(told: Any, machine: Machine, where: str) -> None:
    """Refuse an engine of another machine in one sentence.

    Raises
    ------
    OtherEngineError
        Naming both.
    """
    try:
        made = Machine(**told["key"]["machine"])
    except (KeyError, TypeError):
        raise OtherEngineError(f"{where} does not say for which machine it was made.") from None
    if made != machine:
        raise OtherEngineError(f"The engine in {where} is for {made}; here is {machine}.")


def readable(value: Any) -> bytes:
    """Write JSON for people."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def write_durably(path: Path, data: bytes) -> None:
    """Write a file, and have it on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
