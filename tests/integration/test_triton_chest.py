"""The chest through the real Triton, with a tiny network of the same tensors and a tiny bank."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.exceptions import ModelError
from gateway.runtime.home import Home
from gateway.runtime.triton import EmbeddedTriton
from gateway.screening.manifest_reader import read_manifest
from gateway.settings import ROOT, TritonSettings
from gateway.triton.client import Inference, TritonClient
from gateway.triton.shared_memory import SharedVolume
from networks.phantoms.chest_labels import LABEL_NAMES
from tests.chest_bank import tiny_bank, write_bank
from tests.tiny_nets import CHEST, write_net

pytestmark = pytest.mark.triton

REPOSITORY = ROOT / "model_repository"

NET = "chest_net"

GEOMETRY = np.array(
    [[0, 0, 1.5, -48], [0, 1.5, 0, -36], [1.5, 0, 0, 200], [0, 0, 0, 1]], np.float64
)
"""The grid of the network, so that tiles are exact."""

SHAPE = (40, 48, 64)


@dataclass
class Chest:
    """The ensemble, its repository, and the home in which a site keeps its own bank."""

    runner: asyncio.Runner
    url: str
    home: Path
    repository: Path

    def ask(self, hu: NDArray[np.int16]) -> Inference:
        """Ask as the gateway does."""
        recipe = read_manifest(REPOSITORY / "chest" / "pipeline.toml").recipe_json
        assert recipe is not None

        async def go(volume: SharedVolume) -> Inference:
            async with TritonClient(self.url) as client:
                return await client.infer(
                    "chest",
                    source=volume.source(),
                    geometry=GEOMETRY,
                    roi=np.array([0, SHAPE[0], 0, SHAPE[1], 0, SHAPE[2]], np.int32),
                    recipe=recipe,
                    timeout_seconds=60.0,
                )

        with SharedVolume.create(SHAPE, home=self.home) as volume:
            volume.array[:] = hu
            return self.runner.run(go(volume))


@pytest.fixture(scope="module")
def chest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chest]:
    """Serve the check as it stands, but for weights and bank."""
    repository = tmp_path_factory.mktemp("repository")
    for name in ("ct_preprocess", "ct_postprocess", "chest"):
        shutil.copytree(REPOSITORY / name, repository / name)
    (repository / NET).mkdir()
    shutil.copy(REPOSITORY / NET / "config.pbtxt", repository / NET)
    write_net(CHEST, repository / NET / "1" / "model.onnx")
    write_bank(repository / NET, tiny_bank())
    home_folder = tmp_path_factory.mktemp("home")
    home = Home(home_folder)
    server = EmbeddedTriton(home, TritonSettings(), repository)
    with asyncio.Runner() as runner, home.lock():
        try:
            yield Chest(runner, runner.run(server.start()), home_folder, repository)
        finally:
            runner.run(server.stop())


def lungs() -> NDArray[np.int16]:
    """Give air at −1024 HU and a block of 512 HU that fills one tile: 0.75 of the window."""
    hu = np.full(SHAPE, -1024, np.int16)
    hu[16:32, 32:48, 48:64] = 512
    return hu


def test_the_bank_reaches_the_network_and_each_label_has_a_probability_and_a_tile(
    chest: Chest,
) -> None:
    """24 tiles of the bank have a label each; all others are not evaluated, which is null."""
    found = chest.ask(lungs())
    measures = found.lesions["measures"]
    held = [name for name in LABEL_NAMES if measures[name] is not None]
    assert held == list(LABEL_NAMES[:24])
    assert measures["mass"] == pytest.approx(0.75, abs=0.002)
    np.testing.assert_allclose(found.scores, [0.75], atol=0.002)
    assert len(found.lesions["lesions"]) == 24
    low, high = (GEOMETRY @ [*c, 1.0] for c in ((15.5, 31.5, 47.5), (31.5, 47.5, 63.5)))
    for lesion in found.lesions["lesions"]:
        np.testing.assert_allclose(lesion["box_mm"], [low[:3], high[:3]], atol=0.01)
        assert lesion["hu"]["mean"] == 512
    assert found.lesions["memory_bank"] == tiny_bank().digest
    assert not found.mask.any()


def test_a_site_s_own_bank_takes_the_place_of_the_released_one(chest: Chest) -> None:
    """Without a restart; a result names the bank that it was compared with."""
    folder = chest.home / "banks" / NET
    own = write_bank(folder, tiny_bank(30, seed=1))
    try:
        found = chest.ask(lungs())
    finally:
        shutil.rmtree(folder)
    assert found.lesions["memory_bank"] == own.digest
    assert sum(p is not None for p in found.lesions["measures"].values()) == 30
    assert chest.ask(lungs()).lesions["memory_bank"] == tiny_bank().digest


def test_a_site_s_bank_of_another_network_is_refused(chest: Chest) -> None:
    """An error of this request, which names it; the server goes on."""
    folder = chest.home / "banks" / NET
    write_bank(folder, tiny_bank(encoder="f" * 64))
    try:
        with pytest.raises(ModelError, match="another network"):
            chest.ask(lungs())
    finally:
        shutil.rmtree(folder)
    assert chest.ask(lungs()).lesions["memory_bank"] == tiny_bank().digest
