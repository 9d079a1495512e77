"""The check of another modality is a network, an ensemble and a manifest: nothing else knows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
WORDS = re.compile(r"bone[ _-]?age|boneage|骨龄", re.IGNORECASE)


@pytest.mark.parametrize("package", ["gateway", "preprocess", "postprocess"])
def test_no_code_of_the_service_knows_the_check(package: str) -> None:
    """Neither by name nor by what it measures."""
    files = [
        path
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".so")
    ]
    assert files
    assert not [path for path in files if WORDS.search(path.read_text("utf-8", "ignore"))]


def test_the_models_that_serve_every_check_do_not_know_it_either() -> None:
    """What they do is the recipe's."""
    for name in ("ct_preprocess", "ct_postprocess"):
        for path in (REPOSITORY / name).rglob("*.p*"):
            if path.suffix in (".py", ".pbtxt"):
                assert not WORDS.search(path.read_text("utf-8"))


def test_its_own_files_hold_no_code() -> None:
    """An ensemble with its manifest; a network with its configuration, card and figures."""

    def files(name: str) -> set[str]:
        folder = REPOSITORY / name
        return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}

    assert files("bone_age") == {"config.pbtxt", "pipeline.toml", "1/.gitkeep"}
    assert files("bone_age_net") == {"config.pbtxt", "README.md", "figures.json", "1/model.onnx"}
