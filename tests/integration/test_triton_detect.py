"""The search by tiles through the real Triton: one study, several at once, and none at all.

The networks have the shape of those that are trained, with weights drawn here.
"""

from __future__ import annotations

import asyncio
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray

from gateway.exceptions import ModelError, ModelTimeoutError
from gateway.runtime.home import Home
from gateway.runtime.triton import EmbeddedTriton
from gateway.settings import ROOT, TritonSettings
from gateway.triton.client import PRIORITY_ROUTINE, PRIORITY_STAT, Inference, TritonClient
from gateway.triton.shared_memory import Organs, SharedLabels, SharedVolume
from networks.detection_export import export_classifier, export_detector
from networks.detection_run import torch_finder
from networks.labels import ANATOMY_LABELS
from networks.nets.crop_classifier import DetectorAndClassifier
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesions import PLANTERS
from networks.phantoms.profiles import PROFILES
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.scene import Scene
from networks.tasks.nodule import NoduleTask
from postprocess.detections import Peaks
from postprocess.search import from_rows, start_search
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

pytestmark = pytest.mark.triton

REPOSITORY = ROOT / "model_repository"
MANIFEST = REPOSITORY / "nodule" / "pipeline.toml"

SCAN_MM = (1.25, 0.8, 0.8)
EXTENT_MM = np.array([190.0, 150.0, 170.0])
"""Of the part of a lung that is scanned: a dozen tiles."""

SEED = 7

PLACE_TOLERANCE_VOXELS = 0.02
SCORE_TOLERANCE = 2e-3
"""OpenVINO in f32 against torch, through a dozen layers."""


@dataclass
class Study:
    """A part of a phantom with nodules, as the gateway holds it in shared memory."""

    hu: NDArray[np.int16]
    grid: Grid
    labels: NDArray[np.uint8]
    labels_grid: Grid


@dataclass
class Detect:
    """The server, and the home that its regions are named for."""

    runner: asyncio.Runner
    url: str
    home: Path
    network: DetectorAndClassifier

    def run(self, questions: Any) -> Any:
        """Wait for a coroutine that takes a client."""

        async def go() -> Any:
            async with TritonClient(self.url) as client:
                return await questions(client)

        return self.runner.run(go())


def recipe(**post: Any) -> Recipe:
    """Give the shipped recipe with a changed post."""
    table = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))["recipe"]
    shipped = Recipe.from_mapping(table)
    return replace(shipped, post=replace(shipped.post, **post))  # type: ignore[type-var]


def drawn_network() -> DetectorAndClassifier:
    """Draw weights with which a detector sees something everywhere."""
    torch.manual_seed(SEED)
    network = DetectorAndClassifier(2, len(NoduleTask.kinds)).eval()
    with torch.no_grad():
        network.detector.heat.weight.mul_(4.0)
        network.detector.heat.bias.fill_(-4.0)
    return network


