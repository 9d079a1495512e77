"""``onescan models compile`` as the chart's init container calls it, without a GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.settings import ROOT
from tests.served import onescan

TEMPLATE = ROOT / "helm" / "onescan" / "templates" / "pool" / "deployment.yaml"


def chart_s_arguments(values: Mapping[str, str]) -> list[str]:
    """Read the arguments of the init container from the template."""
    text = TEMPLATE.read_text(encoding="utf-8")
    block = text[text.index("- name: compile") :]
    lines = block[block.index("args:") : block.index("env:")].splitlines()[1:]
    words = [line.strip().removeprefix("- ") for line in lines if line.strip()]
    return [
        re.sub(r"\{\{ \.Values\.compile\.(\w+).*?\}\}", lambda m: values[m[1]], word)
        for word in words
    ]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    return {"/var/cache/onescan/engines": str(tmp_path / "cache"), "/models": str(tmp_path / "out")}


def test_without_tensorrt_the_chart_s_call_ends_with_one_sentence(
    folders: dict[str, str], tmp_path: Path
) -> None:
    """Exit code 2, a stable code, and nothing written."""
    asked = chart_s_arguments({"precision": "fp16", "maxBatch": "8"})
    assert asked[:4] == ["models", "compile", "--target", "tensorrt"]
    done = onescan(
        *(folders.get(word, word) for word in asked),
        environ={"ONESCAN_HOME": str(tmp_path / "home"), "ONESCAN_WORKER__CHECKS": "liver,aorta"},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("onescan: ")
    assert line.endswith(" [compile.no_compiler]")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_would_be_compiled(
    folders: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Of the pool's checks and the anatomy, with shapes, and no engine where no GPU is."""
    monkeypatch.setenv("ONESCAN_WORKER__CHECKS", "pancreas")
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path / "home"))
    asked = chart_s_arguments({"precision": "fp32", "maxBatch": "4"})
    words = [folders.get(word, word) for word in asked]
    assert main([*words, "--dry-run", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    told = {row["network"]: row for row in report["networks"]}
    assert set(told) == {"anatomy_net", "pancreas_net"}
    assert told["pancreas_net"]["precision"] == "fp32"
    assert told["pancreas_net"]["max_batch"] == 1
    assert set(told["pancreas_net"]["shapes"]) == {"volume"}
    assert report["machine"] is None
    assert "TensorRT" in report["missing"]


def test_an_unknown_check_is_named_before_anything_else(
    folders: dict[str, str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the worker and Triton of the same pod would."""
    monkeypatch.setenv("ONESCAN_WORKER__CHECKS", "knee")
    asked = chart_s_arguments({"precision": "fp16", "maxBatch": "8"})
    assert main([folders.get(word, word) for word in asked]) == 2
    assert "'knee'" in capfd.readouterr().err
