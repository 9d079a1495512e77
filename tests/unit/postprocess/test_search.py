"""A search in steps, against the finder that judges the networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from networks.detection import Tile
from networks.detection_run import CANDIDATES, LEAST_SCORE, MARGIN, Finder
from postprocess.detections import Peaks
from postprocess.exceptions import OutputError
from postprocess.search import CROPS_TOGETHER, Search, from_rows, start_search, to_rows
from preprocess.exceptions import RegionError
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.posts import DetectionsPost
from preprocess.recipe import Channel

SHAPE = (60, 150, 170)
GEOMETRY = np.array([[0, 0, 1.0, -80], [0, 1.0, 0, -70], [1.5, 0, 0, 12], [0, 0, 0, 1]])
WINDOWS = ((-1024.0, 300.0), (-100.0, 900.0))
TILE = Tile((32, 48, 48), (1.5, 1.0, 1.0))

POST = DetectionsPost(
    detector="net",
    classifier="crops",
    kinds=("solid", "glass"),
    tile=TILE.shape,
    margin=MARGIN,
    organs=("left", "right"),
    candidates=CANDIDATES,
    least_score=LEAST_SCORE,
    chunk=3,
)


def volume() -> NDArray[np.int16]:
    """Lung with some bright spots in it and beyond."""
    rng = np.random.default_rng(1)
    hu = rng.normal(-850, 20, SHAPE)
    for place in rng.integers((3, 3, 3), np.array(SHAPE) - 4, (150, 3)):
        hu[tuple(slice(n - 2, n + 3) for n in place)] += rng.uniform(100, 900)
    return hu.astype(np.int16)


def organs(*, empty: bool = False) -> OrganMap:
    """Give two lungs at 3 mm, the right one on one side of the volume."""
    grid = Grid(SHAPE, GEOMETRY).resampled((3.0, 3.0, 3.0))
    labels = np.zeros(grid.shape, np.uint8)
    if not empty:
        labels[2:-2, 5:-8, 4:24] = 1
        labels[5:-6, 9:-3, 32:-4] = 2
    return OrganMap(labels, ("background", "right", "left"), grid)


def detect(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the forty brightest voxels of each tile as peaks."""
    flat = tiles[:, 0].reshape(len(tiles), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, :40]
    scores = np.take_along_axis(flat, order, 1)
    places = np.stack(np.unravel_index(order, tiles.shape[2:]), axis=2)
    rest = [places, 4 + 10 * scores[..., None], scores[..., None], 1 - scores[..., None]]
    return np.concatenate([scores[..., None], *rest], axis=2).astype(np.float32)


def classify(crops: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Judge a crop by its middle."""
    middle = crops[:, :, 14:18, 14:18, 14:18].mean(axis=(2, 3, 4))
    return np.clip(middle[:, :1], 0.01, 0.99), middle / middle.sum(axis=1, keepdims=True)


def search(**changes: Any) -> Search:
    given: dict[str, Any] = {
        "hu": volume(),
        "geometry": GEOMETRY,
        "organs": organs(),
        "channels": tuple(Channel(clip_hu=window) for window in WINDOWS),
        "post": POST,
    }
    given |= changes
    return start_search(given.pop("hu"), given.pop("geometry"), given.pop("organs"), **given)


def run(searched: Search) -> Peaks:
    rows = [detect(searched.tiles(part)) for part in searched.tile_parts]
    peaks = searched.candidates(rows)
    told = [classify(searched.crops(peaks, part)) for part in searched.crop_parts(peaks)]
    return searched.marks(peaks, [chance for chance, _ in told], [kinds for _, kinds in told])


def test_a_search_finds_what_the_finder_finds() -> None:
    """To the last bit: the same tiles, windows, crops and scores, in whatever parts."""
    finder = Finder(TILE, WINDOWS, detect, classify, batch=2)
    mask = organs().mask(("left", "right"), SHAPE, GEOMETRY)
    theirs, ours = finder.find(volume(), mask), run(search())
    assert len(ours) > CROPS_TOGETHER
    for name in ("scores", "voxels", "diameters_mm", "kinds"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_without_an_organ_there_is_no_tile_and_no_mark() -> None:
    """Nobody is asked, and the answer is a row that says so."""
    searched = search(organs=organs(empty=True))
    assert searched.tile_parts == []
    rows = to_rows(run(searched))
    assert rows.tolist() == [[0.0] * 7]
    assert len(from_rows(rows, 2)) == 0


def test_rows_give_the_marks_back() -> None:
    """Through float32, as they travel."""
    marks = run(search())
    back = from_rows(to_rows(marks), 2)
    assert len(back) == len(marks)
    np.testing.assert_allclose(back.voxels, marks.voxels, rtol=1e-6)
    np.testing.assert_allclose(back.kinds, marks.kinds, rtol=1e-6)


def test_what_lies_around_an_organ_is_looked_at_where_asked_for() -> None:
    """Six millimetres are two voxels of anatomy."""
    near, wide = search(), search(post=replace(POST, around_mm=6.0))
    assert near.plan.cores[0][0] == 4
    assert wide.plan.cores[0][0] == 0


def test_an_organ_that_anatomy_does_not_know_is_refused() -> None:
    """A misspelt organ would be an empty search, a silent negative."""
    with pytest.raises(RegionError, match="left"):
        search(organs=OrganMap(organs().labels, ("background", "right", "lingula"), organs().grid))


@pytest.mark.parametrize(
    "rows", [[np.zeros((3, 8, 6))], [np.full((3, 8, 7), np.nan)], [np.zeros((8, 7))]]
)
def test_peaks_that_do_not_fit_are_refused(rows: Sequence[NDArray[np.float32]]) -> None:
    """Another number of kinds, no number, no tile axis."""
    searched = search()
    full = [*rows, *(np.zeros((3, 8, rows[0].shape[-1])) for _ in searched.tile_parts[1:])]
    with pytest.raises(OutputError):
        searched.candidates(full)  # type: ignore[arg-type]


def test_a_classifier_of_other_kinds_is_refused() -> None:
    """Three columns for two kinds."""
    searched = search()
    peaks = searched.candidates([detect(searched.tiles(part)) for part in searched.tile_parts])
    with pytest.raises(OutputError, match="2 kinds"):
        searched.marks(
            peaks, [np.ones((len(peaks), 1), np.float32)], [np.ones((len(peaks), 3), np.float32)]
        )


@pytest.mark.parametrize("rows", [np.zeros((2, 6)), np.zeros(7), np.full((1, 7), np.inf)])
def test_rows_that_are_no_marks_are_refused(rows: NDArray[np.float64]) -> None:
    """Shape and numbers."""
    with pytest.raises(OutputError):
        from_rows(rows, 2)
