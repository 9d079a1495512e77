"""Preprocessing and postprocessing on the arrays of a device: the answers of NumPy.

CuPy where there is a GPU; everywhere, arrays that are as strict as CuPy's, and the CUDA source
compiled as C++.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.agatston import calcium_scores
from postprocess.answer import Given
from postprocess.components import keep_components
from postprocess.erode import erode
from postprocess.finish import finish
from postprocess.search import start_search
from preprocess.arrays import array_namespace, to_host
from preprocess.bodybox import body_box
from preprocess.fused import SOURCE, can_fuse, resample_and_window
from preprocess.grid import Grid
from preprocess.objects import find_boxes
from preprocess.organs import OrganMap
from preprocess.pad import pad
from preprocess.prepare import prepare
from preprocess.recipe import Recipe
from preprocess.resample import resample
from preprocess.tiles import cut_tiles, plan_tiles
from preprocess.window import window
from tests.strict_arrays import StrictArray, compiled_launch, strict, transfers

RESAMPLED_HU = 5e-3
"""Products are summed in another order: 24 bits, values to 3071, three axes."""

WINDOWED = 2e-5
"""The same over the narrowest window here, 400 HU, of values within it."""

GRID_HU = 1
"""A value that lies on a half is rounded to one side or the other."""

GRID_SHARE = 0.02
"""Share of voxels that may: slices of 1.25 mm averaged to 3 mm come to a half one time in 60."""

MODULES = [
    pytest.param("strict", id="strict"),
    pytest.param("cupy", id="cupy", marks=pytest.mark.gpu),
]


@pytest.fixture(params=MODULES)
def on(request: pytest.FixtureRequest) -> Callable[[NDArray[Any]], Any]:
    """Give what puts a NumPy array on the device."""
    if request.param == "strict":
        return lambda array: strict.asarray(array)
    import cupy

    return lambda array: cupy.asarray(array)


@pytest.fixture
def kernels(
    request: pytest.FixtureRequest, need_tool: Callable[[str], str], tmp_path: Path
) -> Iterator[None]:
    """Let the strict device launch the CUDA source, compiled as C++."""
    strict.launch = compiled_launch(need_tool("g++"), SOURCE, tmp_path)
    yield
    del strict.launch


def noise(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1024, 1500, shape, dtype=np.int16)


def blobs(shape: tuple[int, int, int], values: int = 1, seed: int = 1) -> NDArray[np.uint8]:
    """Draw boxes of each value here and there."""
    rng = np.random.default_rng(seed)
    made = np.zeros(shape, np.uint8)
    for value in np.repeat(np.arange(1, values + 1), 4):
        low = [rng.integers(0, n - 3) for n in shape]
        made[tuple(slice(a, a + rng.integers(2, 6)) for a in low)] = value
    return made


def recipe(**more: Any) -> Recipe:
    return Recipe.from_mapping({
        "name": "test",
        "grid": {"spacing_mm": [3.0, 1.5, 1.5], "multiple": 16, "minimum": 16},
        "channels": [{"clip_hu": [-160, 240]}, {"clip_hu": [-1024, 1024]}],
        "post": {"kind": "labelmap", "labels": ["background", "liver", "spleen"],
                 "single": ["liver"], "min_volume_ml": {"spleen": 0.01}, "erode_mm": 3.0},
        **more,
    })  # fmt: skip


def same_grid(ours: Any, theirs: NDArray[np.int16]) -> None:
    apart = np.abs(to_host(ours).astype(int) - theirs.astype(int))
    assert apart.max(initial=0) <= GRID_HU
    assert (apart > 0).mean() <= GRID_SHARE


def same_answer(ours: Any, theirs: Any) -> None:
    """Scores, lesions with all their measures, and masks are NumPy's, value by value."""
    np.testing.assert_array_equal(to_host(ours.mask), theirs.mask)
    np.testing.assert_allclose(ours.scores, theirs.scores)
    assert json.loads(ours.lesions) == json.loads(theirs.lesions)
    np.testing.assert_array_equal(ours.mask_geometry, theirs.mask_geometry)


# --- the strict device itself ---------------------------------------------------------------