@pytest.fixture(scope="module")
def study() -> Study:
    """Scan the middle of a phantom's right lung, with nodules in it."""
    anatomy = sample_anatomy(SEED, spacing_mm=3.0)
    rng = np.random.default_rng(SEED)
    scene = Scene.painted(anatomy, rng)
    for kind in ("solid_nodule", "part_solid_nodule", "solid_nodule"):
        planter = PLANTERS["nodule"]
        scene.add(planter.plant(scene, rng, kind, difficulty="easy", judge=lambda *_: 20.0))
    labels = anatomy.organ_labels()
    lung = np.argwhere(labels == ANATOMY_LABELS.index("lung_right"))
    middle = scene.origin_mm + lung.mean(axis=0) * scene.spacing_mm
    grid = RegionGrid.around(middle, np.ceil(EXTENT_MM / SCAN_MM).astype(int), SCAN_MM)
    scan = acquire_region(
        scene, PROFILES[sorted(PROFILES)[0]], rng, grid, kernel="standard", thickness_mm=1.25
    )
    s, r, c = grid.shape
    return Study(
        np.clip(np.rint(scan), -1024, 3071).astype(np.int16),
        Grid((s, r, c), grid.affine),
        labels,
        Grid(labels.shape, anatomy.affine),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def detect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detect]:
    """Serve the nodule check as it stands, but for the weights."""
    repository = tmp_path_factory.mktemp("repository")
    for name in ("ct_preprocess", "ct_detect", "ct_postprocess", "nodule"):
        shutil.copytree(
            REPOSITORY / name, repository / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    network = drawn_network()
    for name, export in (
        ("nodule_net", lambda path: export_detector(network.detector, path)),
        ("nodule_crops", lambda path: export_classifier(network.classifier, path)),
    ):
        (repository / name).mkdir()
        shutil.copy(REPOSITORY / name / "config.pbtxt", repository / name)
        export(repository / name / "1" / "model.onnx")
    folder = tmp_path_factory.mktemp("home")
    home = Home(folder)
    server = EmbeddedTriton(home, TritonSettings(precision="f32"), repository)
    with asyncio.Runner() as runner, home.lock():
        try:
            yield Detect(runner, runner.run(server.start()), folder, network)
        finally:
            runner.run(server.stop())


@dataclass
class Held:
    """A study in shared memory."""

    volume: SharedVolume
    labels: SharedLabels
    study: Study

    def organs(self) -> Organs:
        return self.labels.organs(self.study.labels_grid.affine, ANATOMY_LABELS)

    async def ask(self, client: TritonClient, **changes: Any) -> Inference:
        """Ask the ensemble about the whole slab, or a part of it."""
        s, r, c = self.study.hu.shape
        given: dict[str, Any] = {
            "source": self.volume.source(),
            "organs": self.organs(),
            "geometry": self.study.grid.affine,
            "roi": np.array([0, s, 0, r, 0, c], np.int32),
            "recipe": recipe().to_json(),
            "timeout_seconds": 120.0,
        }
        return await client.infer("nodule", **(given | changes))


@pytest.fixture
def held(detect: Detect, study: Study) -> Iterator[Held]:
    """Put the study where the server reads it."""
    with (
        SharedVolume.create(study.grid.shape, home=detect.home) as volume,
        SharedLabels.create(study.labels_grid.shape, home=detect.home) as labels,
    ):
        volume.array[:] = study.hu
        labels.array[:] = study.labels
        yield Held(volume, labels, study)


def on_grid(study: Study) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Give the HU and the affine of the detector's grid, as the server makes them."""
    s, r, c = study.hu.shape
    made = prepare(
        study.hu,
        geometry=study.grid.affine,
        roi=(0, s, 0, r, 0, c),
        recipe=recipe(),
        wanted=("grid_hu", "grid_geometry"),
    )
    assert made.grid_hu is not None
    assert made.grid_geometry is not None
    return made.grid_hu, made.grid_geometry


def twin(detect: Detect, study: Study) -> Peaks:
    """Search with torch, as the networks are judged."""
    hu, geometry = on_grid(study)
    organs = OrganMap(study.labels, ANATOMY_LABELS, study.labels_grid)
    mask = organs.mask(("lung_right", "lung_left"), hu.shape, geometry)
    return torch_finder(detect.network, NoduleTask.tile, NoduleTask.windows_hu).find(hu, mask)


def whole_search(study: Study) -> int:
    """Give how many tiles a study has."""
    hu, geometry = on_grid(study)
    shipped = recipe()
    searched = start_search(
        hu,
        geometry,
        OrganMap(study.labels, ANATOMY_LABELS, study.labels_grid),
        channels=shipped.channels,
        post=shipped.post,  # type: ignore[arg-type]
    )
    return len(searched.plan.starts)


def test_the_served_search_finds_what_the_torch_twin_finds(detect: Detect, held: Held) -> None:
    """Mark by mark: place, score, diameter and kinds."""
    hu, geometry = on_grid(held.study)
    inputs = {
        "grid_hu": hu,
        "grid_geometry": geometry,
        "ORGANS": np.array([held.organs().to_json().encode()], np.object_),
        "RECIPE": np.array([recipe(around_mm=0.0).to_json().encode()], np.object_),
    }
    answer = detect.run(
        lambda client: client.call("ct_detect", inputs, outputs=["peaks"], timeout_seconds=120.0)
    )
    ours, theirs = from_rows(answer["peaks"], len(NoduleTask.kinds)), twin(detect, held.study)
    assert len(ours) == len(theirs) == recipe().post.candidates  # type: ignore[union-attr]
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=SCORE_TOLERANCE)
    apart = np.abs(ours.voxels[:, None] - theirs.voxels[None]).max(axis=2)
    nearest = apart.argmin(axis=1)
    assert sorted(nearest) == list(range(len(theirs)))
    assert apart.min(axis=1).max() < PLACE_TOLERANCE_VOXELS
    pairs = theirs.take(nearest)
    np.testing.assert_allclose(ours.diameters_mm, pairs.diameters_mm, rtol=1e-3)
    np.testing.assert_allclose(ours.kinds, pairs.kinds, atol=SCORE_TOLERANCE)


def test_the_ensemble_lists_them_with_place_and_size(detect: Detect, held: Held) -> None:
    """In the patient, by falling score, within the scan."""
    answer = detect.run(lambda client: held.ask(client))
    lesions = answer.lesions["lesions"]
    scores = [lesion["score"] for lesion in lesions]
    assert scores == sorted(scores, reverse=True)
    assert answer.scores[0] == pytest.approx(scores[0], abs=1e-4)
    assert len(answer.scores) == 1 + len(NoduleTask.kinds)
    low = held.study.grid.affine[:3, 3]
    top = (held.study.grid.affine @ [*held.study.hu.shape, 1])[:3]
    for lesion in lesions:
        assert all(a - 1 < c < b + 1 for a, c, b in zip(low, lesion["centre_mm"], top))
        assert lesion["mean_diameter_mm"] > 0
    outlined = [lesion for lesion in lesions if lesion["mask_value"]]
    assert set(np.unique(answer.mask)) - {0} <= {lesion["mask_value"] for lesion in outlined}


