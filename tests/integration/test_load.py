"""``python -m loadtests.load`` against a server that runs: users, correctness, verdict, report."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.runtime.ports import free_port
from gateway.settings import ROOT
from tests.served import Served, serving

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.slow]

MODELS = ("anatomy", "anatomy_net", "ct_preprocess", "ct_postprocess")
CHECKS = ("aorta", "liver")

SEED = 1
"""Draws a study for each of the three lanes, by both ways, and a radiologist's visit."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, int]]:
    """Two checks, a DIMSE listener, and room for one request at a time, so that it refuses."""
    repository = tmp_path_factory.mktemp("models")
    for name in (*MODELS, *CHECKS, *(f"{check}_net" for check in CHECKS)):
        shutil.copytree(ROOT / "model_repository" / name, repository / name)
    port = free_port("127.0.0.1")
    with serving(
        TRITON__MODEL_REPOSITORY=str(repository),
        DIMSE__PORT=str(port),
        DIMSE__OPEN_TENANT="default",
        API__REQUEST_LIMIT="1",
    ) as served:
        yield served, port


@pytest.fixture(scope="module")
def run(
    server: tuple[Served, int], tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The smoke profile once; gives what it said and the folder that it wrote to."""
    served, port = server
    folder = tmp_path_factory.mktemp("load")
    named = ("--url", served.url, "--key", served.key, "--dimse", f"127.0.0.1:{port}")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "loadtests.load", "smoke", *named),
            *("--seed", str(SEED), "--report", str(folder / "report.html")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done, folder


def found(folder: Path) -> dict[str, Any]:
    """What the users met."""
    kept: dict[str, Any] = json.loads((folder / "found.json").read_text())["found"]
    return kept


def test_every_target_is_met(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """And the exit code and the last word say so."""
    done, folder = run
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("MISSED") == 0
    assert "PASS" in done.stdout
    assert "Pass: all" in (folder / "report.html").read_text()


def test_every_study_went_its_way(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """Of each lane, by STOW-RS and by C-STORE; each moment is told, in order."""
    studies = found(run[1])["studies"]
    assert {study["lane"] for study in studies} == {"stat", "routine", "backfill"}
    assert {study["way"] for study in studies} == {"stow", "dimse"}
    for study in studies:
        assert study["outcome"] == "finished"
        assert study["due"] <= study["begun"] < study["acknowledged"] < study["accepted"]
        assert study["acknowledged"] < study["aorta"] <= study["ended"] <= study["fetched"]


def test_a_refusal_is_obeyed_and_counted_apart(
    run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """A server that takes one request at a time refuses a browser that wants three slices."""
    refusals = found(run[1])["refusals"]
    assert {status for _, _, status in refusals} == {429}
    assert found(run[1])["errors"] == found(run[1])["wrong_answers"] == []


def test_a_radiologist_has_looked(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    """At the list, a study, its files, and three planes of slices."""
    names = {page["name"] for page in found(run[1])["pages"]}
    assert {"worklist", "study page", "file", "slice", "worklist renewed"} <= names


def test_the_key_stays_nowhere(
    run: tuple[subprocess.CompletedProcess[str], Path], server: tuple[Served, int]
) -> None:
    """Neither in what was said nor in what was written."""
    done, folder = run
    key = server[0].key
    assert key not in done.stdout + done.stderr
    assert not any(key in path.read_text() for path in folder.iterdir())