def test_the_strict_device_is_strict() -> None:
    """What CuPy refuses it refuses: or a test here would prove nothing."""
    array, host = strict.asarray(np.arange(6)), np.arange(6)
    refused: list[Callable[[], Any]] = [
        lambda: np.asarray(array), lambda: np.bincount(array), lambda: np.add(array, 1),
        lambda: array + host, lambda: host + array, lambda: array[host > 2], lambda: list(array),
        lambda: strict.zeros_like(host), lambda: strict.ndimage.label(host > 2),
        lambda: np.testing.assert_array_equal(array, host),
    ]  # fmt: skip
    for attempt in refused:
        with pytest.raises((TypeError, AssertionError)):
            attempt()
    for missing in ("find_objects", "maximum_filter"):
        assert not hasattr(strict.ndimage, missing)
    assert not hasattr(strict, "unravel_index")
    assert isinstance(array.sum(), StrictArray)
    assert int(array.sum()) == 15
    assert array_namespace(array) is strict


# --- preprocessing --------------------------------------------------------------------------


@pytest.mark.parametrize("old", [(1.0, 0.8, 0.8), (5.0, 0.8, 3.0), (3.0, 1.5, 1.5)])
def test_resampling(on: Any, old: tuple[float, float, float]) -> None:
    """Shrinking, growing, both, neither; stays on the device."""
    volume = noise((14, 24, 30))
    ours = resample(on(volume), spacing_mm=old, target_spacing_mm=(3.0, 1.5, 1.5))
    assert not isinstance(ours, np.ndarray)
    theirs = resample(volume, spacing_mm=old, target_spacing_mm=(3.0, 1.5, 1.5))
    np.testing.assert_allclose(to_host(ours), theirs, atol=RESAMPLED_HU)


def test_padding_and_windows(on: Any) -> None:
    """To a multiple, by its edge; into 0 to 1."""
    volume = noise((5, 9, 17))
    ours = window(pad(on(volume), multiple=16), low_hu=-160, high_hu=240)
    theirs = window(pad(volume, multiple=16), low_hu=-160, high_hu=240)
    np.testing.assert_allclose(to_host(ours), theirs, atol=WINDOWED)


@pytest.mark.parametrize("channel", [{"clip_hu": [-160, 240]}, {"percentiles": [1, 99]}])
def test_the_input_of_a_network(on: Any, channel: dict[str, Any]) -> None:
    """All tensors of a step, with windows by HU and by percentile, of a region."""
    slab, geometry = noise((20, 40, 44)), np.diag([1.25, 0.8, 0.8, 1.0])
    asked: dict[str, Any] = {
        "geometry": geometry, "roi": (1, 19, 3, 40, 0, 41),
        "recipe": recipe(channels=[channel], scan={"increment_mm": 3.0}),
        "wanted": ("volume", "grid_hu", "grid_geometry", "scan_hu", "scan_geometry"),
    }  # fmt: skip
    ours, theirs = prepare(on(slab), **asked), prepare(slab, **asked)
    assert not isinstance(ours.volume, np.ndarray)
    np.testing.assert_allclose(to_host(ours.volume), theirs.volume, atol=WINDOWED)
    same_grid(ours.grid_hu, theirs.grid_hu)
    same_grid(ours.scan_hu, theirs.scan_hu)
    np.testing.assert_array_equal(ours.grid_geometry, theirs.grid_geometry)
    np.testing.assert_array_equal(ours.scan_geometry, theirs.scan_geometry)


def test_the_body_is_boxed(on: Any) -> None:
    """By its largest piece."""
    volume = np.full((12, 60, 60), -1000, np.int16)
    volume[2:11, 12:50, 15:44] = 40
    volume[4:6, 54:59, 1:9] = 40
    assert body_box(on(volume), (2.0, 1.0, 1.0)) == body_box(volume, (2.0, 1.0, 1.0))


def test_organs_on_another_grid(on: Any) -> None:
    """Labels of the nearest voxel, and where any of some organs is."""
    labels, names = blobs((12, 14, 16), 3), ("background", "liver", "spleen", "heart")
    grid, other = Grid((12, 14, 16), np.diag([3.0, 3, 3, 1])), np.diag([2.0, 1.5, 1.1, 1])
    other[:3, 3] = (-4.0, 2.0, 7.0)
    theirs = OrganMap(labels, names, grid)
    ours = theirs.beside(on(labels))
    assert not isinstance(ours.labels, np.ndarray)
    np.testing.assert_array_equal(
        to_host(ours.on((24, 20, 20), other)), theirs.on((24, 20, 20), other)
    )
    np.testing.assert_array_equal(
        to_host(ours.mask(["heart", "liver"], (24, 20, 20), other)),
        theirs.mask(["heart", "liver"], (24, 20, 20), other),
    )


