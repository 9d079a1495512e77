"""The house's walls: who may import whom, stated as absences."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imported(path: Path) -> set[str]:
    """Every module that a file imports, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def offenders(paths: list[Path], *forbidden: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in paths
        for name in sorted(imported(path))
        if any(name == word or name.startswith(word + ".") for word in forbidden)
    ]


@pytest.mark.parametrize("package", ["preprocess", "postprocess"])
def test_array_code_knows_no_service(package: str) -> None:
    """Array code imports no web framework, no Triton, no DICOM, nothing of the gateway."""
    paths = sources(package)
    assert paths
    assert not offenders(
        paths, "aiohttp", "tritonclient", "pydicom", "gateway", "networks", "torch", "psycopg"
    )


def test_only_the_triton_package_imports_tritonclient() -> None:
    """Everyone else speaks to Triton through gateway.triton."""
    paths = [p for p in sources("gateway", "networks") if "triton" not in p.parts]
    assert paths
    assert not offenders(paths, "tritonclient")


def test_nothing_in_the_gateway_imports_torch() -> None:
    """The service runs networks through Triton, never in its own process."""
    assert not offenders(sources("gateway"), "torch", "networks.train", "networks.unet")


def test_phantoms_need_no_torch() -> None:
    """`onescan phantom` and `onescan demo` run from the wheel, which brings no torch."""
    assert not offenders(sources("networks/phantoms"), "torch")


def test_handlers_touch_no_pixels() -> None:
    """The api never decodes: it has no array library at all."""
    assert not offenders(sources("gateway/api"), "numpy", "pydicom", "gateway.study.decode")


def test_pages_are_only_written() -> None:
    """gateway/ui gives text: it serves nothing, asks no database and touches no pixels."""
    assert sources("gateway/ui")
    assert not offenders(
        sources("gateway/ui"), "aiohttp", "psycopg", "numpy", "gateway.api", "gateway.commands"
    )


def test_data_flows_one_way() -> None:
    """Later rooms know earlier ones, never the other way round."""
    order = ["intake", "store", "study", "screening", "results"]
    found = []
    for index, room in enumerate(order):
        later = [f"gateway.{name}" for name in order[index + 1 :]]
        if room == "intake":
            later.remove("gateway.store")  # intake writes what it reads into the store
        found += offenders(
            sources(f"gateway/{room}"),
            *later,
            "gateway.api",
            "gateway.commands",
            "gateway.runtime",
            "gateway.cli",
        )
    assert not found


def test_dimse_knows_intake_and_store_only() -> None:
    """Beside the api: it takes instances in, and nobody but a command asks it to."""
    behind = ("study", "screening", "results", "api", "commands", "runtime", "worker", "triton")
    assert sources("gateway/dimse")
    assert not offenders(sources("gateway/dimse"), *(f"gateway.{room}" for room in behind))
    rooms = ("api", "intake", "store", "study", "screening", "results", "runtime")
    assert not offenders(sources(*(f"gateway/{room}" for room in rooms)), "gateway.dimse")


def test_rules_of_review_know_no_database() -> None:
    """They are told what was said, and say what follows from it."""
    assert sources("gateway/review")
    rooms = ("api", "intake", "results", "store", "ui", "worker")
    assert not offenders(
        sources("gateway/review"), "aiohttp", "psycopg", *(f"gateway.{room}" for room in rooms)
    )


def test_only_the_cluster_package_imports_kubernetes() -> None:
    """Everyone else speaks to the cluster through gateway.cluster, which knows no other room."""
    assert sources("gateway/cluster")
    others = [p for p in sources("gateway") if "cluster" not in p.parts]
    assert not offenders(others, "kubernetes")
    rooms = ("api", "commands", "dimse", "intake", "runtime", "screening", "store", "triton")
    assert not offenders(
        sources("gateway/cluster"), "gateway.worker", *(f"gateway.{room}" for room in rooms)
    )


def test_model_py_files_only_translate() -> None:
    """A model.py has no arithmetic operator outside slices and string building."""
    paths = [
        *sorted((ROOT / "model_repository").glob("*/*/model.py")),
    ]
    assert paths
    found = []
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr | ast.Add):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_nothing_but_settings_reads_the_environment() -> None:
    """Settings are read once at start-up and passed in; the command line hands them over."""
    allowed = {"gateway/cli.py", "gateway/settings.py"}
    found = []
    for path in sources("gateway", "preprocess", "postprocess"):
        name = str(path.relative_to(ROOT))
        if name in allowed or name.startswith("gateway/runtime/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                found.append(f"{name}:{node.lineno}")
    assert not found
