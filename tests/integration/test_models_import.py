"""A ninth CT check from nothing but an ONNX file and a pipeline.toml, by the real Triton."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.intake.folders import collect
from gateway.runtime.home import Home
from gateway.runtime.triton import EmbeddedTriton
from gateway.screening.findings import CheckResult
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.screener import Request, screen_study
from gateway.settings import ROOT, Settings, TritonSettings
from gateway.triton.client import TritonClient
from networks.bring.run import bring
from networks.phantoms.study import make_study
from tests.brought_nets import SPLEEN, write_onnx_text

pytestmark = pytest.mark.triton

PIPELINE = ROOT / "tests" / "manifests" / "spleen" / "pipeline.toml"


def ct_checks(repository: Path) -> set[str]:
    manifests = load_manifests(repository).values()
    return {m.name for m in manifests if m.is_check and "CT" in m.needs.modality}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the repository; of the weights only anatomy's, so that it starts quickly."""
    folder = tmp_path_factory.mktemp("models") / "repository"
    shutil.copytree(ROOT / "model_repository", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for weights in folder.glob("*/1/model.onnx"):
        if weights.parents[1].name != "anatomy_net":
            weights.unlink()
    return folder


@pytest.fixture(scope="module")
def brought(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Bring the check in by the command line."""
    folder = tmp_path_factory.mktemp("theirs")
    network = write_onnx_text(SPLEEN, folder / "calcifications.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONESCAN_TRITON__MODEL_REPOSITORY", str(repository))
        assert len(ct_checks(repository)) == 8
        words = ["models", "import", str(network), "--pipeline", str(PIPELINE)]
        assert main(words) == 0
    told = {"checks": ct_checks(repository), "network": network}
    lower = write_onnx_text(SPLEEN.replace("{0.9}", "{0.45}"), folder / "everything.onnx")
    bring(lower, PIPELINE, repository, name="milt")
    return told


def test_it_is_the_ninth(brought: dict[str, Any]) -> None:
    """Nothing but those two files was needed."""
    assert len(brought["checks"]) == 9
    assert "spleen" in brought["checks"]


async def screened(repository: Path, folder: Path, home_folder: Path) -> dict[str, CheckResult]:
    """Screen a study by the real Triton, asked for what was brought."""
    settings = Settings(home=home_folder)
    home = Home(home_folder)
    results: dict[str, CheckResult] = {}

    async def keep(result: CheckResult) -> None:
        results[result.check] = result

    with home.lock(), collect([folder], settings=settings.intake) as found:
        server = EmbeddedTriton(home, TritonSettings(), repository)
        try:
            async with TritonClient(await server.start()) as triton:
                await screen_study(
                    found.instances,
                    found.objects,
                    Request(checks=["spleen", "milt"]),
                    manifests=load_manifests(repository),
                    triton=triton,
                    settings=settings,
                    on_result=keep,
                )
        finally:
            await server.stop()
    return results


async def test_it_screens_a_phantom(
    repository: Path, brought: dict[str, Any], tmp_path: Path, short_home: Path
) -> None:
    """Anatomy finds the spleen, the network sees its box, and what it says is the state.

    The second one calls a lesion from 20 HU on what the first does from 220 HU on.
    """
    make_study(tmp_path / "s", seed=41, matrix=192, increment_mm=4.0, series=("thin",))
    results = await screened(repository, tmp_path / "s", short_home)
    calm, alarmed = results["spleen"], results["milt"]
    assert (calm.state, calm.reason) == ("negative", None)
    assert calm.measures["probability"] < 0.6
    assert 0 < (calm.measures["median_hu"] or 0) < 60  # soft tissue, as the network has it
    assert not calm.lesions
    assert calm.provenance["weights_origin"] == "a hospital's own"
    assert set(calm.provenance["models"]) == {"anatomy_net", "spleen_net"}
    assert (alarmed.state, alarmed.reason) == ("positive", None)
    assert alarmed.measures["probability"] > 0.99
    assert alarmed.lesions
    assert all(lesion["hu"]["mean"] > 20 for lesion in alarmed.lesions)


def test_a_repository_of_one_s_own_is_asked_for(
    brought: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Never the package's: neither by default nor by name."""
    words = ["models", "import", str(brought["network"]), "--pipeline", str(PIPELINE)]
    assert main(words) == 2
    assert "ONESCAN_TRITON__MODEL_REPOSITORY" in capfd.readouterr().err
    monkeypatch.setenv("ONESCAN_TRITON__MODEL_REPOSITORY", str(ROOT / "model_repository"))
    assert main(words) == 2
    assert "came with this package" in capfd.readouterr().err
    assert not (ROOT / "model_repository" / "spleen").exists()


def test_a_refusal_is_one_sentence_with_its_code(
    repository: Path, brought: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """From the process that reads the network, exit code 2."""
    monkeypatch.setenv("ONESCAN_TRITON__MODEL_REPOSITORY", str(repository))
    words = ["models", "import", str(brought["network"]), "--pipeline", str(PIPELINE)]
    assert main([*words, "--json"]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("onescan: ")
    assert "has 'spleen_net' already" in line
    assert line.endswith("[import.refused]")
