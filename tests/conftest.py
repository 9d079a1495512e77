"""What every test shares: the report header, the real data, the rule on missing tools."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

GPU = Path("/dev/nvidiactl").exists()
"""Whether the driver of an NVIDIA GPU is here."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-step",
        action="store_true",
        help="Kill a server at every step of the write path, not only at some.",
    )
    parser.addoption(
        "--forbid-missing-tools",
        action="store_true",
        help="A missing tool fails the test that needs it instead of skipping it.",
    )
    parser.addoption(
        "--fuzz-examples",
        type=int,
        default=0,
        help="Requests of each operation in tests/integration/test_api_fuzz.py; 0 is a short run.",
    )


def pytest_report_header() -> list[str]:
    import numpy

    tools = {name: shutil.which(name) or "none" for name in ("strace", "dciodvfy")}
    return [
        f"onescan: python {platform.python_version()}, numpy {numpy.__version__}, "
        f"{os.cpu_count()} cores, GPU {'here' if GPU else 'none: what needs one is deselected'}",
        "tools: " + ", ".join(f"{name} {path}" for name, path in tools.items()),
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a GPU where there is none: it is counted as deselected, not skipped."""
    needs = [] if GPU else [item for item in items if item.get_closest_marker("gpu")]
    if needs:
        config.hook.pytest_deselected(items=needs)
        items[:] = [item for item in items if item not in needs]


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the shell that runs the tests reach no test."""
    for name in list(os.environ):
        if name.startswith("ONESCAN_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real CT, which is never part of the project."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("real CT lies in ../shared/data, which is not here")
    return path


@pytest.fixture(scope="session")
def need_tool(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Find a command-line tool, or skip; with --forbid-missing-tools, fail.

    Not in our own environment: pynetdicom installs commands there by the names of dcmtk's.
    """
    own = Path(sys.prefix) / "bin"
    path_without_own = os.pathsep.join(
        folder for folder in os.get_exec_path() if Path(folder) != own
    )

    def find(name: str) -> str:
        path = shutil.which(name, path=path_without_own)
        if path is None:
            message = f"the tool {name} is not installed"
            if request.config.getoption("--forbid-missing-tools"):
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find


@pytest.fixture
def short_home() -> Iterator[Path]:
    """A private folder with a short path, as an embedded server's home."""
    import tempfile

    from gateway.runtime.home import discard

    path = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    yield path
    discard(path)
