"""A map of coronary territories and the scan's own pixels → calcium, scored and placed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from postprocess.agatston import THRESHOLD_HU, CalciumScore, calcium_scores
from postprocess.answer import Finished, Given
from postprocess.attenuation import METAL_HU, attenuation, histograms
from postprocess.erode import erode
from postprocess.exceptions import OutputError
from postprocess.labelmap import check_labels
from postprocess.lesion import lesion_json
from preprocess.arrays import Array, array_namespace, counts_of, image_functions, like, to_host
from preprocess.grid import Grid
from preprocess.objects import find_boxes
from preprocess.organs import OrganMap

MOST_PLAQUES = 255
"""That a mask can number; the smallest beyond it are counted in the score and not listed."""

LEAST_NOISE_VOXELS = 100
"""Of fewer voxels of blood the SD is uncertain by more than 7 %."""

OUTLIER_SDS = 3.0
"""Robust SDs from the median, beyond which a voxel is wall or calcium and not blood."""

METAL_MM3 = 1.0
"""Less is the noise of a dense plaque."""

_TOUCHING = np.ones((3, 3, 3), np.bool_)
"""Voxels that share a corner are one plaque; in a slice that is the rule's own 8-connectedness."""


def finish_calcium(given: Given) -> Finished:
    """Score the calcium within the coronary territories by the Agatston rule.

    Parameters
    ----------
    given : Given
        Output ``labels``, (1, D, H, W) ndarray of uint8, padded; ``scan_hu`` and
        ``scan_geometry``, on whose own pixels the rule counts.
        Its post is a `preprocess.posts.CalciumPost`.

    Returns
    -------
    Finished
        ``scores``: the Agatston score of all and of each territory. Measures: ``agatston``,
        ``volume_mm3``, ``plaques``, ``vessels`` (territories with calcium), ``agatston_NAME`` of
        each territory, ``metal_mm3`` of what was left out, ``increment_mm`` of the slices that
        were scored, and ``noise_sd_hu``, the SD of blood in the noise organ, None where too
        little of it is seen.
        Lesions: the plaques by falling score; ``mask`` numbers them on the scan's own pixels.

    Raises
    ------
    OutputError
        When an output is missing or does not fit the recipe.
    """
    post = given.post
    if given.scan_hu is None or given.scan_geometry is None:
        raise OutputError("a recipe of kind calcium needs scan_hu and scan_geometry.")
    grid = Grid(_three(given.scan_hu.shape), given.scan_geometry)
    labels = given.on_grid("labels")
    check_labels(labels, len(post.labels))
    seen = OrganMap(labels, post.labels, Grid(_three(labels.shape), given.grid_geometry))
    numbers = np.zeros(256, np.uint8)
    for number, name in enumerate(post.territories, start=1):
        numbers[post.labels.index(name)] = number
    territories = like(labels, numbers)[seen.on(grid.shape, grid.affine)]
    metal_mm3 = drop_metal(given.scan_hu, territories, float(np.prod(grid.spacing_mm)))
    total, *each = calcium_scores(
        given.scan_hu, territories, spacing_mm=grid.spacing_mm, count=len(post.territories)
    )
    plaques, lesions = _plaques(given.scan_hu, territories, grid, post.territories)
    measures = {
        "agatston": round(total.agatston, 1),
        "volume_mm3": round(total.volume_mm3, 1),
        "plaques": len(lesions),
        "vessels": sum(score.agatston > 0 for score in each),
        **{
            f"agatston_{name}": round(score.agatston, 1)
            for name, score in zip(post.territories, each, strict=True)
        },
        "metal_mm3": round(metal_mm3, 1),
        "increment_mm": round(grid.spacing_mm[0], 3),
        "noise_sd_hu": noise_sd(given, grid),
    }
    return Finished(
        scores=np.array([score.agatston for score in (total, *each)], np.float32),
        lesions=json.dumps({"lesions": lesions, "measures": measures}, allow_nan=False),
        mask=plaques,
        mask_geometry=grid.affine,
    )


def drop_metal(hu: Array, territories: Array, voxel_mm3: float) -> float:
    """Take out of the territories, in place, whatever dense thing has metal in it.

    Returns
    -------
    float
        mm³ of metal.
    """
    inside = territories > 0
    if not ((hu >= METAL_HU) & inside).any():
        return 0.0
    hot = (hu >= THRESHOLD_HU) & inside
    pieces, count = image_functions(hu).label(hot, structure=_TOUCHING)
    metal = counts_of(pieces[(hu >= METAL_HU) & inside], count + 1)
    is_metal = metal * voxel_mm3 >= METAL_MM3
    is_metal[0] = False
    territories[like(hu, is_metal)[pieces]] = 0
    return float(metal[is_metal].sum() * voxel_mm3)


def noise_sd(given: Given, grid: Grid) -> float | None:
    """Measure the SD of blood away from the wall, HU; None where too little of it is seen."""
    post = given.post
    if given.organs is None or given.scan_hu is None:
        return None
    organs = given.organs.beside(given.scan_hu)
    deep = erode(organs.labels, distance_mm=post.erode_mm, spacing_mm=organs.grid.spacing_mm)
    inner = OrganMap(organs.labels * deep, organs.names, organs.grid)
    blood = inner.mask([post.noise_organ], grid.shape, grid.affine)
    if int(blood.sum()) < LEAST_NOISE_VOXELS:
        return None
    counts = histograms(blood.astype(np.uint8), given.scan_hu, blood, 2)[1]
    tissue = attenuation(counts, outlier_sds=OUTLIER_SDS)
    return None if tissue is None else round(tissue.sd_hu, 1)


def _plaques(
    hu: Array, territories: Array, grid: Grid, names: tuple[str, ...]
) -> tuple[Array, list[dict[str, Any]]]:
    """Find the plaques that count, number them by falling score and describe each."""
    hot = (hu >= THRESHOLD_HU) & (territories > 0)
    pieces, count = image_functions(hu).label(hot, structure=_TOUCHING)
    scored: list[tuple[CalciumScore, int, tuple[slice, ...]]] = []
    for number, box in enumerate(find_boxes(pieces, count), start=1):
        assert box is not None
        part = to_host(pieces[box]) == number
        (score, _) = calcium_scores(to_host(hu[box]), part, spacing_mm=grid.spacing_mm)
        if score.lesions:
            scored.append((score, number, box))
    scored.sort(key=lambda item: (-item[0].agatston, item[1]))
    mask = array_namespace(hu).zeros(hu.shape, np.uint8)
    lesions = []
    for value, (score, number, place) in enumerate(scored[:MOST_PLAQUES], start=1):
        mask[place][pieces[place] == number] = value
        part = to_host(pieces[place]) == number
        votes = np.bincount(to_host(territories[place])[part], minlength=len(names) + 1)
        lesions.append(
            lesion_json(
                value,
                part,
                place,
                hu=hu,
                geometry=grid.affine,
                score=None,
                classes={},
                kind=names[int(votes[1:].argmax())],
                mask_value=value,
                measures={"agatston": round(score.agatston, 1)},
            )
        )
    return mask, lesions


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    s, r, c = shape
    return s, r, c
