"""The ensembles of one box through the real Triton, with tiny networks in place of trained ones."""

from __future__ import annotations

import asyncio
import shutil
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
from gateway.screening.manifest_reader import read_manifest
from gateway.settings import ROOT, TritonSettings
from gateway.triton.client import Inference, TritonClient
from gateway.triton.shared_memory import Organs, SharedLabels, SharedVolume
from tests.tiny_nets import CALCIUM, LIVER, PANCREAS, write_net

pytestmark = pytest.mark.triton

REPOSITORY = ROOT / "model_repository"
NETS = {"pancreas": PANCREAS, "calcium": CALCIUM, "liver": LIVER}

ORIGIN_MM = (-60.0, -70.0, 500.0)


def affine(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Give (slice, row, column, 1) → LPS mm."""
    s, r, c = spacing_mm
    x, y, z = ORIGIN_MM
    return np.array([[0, 0, c, x], [0, r, 0, y], [s, 0, 0, z], [0, 0, 0, 1]], np.float64)


@dataclass
class Boxes:
    """The ensembles, and the home that their regions are named for."""

    runner: asyncio.Runner
    url: str
    home: Path

    def ask(
        self,
        check: str,
        hu: NDArray[np.int16],
        spacing_mm: tuple[float, float, float],
        *,
        first_slice: int = 0,
        organs: Organs | None = None,
        **changes: Any,
    ) -> Inference:
        """Put a volume into shared memory and ask about the slab from a slice on."""
        with SharedVolume.create(_three(hu.shape), home=self.home) as volume:
            volume.array[:] = hu
            geometry = affine(spacing_mm)
            geometry[:3, 3] += geometry[:3, 0] * first_slice
            shape = (hu.shape[0] - first_slice, *hu.shape[1:])
            arguments: dict[str, Any] = {
                "source": volume.source(first_slice),
                "geometry": geometry,
                "roi": np.array([0, shape[0], 0, shape[1], 0, shape[2]], np.int32),
                "organs": organs,
            }
            return self.send(check, **(arguments | changes))

    def send(self, check: str, **arguments: Any) -> Inference:
        """Ask as the gateway does."""
        recipe = read_manifest(REPOSITORY / check / "pipeline.toml").recipe_json
        assert recipe is not None

        async def go() -> Inference:
            async with TritonClient(self.url) as client:
                return await client.infer(check, recipe=recipe, timeout_seconds=60.0, **arguments)

        return self.runner.run(go())


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boxes]:
    """Serve three checks as they stand, but for the weights."""
    repository = tmp_path_factory.mktemp("repository")
    for name in ("ct_preprocess", "ct_postprocess", *NETS):
        shutil.copytree(REPOSITORY / name, repository / name)
    for name, text in NETS.items():
        folder = repository / f"{name}_net"
        folder.mkdir()
        shutil.copy(REPOSITORY / f"{name}_net" / "config.pbtxt", folder)
        write_net(text, folder / "1" / "model.onnx")
    home_folder = tmp_path_factory.mktemp("home")
    home = Home(home_folder)
    server = EmbeddedTriton(home, TritonSettings(), repository)
    with asyncio.Runner() as runner, home.lock():
        try:
            yield Boxes(runner, runner.run(server.start()), home_folder)
        finally:
            runner.run(server.stop())


def abdomen() -> NDArray[np.int16]:
    """Give fat, a gland of 35 HU with a lesion of 90 HU, and another such lesion far away.

    40 slices of 3 mm, pixels of 1.5 mm: the grid of the network, so that places are exact.
    """
    hu = np.full((40, 90, 96), -90, np.int16)
    hu[14:24, 30:60, 20:70] = 35
    hu[16:20, 40:48, 30:38] = 90
    hu[34:38, 70:78, 80:88] = 90
    return hu


SPACING_MM = (3.0, 1.5, 1.5)


def test_a_lesion_is_found_in_the_slab_where_it_lies_in_the_patient(boxes: Boxes) -> None:
    """From the fifth slice on; the middle of slices 16 to 20, rows 40 to 48, columns 30 to 38."""
    found = boxes.ask("pancreas", abdomen(), SPACING_MM, first_slice=5)
    lesions = found.lesions["lesions"]
    centre = affine(SPACING_MM) @ [17.5, 43.5, 33.5, 1.0]
    np.testing.assert_allclose(lesions[0]["centre_mm"], centre[:3], atol=0.01)
    assert lesions[0]["volume_mm3"] == 4 * 8 * 8 * 6.75
    assert lesions[0]["hu"]["mean"] == 90.0
    assert lesions[0]["kind"] == "pdac"
    np.testing.assert_allclose(found.scores, [1, 0.5, 0.3, 0.2, 0, 0, 0, 0, 0], atol=0.01)
    assert found.lesions["measures"]["median_hu"] == 35.0


def test_the_mask_lies_where_its_geometry_says(boxes: Boxes) -> None:
    """Value 4 is the first lesion, and its middle is the lesion's centre."""
    found = boxes.ask("pancreas", abdomen(), SPACING_MM, first_slice=5)
    middle = np.argwhere(found.mask == 4).mean(axis=0)
    point = found.mask_geometry @ np.append(middle, 1.0)
    np.testing.assert_allclose(found.lesions["lesions"][0]["centre_mm"], point[:3], atol=0.01)


def test_a_lesion_far_from_the_organ_is_dropped(boxes: Boxes) -> None:
    """48 mm from the gland; it is in the heat map and not in the answer."""
    hu = abdomen()
    assert len(boxes.ask("pancreas", hu, SPACING_MM).lesions["lesions"]) == 1


def test_the_label_map_of_anatomy_goes_by_reference(boxes: Boxes) -> None:
    """An organ of anatomy beside the far lesion makes it one of the organ."""
    with SharedLabels.create((40, 45, 48), home=boxes.home) as labels:
        labels.array[33:39, 36:40, 41:45] = 2
        geometry = affine((3.0, 3.0, 3.0))
        organs = labels.organs(geometry, ("background", "liver", "pancreas"))
        found = boxes.ask("pancreas", abdomen(), SPACING_MM, organs=organs)
    assert len(found.lesions["lesions"]) == 2


def test_an_unknown_organ_is_refused_and_named(boxes: Boxes) -> None:
    """A label map without a pancreas is another anatomy's."""
    with SharedLabels.create((4, 4, 4), home=boxes.home) as labels:
        organs = labels.organs(affine((3.0, 3.0, 3.0)), ("background", "liver"))
        with pytest.raises(ModelError, match="ORGANS has no 'pancreas'"):
            boxes.ask("pancreas", abdomen(), SPACING_MM, organs=organs)


def test_another_client_may_send_the_slab_itself(boxes: Boxes) -> None:
    """VOLUME in place of SOURCE gives the same."""
    hu = abdomen()
    by_name = boxes.ask("pancreas", hu, SPACING_MM)
    by_value = boxes.ask("pancreas", hu, SPACING_MM, source=None, volume=hu)
    assert by_value.lesions == by_name.lesions
    np.testing.assert_array_equal(by_value.mask, by_name.mask)


@pytest.mark.parametrize("increment_mm", [3.0, 1.0])
def test_the_agatston_vector_is_served(boxes: Boxes, increment_mm: float) -> None:
    """A cylinder of 3 mm radius, 400 HU and 9 mm height: 339.0 and 254.25 mm³ (pipelines §2.4)."""
    hu = np.full((round(45 / increment_mm), 96, 96), 40, np.int16)
    y = x = (np.arange(96) - 47.5 - 0.5) * 0.5
    disc = y[:, None] ** 2 + x**2 <= 9.0
    assert disc.sum() == 113
    first, last = round(18 / increment_mm), round(27 / increment_mm)
    hu[first:last, disc] = 400
    found = boxes.ask("calcium", hu, (increment_mm, 0.5, 0.5), first_slice=round(3 / increment_mm))
    measures = found.lesions["measures"]
    assert measures["agatston"] == 339.0
    assert measures["volume_mm3"] == pytest.approx(254.25, abs=0.1)
    assert measures["agatston_LAD"] == 339.0
    assert measures["increment_mm"] == 3.0
    assert measures["noise_sd_hu"] is None
    assert found.mask.shape == (14, 96, 96)
    (plaque,) = found.lesions["lesions"]
    centre = affine((3.0, 0.5, 0.5)) @ [(18 + 27 - increment_mm) / 6, 48.0, 48.0, 1.0]
    np.testing.assert_allclose(plaque["centre_mm"], centre[:3], atol=0.01)


def test_noise_is_measured_in_the_aorta_of_anatomy(boxes: Boxes) -> None:
    """SD 20 HU in a scan of 3 mm."""
    noise = np.random.default_rng(5).normal(40, 20, (15, 96, 96))
    with SharedLabels.create((15, 16, 16), home=boxes.home) as labels:
        labels.array[:, 2:12, 2:12] = 1
        organs = labels.organs(affine((3.0, 3.0, 3.0)), ("background", "aorta"))
        found = boxes.ask(
            "calcium", np.rint(noise).astype(np.int16), (3.0, 0.5, 0.5), organs=organs
        )
    assert found.lesions["measures"]["noise_sd_hu"] == pytest.approx(20, abs=1)


def test_values_and_report_reach_the_network(boxes: Boxes) -> None:
    """Missing stays missing in its own place; five tokens of 脂肪肝 are read."""
    values = np.array([57, np.nan, np.nan, 30, 31, 32, np.nan, 5], np.float32)
    hu = np.full((40, 40, 40), 240, np.int16)
    found = boxes.ask("liver", hu, (3.0, 3.0, 3.0), clinical=values, report="脂肪肝")
    measures = found.lesions["measures"]
    assert measures["steatosis_score"] == 5.0
    # missing are the second, third and seventh value
    np.testing.assert_allclose(found.scores[:4], [1, 0, 0, 0])
    assert measures["F1_or_more"] == 0.0
    assert found.scores.shape == (9,)
    with pytest.raises(ModelError, match="needs CLINICAL"):
        boxes.ask("liver", hu, (3.0, 3.0, 3.0), report="")


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    s, r, c = shape
    return s, r, c