def test_tiles(on: Any) -> None:
    """The same are laid, and hold the same, beyond the volume too."""
    mask, volume = blobs((20, 30, 30)) > 0, noise((20, 30, 30))
    ours, theirs = (plan_tiles(m, shape=(8, 12, 12), margin=(1, 2, 2)) for m in (on(mask), mask))
    assert ours == theirs
    assert ours.starts
    cut = cut_tiles(on(volume), ours.starts, ours.shape)
    np.testing.assert_array_equal(to_host(cut), cut_tiles(volume, ours.starts, ours.shape))


# --- one pass -------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [(1.25, 0.8, 0.8), (5.0, 0.7, 3.0), (3.0, 1.5, 1.5)])
def test_one_pass_equals_one_after_another(on: Any, kernels: None, old: tuple[float, ...]) -> None:
    """The CUDA source, from the host's arguments on, against NumPy: any direction, a region."""
    slab, roi = noise((18, 40, 44)), (2, 17, 3, 40, 1, 44)
    asked: dict[str, Any] = {"geometry": np.diag([*old, 1.0]), "roi": roi, "recipe": recipe()}
    assert can_fuse(on(slab))
    assert not can_fuse(slab)
    ours, theirs = prepare(on(slab), **asked), prepare(slab, **asked)
    np.testing.assert_allclose(to_host(ours.volume), theirs.volume, atol=WINDOWED)
    same_grid(ours.grid_hu, theirs.grid_hu)


def test_small_tables_are_copied_once(kernels: None) -> None:
    """Weights and windows of a grid stay on the device; the slab is all that is copied."""
    asked: dict[str, Any] = {
        "geometry": np.diag([2.5, 0.9, 0.9, 1.0]), "roi": (0, 8, 0, 20, 0, 20), "recipe": recipe(),
    }  # fmt: skip
    slab = strict.asarray(noise((8, 20, 20)))
    prepare(slab, **asked)
    before = transfers.to_device
    prepare(slab, **asked)
    assert transfers.to_device == before


def test_one_pass_rescales_each_slice(on: Any, kernels: None) -> None:
    """Stored values of slices that differ in slope and intercept; equal spacing is exact."""
    stored = noise((4, 6, 6))
    slope = np.array([1, 2, 0.5, 1], np.float32)
    intercept = np.array([-1024, 0, 10, 5], np.float32)
    volume, hu = resample_and_window(
        on(stored), roi=(1, 4, 0, 6, 0, 6), spacing_mm=(3, 1, 1), target_spacing_mm=(3, 1, 1),
        slope=slope, intercept=intercept,
    )  # fmt: skip
    assert volume is None
    expected = np.rint(stored * slope[:, None, None] + intercept[:, None, None])[1:]
    np.testing.assert_array_equal(to_host(hu), expected.astype(np.int16))


def test_float_volumes_take_the_long_way(on: Any, kernels: None) -> None:
    """The kernel reads int16."""
    slab = noise((6, 20, 20)).astype(np.float32)
    asked: dict[str, Any] = {
        "geometry": np.diag([3.0, 1, 1, 1]), "roi": (0, 6, 0, 20, 0, 20), "recipe": recipe()
    }  # fmt: skip
    assert not can_fuse(on(slab))
    same_grid(prepare(on(slab), **asked).grid_hu, prepare(slab, **asked).grid_hu)


# --- postprocessing -------------------------------------------------------------------------


def test_boxes_of_labels(on: Any) -> None:
    """As SciPy finds them, with None for a value that is not there."""
    labels = blobs((9, 11, 13), 4)
    labels[labels == 2] = 0
    assert find_boxes(on(labels), 5) == find_boxes(labels, 5)
    assert find_boxes(on(labels), 0) == []


@pytest.mark.parametrize("largest_only", [True, False])
def test_components(on: Any, largest_only: bool) -> None:
    """The largest, or the large enough; of equal ones the first."""
    mask = blobs((12, 20, 20), seed=3) > 0
    asked: dict[str, Any] = {"min_voxels": 12, "largest_only": largest_only}
    ours, theirs = keep_components(on(mask), **asked), keep_components(mask, **asked)
    np.testing.assert_array_equal(to_host(ours), theirs)


def test_erosion(on: Any) -> None:
    """All labels at once."""
    labels = blobs((12, 20, 20), 3)
    asked: dict[str, Any] = {"distance_mm": 3.0, "spacing_mm": (3.0, 1.5, 1.5)}
    np.testing.assert_array_equal(to_host(erode(on(labels), **asked)), erode(labels, **asked))


