"""The version of what code draws: a digest of a module and of all of ours that it imports."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DIGITS = 12
"""Hexadecimal digits of a digest that are kept."""


def sources(*modules: str) -> dict[str, Path]:
    """Return the files of some modules and of all modules under `networks` that they import.

    Parameters
    ----------
    modules : str
        Dotted names. What is imported by a name computed at run time is not found.

    Returns
    -------
    dict
        Dotted name → file, sorted by name.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += _imported(path)
    return dict(sorted(found.items()))


def digest(*modules: str) -> str:
    """Return a digest of the `sources` of some modules."""
    text = hashlib.sha256()
    for name, path in sources(*modules).items():
        text.update(name.encode() + b"\0" + path.read_bytes())
    return text.hexdigest()[:DIGITS]


@cache
def _file(name: str) -> Path | None:
    """Return the file of a module under `networks`; None for another, or for none."""
    if name.split(".")[0] != "networks":
        return None
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _imported(path: Path) -> list[str]:
    """Return the names that a file imports, and each name imported from them, as modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names
