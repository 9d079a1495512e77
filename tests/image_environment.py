"""Run ``onescan`` as in an image: what is not installed there cannot be imported.

``python -m tests.image_environment gateway migrate`` runs ``onescan migrate``.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

OURS = {"gateway", "loadtests", "model_repository", "networks", "postprocess", "preprocess"}
"""Packages of the wheel; tests are none of them."""


def image_requirements(image: str) -> list[str]:
    """Ask docker/requirements.py, which the build asks too."""
    script = runpy.run_path(str(ROOT / "docker" / "requirements.py"), run_name="requirements")
    found: list[str] = script["requirements"](image)
    return found


def installed_in(image: str) -> set[str]:
    """Name every distribution of an image: what is asked for, and what that asks for."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(text) for text in image_requirements(image)]
    while waiting:
        one = waiting.pop()
        for extra in ("", *one.extras):
            if (key := (normal(one.name), extra)) in found:
                continue
            found.add(key)
            waiting += [
                needed
                for needed in map(Requirement, _requires(one.name))
                if needed.marker is None or needed.marker.evaluate({"extra": extra})
            ]
    return {name for name, _ in found}


def _requires(name: str) -> Iterable[str]:
    try:
        return requires(name) or ()
    except PackageNotFoundError:
        return ()  # CuPy is not on machines without its GPU


def normal(name: str) -> str:
    """Give the normalised name of a distribution."""
    return re.sub(r"[-_.]+", "-", name).lower()


def absent_modules(image: str) -> set[str]:
    """Name what can be imported here and not in the image."""
    there = installed_in(image)
    return {
        module
        for module, distributions in packages_distributions().items()
        if module not in OURS | {"tests"}
        and module not in sys.stdlib_module_names
        and not {normal(name) for name in distributions} & there
    }


class Without:
    """A finder as it would be in the image: what is absent there is not found."""

    def __init__(self, finder: Any, absent: set[str]) -> None:
        self._finder = finder
        self._absent = absent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find what the image has."""
        if name.partition(".")[0] in self._absent:
            return None
        found: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return found


def main(image: str, arguments: Sequence[str]) -> int:
    """Run one command."""
    absent = absent_modules(image)
    for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
        del sys.modules[name]  # what a .pth file imports at start
    sys.meta_path[:] = [Without(finder, absent) for finder in sys.meta_path]
    from gateway.cli import main as onescan

    return onescan(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