def test_calcium_scores(on: Any) -> None:
    """Weights, territories and the least area; a scan without calcium too."""
    hu = np.full((6, 30, 30), 40, np.int16)
    for level, value in enumerate((131, 199, 200, 299, 300, 400, 900)):
        hu[level % 6, 4 * level : 4 * level + 2, 3:7] = value
    hu[5, 28, 28] = 500
    regions = np.ones(hu.shape, np.uint8)
    regions[:, :, 5:] = 2
    asked: dict[str, Any] = {"spacing_mm": (3.0, 0.7, 0.7), "count": 2}
    theirs = calcium_scores(hu, regions, **asked)
    assert theirs[0].lesions == 7
    assert calcium_scores(on(hu), on(regions), **asked) == theirs
    assert calcium_scores(on(hu * 0), on(regions), **asked)[0].lesions == 0


def given(post: dict[str, Any], arrays: dict[str, NDArray[Any]], put: Any, **more: Any) -> Given:
    """Give what is known of a request, its volumes where `put` puts them."""
    made = recipe(post=post, scan={"increment_mm": 3.0})
    grid = np.diag([3.0, 1.5, 1.5, 1.0])
    placed = {name: put(array) for name, array in arrays.items()}
    return Given(
        outputs={k: a for k, a in placed.items() if k not in ("grid_hu", "scan_hu")},
        grid_hu=placed["grid_hu"], grid_geometry=grid, post=made.post,
        scan_hu=placed.get("scan_hu"), scan_geometry=np.diag([3.0, 0.75, 0.75, 1.0]), **more,
    )  # fmt: skip


def organs(put: Any) -> OrganMap:
    labels = np.zeros((8, 12, 12), np.uint8)
    labels[1:7, 2:11, 2:11] = 1
    grid = Grid((8, 12, 12), np.diag([3.0, 4, 4, 1]))
    return OrganMap(put(labels), ("background", "aorta"), grid)


LESIONS = {
    "kind": "lesions", "labels": ["background", "gland", "lesion"], "lesion": "lesion",
    "organ": ["gland", "lesion"], "calibres": {"gland_mm": ["gland"]}, "within": ["aorta"],
    "min_volume_mm3": 20.0,
}  # fmt: skip


@pytest.mark.parametrize("ill", [True, False])
def test_lesions_of_an_organ(on: Any, ill: bool) -> None:
    """Pieces near the organ, or the most suspicious place; sizes, density and calibre."""
    labels = np.zeros((1, 10, 32, 32), np.uint8)
    labels[0, 2:8, 5:25, 5:25] = 1
    heat = np.zeros_like(labels)
    if ill:
        labels[0, 3:5, 8:12, 8:12] = labels[0, 5:7, 18:22, 15:20] = labels[0, 0, 30, 30] = 2
        heat[labels == 2] = 200
        heat[0, 3, 9, 9] = 250
    else:
        heat[0, 4:6, 9:12, 9:12] = 90
        heat[0, 5, 10, 10] = 100
    arrays = {
        "labels": labels, "lesion": heat, "score": np.array([[0.9]], np.float32),
        "grid_hu": noise((8, 30, 30)),
    }  # fmt: skip
    theirs = finish(given(LESIONS, arrays, np.asarray, organs=organs(np.asarray)))
    assert len(json.loads(theirs.lesions)["lesions"]) == (2 if ill else 1)
    before = transfers.to_host
    same_answer(finish(given(LESIONS, arrays, on, organs=organs(on))), theirs)
    if on(heat).__class__ is StrictArray:
        # the volumes stay where they are: what came to the host is less than one of them
        assert transfers.to_host - before < 6 * heat.size


def test_nothing_is_found_where_nothing_is(on: Any) -> None:
    """An empty label map, an organ that is not there: CuPy counts nothing of nothing."""
    labels = np.zeros((1, 8, 32, 32), np.uint8)
    score = np.array([[0.1]], np.float32)
    arrays = {
        "labels": labels, "lesion": labels, "score": score, "grid_hu": noise((8, 30, 30)),
        "scan_hu": noise((8, 60, 60)),
    }  # fmt: skip
    for post in (LESIONS, CALCIUM, json.loads(recipe().to_json())["post"]):
        theirs = finish(given(post, arrays, np.asarray))
        same_answer(finish(given(post, arrays, on)), theirs)


