"""A check without a network, and a repository's manifests with it in place of the shipped one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests, read_manifest
from gateway.settings import ROOT

RULE_TOML = Path(__file__).parent / "manifests" / "liver" / "pipeline.toml"


def write_rule_repository(folder: Path) -> Path:
    """Write a model repository of anatomy's manifest and that check; no model is in it."""
    for path in (ROOT / "model_repository" / "anatomy" / "pipeline.toml", RULE_TOML):
        (folder / path.parent.name).mkdir(parents=True)
        shutil.copy(path, folder / path.parent.name)
    return folder


def write_network_check(folder: Path, name: str) -> None:
    """Add a check with a network of its own, whose weights are a few bytes.

    Its one score is ``pdff_percent``, with the thresholds of the rule.
    """
    anatomy = (folder / "anatomy" / "pipeline.toml").read_text()
    recipe = anatomy[anatomy.index("[recipe]") : anatomy.index("# The contrast gate")]
    text = RULE_TOML.read_text()
    text = text.replace('name = "liver"\n', f'name = "{name}"\n', 1)
    text = text.replace('kind = "rule"', f'kind = "network"\nensemble = "{name}"', 1)
    text = text.replace("schema = 1", 'schema = 1\nscores = ["pdff_percent"]', 1)
    text = text.replace('model = "anatomy_net"', f'model = "{name}_net"', 1)
    rule = text[text.index("[rule]") : text.index("[[measures]]")]
    (folder / name).mkdir()
    (folder / name / "pipeline.toml").write_text(text.replace(rule, recipe, 1))
    (folder / f"{name}_net" / "1").mkdir(parents=True)
    (folder / f"{name}_net" / "1" / "model.onnx").write_bytes(b"weights")


def rule_check() -> Manifest:
    """Give the check ``liver`` as a rule over what anatomy measured."""
    return dataclasses.replace(read_manifest(RULE_TOML), models={})


def manifests_with_rule() -> dict[str, Manifest]:
    """Give anatomy, and ``liver`` as a rule."""
    shipped = load_manifests(ROOT / "model_repository")
    return {"anatomy": shipped["anatomy"], "liver": rule_check()}
