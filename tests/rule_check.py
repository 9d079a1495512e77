"""A check without a network, and a repository's manifests with it in place of the shipped one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests, read_manifest
from gateway.settings import ROOT

RULE_TOML = Path(__file__).parent / "manifests" / "liver" / "pipeline.toml"


def rule_check() -> Manifest:
    """Give the check ``liver`` as a rule over what anatomy measured."""
    return dataclasses.replace(read_manifest(RULE_TOML), models={})


def manifests_with_rule() -> dict[str, Manifest]:
    """Give anatomy, and ``liver`` as a rule."""
    shipped = load_manifests(ROOT / "model_repository")
    return {"anatomy": shipped["anatomy"], "liver": rule_check()}
