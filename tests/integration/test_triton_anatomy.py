"""The anatomy ensemble through the real Triton, with a stand-in for the trained network."""

from __future__ import annotations

import asyncio
import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.exceptions import ModelError
from gateway.runtime.home import Home
from gateway.runtime.triton import EmbeddedTriton
from gateway.settings import TritonSettings
from gateway.triton.client import Inference, TritonClient
from gateway.triton.shared_memory import SharedVolume, Source
from tests.stand_in_net import write_stand_in

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.triton

RECIPE = json.dumps(
    tomllib.loads((ROOT / "model_repository/anatomy/pipeline.toml").read_text())["recipe"]
)

GEOMETRY = np.array(
    [[0, 0, 0.8, -200], [0, 0.8, 0, -180], [1.5, 0, 0, 40], [0, 0, 0, 1]], np.float64
)
"""(slice, row, column, 1) → LPS mm: 1.5 mm between slices, 0.8 mm pixels."""


@dataclass
class Anatomy:
    """The ensemble, and the home that its regions are named for."""

    runner: asyncio.Runner
    url: str
    home: Path

    def __call__(self, *, slab: NDArray[np.int16] | Source, **changes: Any) -> Inference:
        """Ask with one slab, by reference or by value."""
        by_name = isinstance(slab, Source)
        arguments: dict[str, Any] = {
            "geometry": GEOMETRY,
            "recipe": RECIPE,
            "roi": whole(slab.shape),
            "source" if by_name else "volume": slab,
        }
        return self.runner.run(self._ask(arguments | changes))

    def together(self, slabs: list[NDArray[np.int16]]) -> list[Inference | BaseException]:
        """Ask with all slabs at once; the last recipe is broken."""

        async def go() -> list[Inference | BaseException]:
            recipes = [RECIPE] * (len(slabs) - 1) + ["{}"]
            calls = [
                self._ask({"geometry": GEOMETRY, "recipe": r, "roi": whole(s.shape), "volume": s})
                for s, r in zip(slabs, recipes)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.runner.run(go())

    async def _ask(self, arguments: dict[str, Any]) -> Inference:
        async with TritonClient(self.url) as client:
            return await client.infer("anatomy", timeout_seconds=30.0, **arguments)


@pytest.fixture(scope="module")
def anatomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anatomy]:
    """Serve the repository as it stands, but for the weights of the network."""
    repository = tmp_path_factory.mktemp("repository")
    for name in ("anatomy", "ct_preprocess", "ct_postprocess"):
        shutil.copytree(ROOT / "model_repository" / name, repository / name)
    (repository / "anatomy_net").mkdir()
    config = "anatomy_net/config.pbtxt"
    shutil.copy(ROOT / "model_repository" / config, repository / config)
    write_stand_in(repository / "anatomy_net" / "1" / "model.onnx")
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder)
    server = EmbeddedTriton(home, TritonSettings(), repository)
    with asyncio.Runner() as runner, home.lock():
        try:
            yield Anatomy(runner, runner.run(server.start()), folder)
        finally:
            runner.run(server.stop())


def whole(shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Give the region that is the whole slab."""
    return np.array([0, shape[0], 0, shape[1], 0, shape[2]], np.int32)


def body(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """Air, and a block of 50 HU in the middle half of each axis."""
    volume = np.full(shape, -1000, np.int16)
    volume[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 50
    return volume


def test_a_region_named_by_source_is_measured(anatomy: Anatomy) -> None:
    """The liver of a slab in shared memory has its volume, box, coverage and HU."""
    volume = body((96, 160, 160))
    with SharedVolume.create(volume.shape, home=anatomy.home) as shared:
        shared.array[:] = volume
        answer = anatomy(slab=shared.source())
    liver = answer.lesions["measures"]["organs"]["liver"]
    assert liver["coverage"] == "complete"
    assert liver["median_hu"] == 50.0
    # 48 × 80 × 80 voxels of 1.5 × 0.8 × 0.8 mm are 294.9 ml; 3 mm voxels round its surface.
    assert liver["volume_ml"] == pytest.approx(294.9, rel=0.15)
    assert answer.mask.shape == (48, 43, 43)
    assert answer.scores.tolist() == [1.0]


def test_the_mask_lies_where_the_slab_does(anatomy: Anatomy) -> None:
    """The centre of the mask, in LPS mm, is the centre of the block in the slab."""
    answer = anatomy(slab=body((96, 160, 160)))
    centre = np.append(np.argwhere(answer.mask).mean(axis=0), 1.0)
    block = np.array([24 + 23.5, 40 + 39.5, 40 + 39.5, 1.0])
    np.testing.assert_allclose(answer.mask_geometry @ centre, GEOMETRY @ block, atol=1e-6)


def test_source_and_volume_answer_the_same(anatomy: Anatomy) -> None:
    """By reference or by value, and with a slab that starts inside the region."""
    volume = body((96, 96, 96))
    with SharedVolume.create(volume.shape, home=anatomy.home) as shared:
        shared.array[:] = volume
        by_name = anatomy(slab=shared.source(32, 96))
    by_value = anatomy(slab=np.ascontiguousarray(volume[32:]))
    np.testing.assert_array_equal(by_name.mask, by_value.mask)
    assert by_name.lesions == by_value.lesions


def test_the_readiness_probe_passes(anatomy: Anatomy) -> None:
    """A volume of 32³ gives a mask of its grid's shape, smaller than the network's least."""
    answer = anatomy(slab=np.zeros((32, 32, 32), np.int16), geometry=np.diag([2.0, 2, 2, 1]))
    assert answer.mask.shape == (21, 21, 21)


def test_a_region_that_is_not_ours_is_refused(anatomy: Anatomy) -> None:
    """A name without our prefix is never opened."""
    with pytest.raises(ModelError, match="not one of ours"):
        anatomy(slab=Source("psm_other", 0, (4, 4, 4)))


def test_a_slab_beyond_its_region_is_refused(anatomy: Anatomy) -> None:
    """One slice more than the region holds."""
    with SharedVolume.create((4, 8, 8), home=anatomy.home) as shared:
        with pytest.raises(ModelError, match="region of 512 bytes"):
            anatomy(slab=Source(shared.name, 0, (5, 8, 8)))


def test_a_region_of_interest_outside_the_slab_is_refused(anatomy: Anatomy) -> None:
    """The message names the axis and the limits."""
    with pytest.raises(ModelError, match="rows 0 to 33"):
        anatomy(
            slab=np.zeros((32, 32, 32), np.int16),
            roi=np.array([0, 32, 0, 33, 0, 32], np.int32),
        )


def test_an_unknown_key_of_the_recipe_is_refused(anatomy: Anatomy) -> None:
    """A recipe that says more than is done would make its digest a lie."""
    recipe = json.dumps(json.loads(RECIPE) | {"blur_mm": 2})
    with pytest.raises(ModelError, match="unknown key 'blur_mm'"):
        anatomy(slab=np.zeros((32, 32, 32), np.int16), recipe=recipe)


def test_one_bad_request_leaves_its_neighbours_whole(anatomy: Anatomy) -> None:
    """Six at once in different shapes, the last with a broken recipe."""
    slabs = [body((64 + 4 * n, 96, 96 + 8 * n)) for n in range(6)]
    *good, bad = anatomy.together(slabs)
    assert isinstance(bad, ModelError)
    for slab, answer in zip(slabs, good):
        assert isinstance(answer, Inference)
        assert answer.lesions["measures"]["organs"]["liver"]["median_hu"] == 50.0
        assert answer.mask.shape[0] == round(slab.shape[0] * 0.5)