def test_organs_of_a_label_map(on: Any) -> None:
    """Cleaned, boxed, measured."""
    labels = blobs((8, 40, 40), 2, seed=5)[None]
    labels[0, 1:7, 3:20, 3:20] = 1
    arrays = {"labels": labels, "grid_hu": noise((8, 38, 38), 2)}
    post = json.loads(recipe().to_json())["post"]
    theirs = finish(given(post, arrays, np.asarray))
    same_answer(finish(given(post, arrays, on)), theirs)


CALCIUM = {
    "kind": "calcium", "labels": ["background", "heart", "lad", "rca"],
    "territories": ["lad", "rca"], "erode_mm": 4.0,
}  # fmt: skip


def test_calcium_of_a_scan(on: Any) -> None:
    """Plaques, metal taken out, the noise of blood."""
    labels = np.zeros((1, 8, 30, 30), np.uint8)
    labels[0, :, 3:14, 3:28], labels[0, :, 14:26, 3:28] = 2, 3
    hu = np.random.default_rng(4).normal(40, 12, (8, 60, 60)).astype(np.int16)
    hu[2, 12:15, 12:16] = hu[3, 13:15, 12:15] = 320
    hu[5, 40:43, 40:44], hu[6, 20:24, 30:34] = 180, 2900
    arrays = {"labels": labels, "grid_hu": noise((8, 30, 30)), "scan_hu": hu}
    theirs = finish(given(CALCIUM, arrays, np.asarray, organs=organs(np.asarray)))
    measures = json.loads(theirs.lesions)["measures"]
    assert measures["plaques"] == 2
    assert measures["metal_mm3"] > 0
    assert measures["noise_sd_hu"] is not None
    same_answer(finish(given(CALCIUM, arrays, on, organs=organs(on))), theirs)


DETECTIONS = {
    "kind": "detections", "detector": "d", "classifier": "c", "kinds": ["solid", "glass"],
    "tile": [8, 16, 16], "margin": [1, 2, 2], "organs": ["aorta"], "crop": 8, "around_mm": 4.0,
    "outline": True, "glassy": ["glass"], "metal_mm": 3.0,
}  # fmt: skip


def nodule_hu() -> NDArray[np.int16]:
    """Draw a ball of 9 mm in lung, and metal far from it."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (10, 40, 40)), indexing="ij")
    away = np.sqrt((3 * (z - 5)) ** 2 + (1.5 * (y - 20)) ** 2 + (1.5 * (x - 18)) ** 2)
    hu = np.where(away < 4.5, 30, -850).astype(np.int16)
    hu[1:3, 34:37, 34:37] = 3000
    return hu


def test_marks_of_a_detector(on: Any) -> None:
    """An outlined nodule, and a mark that metal spoils."""
    rows = np.array([[0.9, 5, 20, 18, 9, 0.9, 0.1], [0.8, 2, 35, 35, 8, 0.6, 0.4]], np.float32)
    arrays = {"peaks": rows, "grid_hu": nodule_hu()}
    theirs = finish(given(DETECTIONS, arrays, np.asarray))
    listed = json.loads(theirs.lesions)["lesions"]
    assert listed[0]["measures"]["outlined"] == 1
    assert listed[-1]["score"] is None
    same_answer(finish(given(DETECTIONS, arrays, on)), theirs)


def test_a_search(on: Any) -> None:
    """Tiles over the grown organ and crops around marks, on the device."""
    made = recipe(post=DETECTIONS)
    hu, geometry = noise((8, 30, 30)), np.diag([3.0, 1.5, 1.5, 1.0])
    ours, theirs = (
        start_search(put(hu), geometry, organs(np.asarray), channels=made.channels, post=made.post)
        for put in (on, np.asarray)
    )
    assert ours.plan == theirs.plan
    for part in theirs.tile_parts:
        tiles = ours.tiles(part)
        assert not isinstance(tiles, np.ndarray)
        np.testing.assert_allclose(to_host(tiles), theirs.tiles(part), atol=WINDOWED)
    rows = np.zeros((len(theirs.plan.starts), 3, 7), np.float32)
    rows[:, 0] = (0.7, 4, 8, 8, 6, 0.5, 0.5)
    peaks = ours.candidates([rows])
    assert len(peaks)
    part = ours.crop_parts(peaks)[0]
    np.testing.assert_allclose(
        to_host(ours.crops(peaks, part)), theirs.crops(peaks, part), atol=WINDOWED
    )