def test_studies_at_once_have_the_answers_that_they_have_alone(detect: Detect, held: Held) -> None:
    """Five searches over four instances, whose tiles fill batches together."""

    async def go(client: TritonClient) -> tuple[Inference, list[Inference]]:
        alone = await held.ask(client)
        return alone, await asyncio.gather(*(held.ask(client) for _ in range(5)))

    alone, together = detect.run(go)
    for answer in together:
        assert answer.lesions["lesions"], answer
        for one, other in zip(answer.lesions["lesions"], alone.lesions["lesions"], strict=True):
            assert one["score"] == pytest.approx(other["score"], abs=SCORE_TOLERANCE)
            np.testing.assert_allclose(one["centre_mm"], other["centre_mm"], atol=0.1)


async def batches(detect: Detect) -> dict[int, int]:
    """Give how often the detector ran a batch of each size."""
    async with triton.InferenceServerClient(detect.url) as client:
        told = await client.get_inference_statistics("nodule_net", as_json=True)
    kept = told["model_stats"][0].get("batch_stats", [])
    return {int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in kept}


async def tiles(detect: Detect) -> int:
    """Give how many tiles the detector has seen."""
    return sum(size * count for size, count in (await batches(detect)).items())


async def begun(detect: Detect, before: int) -> None:
    """Wait until the detector has seen a further tile."""
    now = before
    while now == before:
        await asyncio.sleep(0.01)
        now = await tiles(detect)


async def settled(detect: Detect) -> int:
    """Wait until the detector has seen no tile for a second, and give how many it has seen."""
    seen, now = -1, await tiles(detect)
    while seen != now:
        await asyncio.sleep(1.0)
        seen, now = now, await tiles(detect)
    return seen


def test_tiles_of_several_studies_share_a_batch(detect: Detect, held: Held) -> None:
    """Each asks about one chunk of two tiles or less; a batch of more is of two studies."""
    s, r, c = held.study.hu.shape
    small = np.array([s // 2 - 20, s // 2 + 20, r // 2 - 40, r // 2 + 40, 20, c - 20], np.int32)

    async def go(client: TritonClient) -> tuple[dict[int, int], dict[int, int], dict[int, int]]:
        before = await batches(detect)
        await held.ask(client, roi=small)
        middle = await batches(detect)
        await asyncio.gather(*(held.ask(client, roi=small) for _ in range(8)))
        return before, middle, await batches(detect)

    before, middle, after = detect.run(go)
    alone = {size: count - before.get(size, 0) for size, count in middle.items()}
    assert max(size for size, count in alone.items() if count) <= 2
    more = {size: count - middle.get(size, 0) for size, count in after.items()}
    assert max(size for size, count in more.items() if count) > 2


def test_a_stat_study_goes_before_those_under_way(detect: Detect, held: Held) -> None:
    """Three routine searches are begun first, and end later."""
    order: list[str] = []

    async def go(client: TritonClient) -> None:
        async def run(name: str, priority: int) -> None:
            await held.ask(client, priority=priority)
            order.append(name)

        before = await tiles(detect)
        routine = [asyncio.create_task(run("routine", PRIORITY_ROUTINE)) for _ in range(3)]
        await begun(detect, before)
        await asyncio.gather(run("stat", PRIORITY_STAT), *routine)

    detect.run(go)
    assert order == ["stat", "routine", "routine", "routine"]


def test_a_search_ends_with_its_study(detect: Detect, study: Study) -> None:
    """Its regions are unlinked, as after a cancelled study: most tiles are never looked at."""

    async def go(client: TritonClient) -> int:
        before = await tiles(detect)
        with SharedVolume.create(study.grid.shape, home=detect.home) as volume:
            volume.array[:] = study.hu
            with SharedLabels.create(study.labels_grid.shape, home=detect.home) as labels:
                labels.array[:] = study.labels
                task = asyncio.create_task(Held(volume, labels, study).ask(client))
                await begun(detect, before)
        with pytest.raises(ModelTimeoutError):
            await task
        return await settled(detect) - before

    assert 0 < detect.run(go) < whole_search(study)


def test_a_search_ends_when_its_client_gives_up(detect: Detect, held: Held) -> None:
    """By the deadline that travels with the request: most tiles are never looked at."""

    async def go(client: TritonClient) -> int:
        before = await tiles(detect)
        with pytest.raises(ModelTimeoutError):
            await held.ask(client, timeout_seconds=0.1)
        return await settled(detect) - before

    assert detect.run(go) < whole_search(held.study)


def test_a_scan_without_lung_has_no_nodules_and_no_error(detect: Detect, held: Held) -> None:
    """Nothing to look at: scores of 0, and an empty list."""
    held.labels.array[:] = 0
    answer = detect.run(lambda client: held.ask(client))
    assert answer.lesions["lesions"] == []
    assert answer.scores.tolist() == [0.0] * (1 + len(NoduleTask.kinds))


def test_organs_are_needed(detect: Detect, held: Held) -> None:
    """Without them the search would be empty, and the answer a silent negative."""
    with pytest.raises(ModelError, match="ORGANS is needed"):
        detect.run(lambda client: held.ask(client, organs=None))
