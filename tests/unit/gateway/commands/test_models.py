"""``onescan models``: what is served, what is broken, and what waits for weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.settings import ROOT
from tests.tiny_nets import PANCREAS, write_net


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a repository of one check, whose network has no weights."""
    for name in ("pancreas", "pancreas_net", "ct_preprocess", "ct_postprocess"):
        shutil.copytree(
            ROOT / "model_repository" / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("model.onnx", "__pycache__"),
        )
    monkeypatch.setenv("ONESCAN_TRITON__MODEL_REPOSITORY", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def told(verb: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any], Any]:
    code = main(["models", verb, "--json"])
    said = json.loads(capsys.readouterr().out)
    return code, {model["name"]: model for model in said["models"]}, said["problems"]


def test_a_check_names_the_network_whose_weights_it_waits_for(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own, and nothing else is said to wait."""
    _, models, _ = told("list", capsys)
    assert models["pancreas"]["missing_weights"] == ["pancreas_net"]
    assert models["pancreas_net"]["missing_weights"] == ["pancreas_net"]
    assert models["ct_preprocess"]["missing_weights"] == []
    main(["models", "list"])
    assert "not installed: pancreas_net" in capsys.readouterr().out


def test_missing_weights_are_no_defect(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is served; a file that is there and is no network is one."""
    assert told("verify", capsys)[0] == 0
    (repository / "pancreas_net/1/model.onnx").write_bytes(b"no network")
    code, _, problems = told("verify", capsys)
    assert code == 1
    assert "not a valid ONNX file" in problems["pancreas_net"][0]


def test_with_its_weights_a_check_says_where_they_are_from(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The contract's tensors are those of the file."""
    write_net(PANCREAS, repository / "pancreas_net/1/model.onnx")
    code, models, problems = told("verify", capsys)
    assert (code, problems) == (0, {})
    assert models["pancreas"]["missing_weights"] == []
    assert models["pancreas"]["weights_origin"] == "synthetic phantoms, not for clinical use"
