"""A whole model repository of engines: each model appears at once or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.exceptions import UsageError
from networks.compile.cache import PLAN, TOLD, readable, write_durably
from networks.compile.lock import one_at_a_time

REPORT = "compile.json"
"""A plain file at the root; Triton takes only folders for models."""

LINKED_BYTES = 256 * 1024
"""Larger files are linked, where source and output lie on one file system."""

LOCK = "compile.lock"

STAGING = ".staging-"

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.part", "*.pyc")


@dataclass(frozen=True, slots=True)
class Change:
    """What is otherwise in a network's folder."""

    config: str
    plan: Path | None = None
    told: Mapping[str, Any] | None = None
    """Of the engine, for ``engine.json``."""

    plan_file: str = PLAN
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What else lies beside the engine."""


def write_repository(
    source: Path,
    output: Path,
    changes: Mapping[str, Change],
    report: Mapping[str, Any],
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Copy a repository with some networks changed; its ``model.onnx`` stay beside the engines.

    Results are traced to the digest of ``model.onnx``, and so is a memory bank.

    Parameters
    ----------
    source : Path
        A model repository.
    output : Path
        Made when missing; a mount point is fine. Models that an earlier run wrote there and
        that the source no longer has are removed, others are left alone.
    changes : mapping
        Network → what is otherwise.
    report : mapping
        Written as `REPORT` when all models are there.
    tell : callable
        Takes a sentence when another process writes there.
    """
    check_places(source, output)
    output.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(output / LOCK, tell=tell):
        _write(source, output, changes, report)


def _write(
    source: Path, output: Path, changes: Mapping[str, Change], report: Mapping[str, Any]
) -> None:
    for left in output.glob(f"{STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    staging = output / f"{STAGING}{os.getpid()}"
    staging.mkdir()
    names = sorted(path.name for path in source.iterdir() if _is_model(path))
    try:
        for name in names:
            made = staging / name
            shutil.copytree(source / name, made, ignore=LEFT_OUT, copy_function=_link_or_copy)
            if change := changes.get(name):
                _apply(made, change)
            _swap(made, output / name, staging / f"{name}.old")
        for name in sorted(_earlier(output) - set(names)):
            shutil.rmtree(output / name, ignore_errors=True)
        part = output / f"{REPORT}.part"
        write_durably(part, readable({**report, "models": names}))
        part.replace(output / REPORT)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_places(source: Path, output: Path) -> None:
    """Refuse an output that is the source, or lies in it.

    Raises
    ------
    UsageError
        Naming both.
    """
    if output.resolve() == source.resolve() or source.resolve() in output.resolve().parents:
        raise UsageError(f"--output {output} lies in the repository {source} that is read.")


def _is_model(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name != "__pycache__"


def _apply(folder: Path, change: Change) -> None:
    config = folder / "config.pbtxt"
    config.unlink()  # it may be linked, and is not written through
    config.write_text(change.config, encoding="utf-8")
    if change.plan is None or change.told is None:
        return
    version = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    shutil.copyfile(change.plan, version / change.plan_file)
    for name, data in change.files.items():
        (version / name).write_bytes(data)
    (folder / TOLD).write_bytes(readable(change.told))


def _swap(made: Path, place: Path, aside: Path) -> None:
    if place.exists():
        place.rename(aside)
    made.rename(place)
    shutil.rmtree(aside, ignore_errors=True)


def _link_or_copy(source: str, target: str) -> str:
    if os.stat(source).st_size > LINKED_BYTES:
        try:
            os.link(source, target)
        except OSError:  # another file system, or one where others' files are not linked
            pass
        else:
            return target
    return str(shutil.copy2(source, target))


def _earlier(output: Path) -> set[str]:
    try:
        told = json.loads((output / REPORT).read_text(encoding="utf-8"))
        names = {str(name) for name in told["models"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if name == Path(name).name and _is_model(output / name)}
