"""Marks of a detector → lesions with place, size, density and kind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.answer import Finished, Given
from postprocess.attenuation import METAL_HU
from postprocess.detections import Floats, Peaks, wanted_scores
from postprocess.diameters import axial_diameters
from postprocess.lesion import hu_statistics, in_lps, lesion_json
from postprocess.nodule_size import outline_nodule
from postprocess.outline import Outline
from postprocess.search import from_rows
from preprocess.arrays import to_host
from preprocess.threads import side_by_side

BALL = 0.35
"""Radius of the ball in which HU is measured where nothing is outlined, of the diameter: well
within the lesion, even where the mark is a little off."""

METAL_VOXELS = 3
"""Fewer are noise or a clip."""

LARGEST_VALUE = 255
"""Of the mask; lesions beyond it have no value of their own."""


def finish_detections(given: Given) -> Finished:
    """Make lesions of the marks of a search.

    Parameters
    ----------
    given : Given
        Its output ``peaks``: (n, 5 + kinds) ndarray, as `postprocess.search.to_rows` gives it.
        Its post is a `preprocess.posts.DetectionsPost`.

    Returns
    -------
    Finished
        ``scores``: the highest score of a lesion, then for each kind the highest probability that
        a lesion is there and of that kind. ``mask``: the outlined lesions, each with its own
        value, on the part of the grid that holds them; a single 0 where there is none.
        A lesion that is not outlined has its mean diameter from the network and no other size;
        its ``measures.outlined`` is 0. One that is too near to metal has no score and counts for
        none; ``near_metal`` is how many of those listed are.

    Raises
    ------
    OutputError
        When ``peaks`` is missing, does not fit the recipe, or is not finite.
    """
    post = given.post
    peaks = from_rows(given.small("peaks"), len(post.kinds))
    wanted = [post.kinds.index(name) for name in post.wanted or post.kinds]
    trusted = ~_near_metal(given, peaks)
    scores = np.where(trusted, wanted_scores(peaks, wanted) if post.wanted else peaks.scores, 0.0)
    listed = np.argsort(-scores, kind="stable")
    listed = listed[peaks.scores[listed] >= post.list_from][: post.most]
    shown = peaks.take(listed)
    shown_scores = [float(scores[mark]) if trusted[mark] else None for mark in listed]
    outlines = _outlines(given, shown)
    values = _values(outlines)
    lesions = [
        _lesion(given, shown, index, shown_scores[index], outlines[index], values[index])
        for index in range(len(shown))
    ]
    mask, mask_geometry = _mask(given, outlines, values)
    each = (trusted * peaks.scores)[:, None] * peaks.kinds
    highest = [scores.max(initial=0.0), *each.max(axis=0, initial=0.0)]
    measures = {"listed": float(len(lesions)), "near_metal": float((~trusted[listed]).sum())}
    return Finished(
        scores=np.array(highest, np.float32),
        lesions=json.dumps({"lesions": lesions, "measures": measures}, allow_nan=False),
        mask=mask,
        mask_geometry=mask_geometry,
    )


def _near_metal(given: Given, peaks: Peaks) -> NDArray[np.bool_]:
    """Tell which marks lie so near to metal that streaks reach them, (n,)."""
    near = np.zeros(len(peaks), np.bool_)
    if not given.post.metal_mm:
        return near
    for index in range(len(peaks)):
        radius = given.post.metal_mm + peaks.diameters_mm[index] / 2
        around = _ball(given, peaks.voxels[index], float(radius))
        near[index] = np.count_nonzero(around >= METAL_HU) >= METAL_VOXELS
    return near


def _outlines(given: Given, peaks: Peaks) -> list[Outline | None]:
    if not given.post.outline:
        return [None] * len(peaks)
    return side_by_side(lambda index: _outline(given, peaks, index), len(peaks))


def _outline(given: Given, peaks: Peaks, index: int) -> Outline | None:
    post = given.post
    kind = post.kinds[int(peaks.kinds[index].argmax())]
    return outline_nodule(
        given.grid_hu,
        peaks.voxels[index],
        float(peaks.diameters_mm[index]),
        given.spacing_mm,
        glassy=kind in post.glassy,
    )


def _lesion(
    given: Given,
    peaks: Peaks,
    index: int,
    score: float | None,
    outline: Outline | None,
    value: int | None,
) -> dict[str, Any]:
    classes = {name: float(chance) for name, chance in zip(given.post.kinds, peaks.kinds[index])}
    measures: dict[str, float | None] = {
        "chance": round(float(peaks.scores[index]), 4),
        "outlined": float(outline is not None),
    }
    if outline is None:
        return _ball_json(given, peaks, index, score, classes, measures)
    if max(classes, key=lambda name: classes[name]) in given.post.glassy:
        measures |= _solid_part(outline)
    return lesion_json(
        index + 1,
        outline.mask,
        [slice(0, size) for size in outline.mask.shape],
        hu=outline.nearest(given.grid_hu),
        geometry=outline.geometry(given.grid_geometry),
        score=score,
        classes=classes,
        mask_value=value,
        measures=measures,
    )


def _solid_part(outline: Outline) -> dict[str, float | None]:
    """Measure the solid part of a nodule; None where it has none."""
    found = axial_diameters(outline.solid, (outline.spacing_mm,) * 3)
    if found is None:
        return {"solid_long_mm": None, "solid_short_mm": None, "solid_volume_mm3": None}
    volume = float(np.count_nonzero(outline.solid)) * outline.spacing_mm**3
    return {
        "solid_long_mm": round(found[0], 1),
        "solid_short_mm": round(found[1], 1),
        "solid_volume_mm3": round(volume, 1),
    }


def _ball_json(
    given: Given,
    peaks: Peaks,
    index: int,
    score: float | None,
    classes: Mapping[str, float],
    measures: Mapping[str, float | None],
) -> dict[str, Any]:
    """Describe a mark of which there is no mask: a ball as the network measured it."""
    centre = in_lps(peaks.voxels[index], given.grid_geometry)
    diameter = float(peaks.diameters_mm[index])
    return {
        "id": index + 1,
        "kind": max(classes, key=lambda name: classes[name]),
        "classes": {name: round(chance, 4) for name, chance in classes.items()},
        "score": None if score is None else round(score, 4),
        "centre_mm": _rounded(centre),
        "box_mm": [_rounded(centre - diameter / 2), _rounded(centre + diameter / 2)],
        "long_diameter_mm": None,
        "short_diameter_mm": None,
        "mean_diameter_mm": round(diameter, 1),
        "volume_mm3": None,
        "hu": hu_statistics(_ball(given, peaks.voxels[index], BALL * diameter)),
        "mask_value": None,
        "measures": dict(measures),
    }


def _ball(given: Given, voxel: Floats, radius_mm: float) -> NDArray[np.int16]:
    """Give the HU of the voxels within a radius of a place; of the nearest one at least."""
    middle = np.clip(np.rint(voxel), 0, np.array(given.grid_hu.shape) - 1).astype(int)
    reach = [int(radius_mm / mm) + 1 for mm in given.spacing_mm]
    index = [
        np.arange(max(0, m - r), min(n, m + r + 1))
        for m, r, n in zip(middle, reach, given.grid_hu.shape)
    ]
    squares = [
        ((axis - place) * mm) ** 2 for axis, place, mm in zip(index, voxel, given.spacing_mm)
    ]
    inside = squares[0][:, None, None] + squares[1][:, None] + squares[2] <= radius_mm**2
    cube = to_host(given.grid_hu[tuple(slice(int(a[0]), int(a[-1]) + 1) for a in index)])
    if not inside.any():
        here = tuple(int(m - axis[0]) for m, axis in zip(middle, index))
        return np.array([cube[here]], np.int16)
    values: NDArray[np.int16] = cube[inside]
    return values


def _values(outlines: Sequence[Outline | None]) -> list[int | None]:
    """Give the outlined lesions numbers from 1, as far as a mask can."""
    values: list[int | None] = []
    last = 0
    for outline in outlines:
        last += outline is not None
        values.append(last if outline is not None and last <= LARGEST_VALUE else None)
    return values


def _mask(
    given: Given, outlines: Sequence[Outline | None], values: Sequence[int | None]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Draw the outlined lesions on the smallest part of the grid that holds them."""
    drawn = [
        (value, *outline.on_grid(given.grid_hu.shape))
        for outline, value in zip(outlines, values)
        if outline is not None and value is not None
    ]
    if not drawn:
        return np.zeros((1, 1, 1), np.uint8), given.grid_geometry
    low = np.min([start for _, start, _ in drawn], axis=0)
    high = np.max([start + part.shape for _, start, part in drawn], axis=0)
    mask = np.zeros(tuple(high - low), np.uint8)
    for value, start, part in reversed(drawn):  # the stronger mark is on top
        place = tuple(slice(a, a + n) for a, n in zip(start - low, part.shape))
        mask[place][part] = value
    geometry = given.grid_geometry.copy()
    geometry[:3, 3] = in_lps(low.astype(np.float64), given.grid_geometry)
    return mask, geometry


def _rounded(point: NDArray[np.float64]) -> list[float]:
    return [round(float(mm), 2) for mm in point]
