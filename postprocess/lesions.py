"""A label map and a heat map of one organ → lesions with place, size, density and kind."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from postprocess.answer import Finished, Given
from postprocess.attenuation import HU_MAX, HU_MIN, attenuation
from postprocess.components import keep_components
from postprocess.diameters import inscribed_diameter
from postprocess.labelmap import check_labels
from postprocess.lesion import lesion_json

Mask = NDArray[np.bool_]

HEAT_STEPS = 255
"""The heat map is a byte a voxel: probability in 255ths."""

HOTTEST = 50
"""Voxels whose mean probability is the score of a lesion."""

LEAST_HEAT = 0.02
"""Probability below which nothing is a suspicious place."""

SUSPICIOUS_SHARE = 0.5
"""Of the highest probability: what is as hot and connected with it is the suspicious place."""

OUTLIER_SDS = 3.0
"""Robust SDs from the median, beyond which a voxel is not organ tissue."""

_TOUCHING = np.ones((3, 3, 3), np.bool_)
"""Voxels that share a corner are one lesion: a flap is a voxel thick and oblique."""


def finish_lesions(given: Given) -> Finished:
    """Make measured lesions of what a network for one organ gave.

    Parameters
    ----------
    given : Given
        Outputs ``labels`` and ``lesion``, (1, D, H, W) ndarray of uint8, padded, the second a
        probability in 255ths; ``score``, (1, 1), the probability that the patient is ill; and
        ``kinds``, (1, kinds), where the recipe names kinds.
        Its post is a `preprocess.posts.LesionsPost`.

    Returns
    -------
    Finished
        ``scores``: the patient's score, then the kinds. ``mask``: the network's labels, in which
        each listed lesion has a value of its own beyond them, and what was dropped is background.
        Measures: ``volume_ml`` and ``median_hu`` of the organ, and the recipe's calibres.

    Raises
    ------
    OutputError
        When an output is missing, does not fit the recipe, or is not finite.
    """
    post = given.post
    labels = given.on_grid("labels")
    check_labels(labels, len(post.labels))
    heat = given.on_grid("lesion")
    score = float(given.numbers("score", 1)[0])
    kinds = given.numbers("kinds", len(post.kinds)) if post.kinds else np.zeros(0)
    value = post.labels.index(post.lesion)
    found = find_lesions(given, labels, heat, score)
    mask = labels.copy()
    mask[labels == value] = 0
    for number, (place, part) in enumerate(found):
        mask[place][part] = len(post.labels) + number
    classes = dict(zip(post.kinds, (float(p) for p in kinds)))
    lesions = [
        lesion_json(
            number,
            part,
            place,
            hu=given.grid_hu,
            geometry=given.grid_geometry,
            score=lesion_score(heat[place][part]),
            # the network names the kind of the patient's lesion, not of each
            classes=classes if number == 1 else {},
            mask_value=len(post.labels) + number - 1,
        )
        for number, (place, part) in enumerate(found, start=1)
    ]
    measures = organ_tissue(given, labels)
    for name, tube in post.calibres.items():
        width = inscribed_diameter(_among(labels, post.labels, tube), given.spacing_mm)
        measures[name] = round(width, 1) if width else None
    return Finished(
        scores=np.array([score, *kinds], np.float32),
        lesions=json.dumps({"lesions": lesions, "measures": measures}, allow_nan=False),
        mask=mask,
        mask_geometry=given.grid_geometry,
    )


def find_lesions(
    given: Given, labels: NDArray[np.uint8], heat: NDArray[np.uint8], score: float
) -> list[tuple[tuple[slice, ...], Mask]]:
    """Find the connected lesions near the organ.

    Returns
    -------
    list of (box, mask within the box)
        By falling score, no more than the recipe lists.
    """
    post = given.post
    value = post.labels.index(post.lesion)
    hot = (labels == value) | (heat >= post.least_chance * HEAT_STEPS)
    voxel_mm3 = float(np.prod(given.spacing_mm))
    least = int(np.ceil(post.min_volume_mm3 / voxel_mm3))
    organ = organ_mask(given, labels)
    parts = near(_pieces(hot, least), organ, post.within_mm, given.spacing_mm)
    if not parts and score >= post.place_from:
        allowed = _dilated(organ, post.within_mm, given.spacing_mm)
        parts = suspicious(np.where(allowed, heat, np.uint8(0)))
    parts.sort(key=lambda found: -lesion_score(heat[found[0]][found[1]]))
    return parts[: post.most]


def organ_mask(given: Given, labels: NDArray[np.uint8]) -> Mask:
    """Give where lesions of the organ may touch: its largest piece here, and anatomy's organ."""
    post = given.post
    body = keep_components(
        _among(labels, post.labels, (*post.organ, post.lesion)), largest_only=True
    )
    organ = body & _among(labels, post.labels, [n for n in post.organ if n != post.lesion])
    if given.organs is not None and post.within:
        organ |= given.organs.mask(post.within, labels.shape, given.grid_geometry)
    return organ


def near(
    parts: Sequence[tuple[tuple[slice, ...], Mask]],
    organ: Mask,
    within_mm: float,
    spacing_mm: Sequence[float],
) -> list[tuple[tuple[slice, ...], Mask]]:
    """Drop pieces whose nearest voxel is too far from an organ; all stay where there is none."""
    if not organ.any():
        return list(parts)
    kept = []
    for place, part in parts:
        wide, offset = _grown(place, organ.shape, within_mm, spacing_mm)
        here = organ[wide]
        if not here.any():
            continue
        away = ndimage.distance_transform_edt(~here, sampling=spacing_mm)
        inner = tuple(slice(o, o + n) for o, n in zip(offset, part.shape))
        if away[inner][part].min() <= within_mm:
            kept.append((place, part))
    return kept


def suspicious(heat: NDArray[np.uint8]) -> list[tuple[tuple[slice, ...], Mask]]:
    """Give the place around the highest probability; nothing where it is next to none."""
    top = int(heat.max(initial=0))
    if top < LEAST_HEAT * HEAT_STEPS:
        return []
    peak = np.unravel_index(int(heat.argmax()), heat.shape)
    pieces, _ = ndimage.label(heat >= max(SUSPICIOUS_SHARE * top, 1), structure=_TOUCHING)
    number = int(pieces[peak])
    place = ndimage.find_objects(pieces)[number - 1]
    return [(place, pieces[place] == number)]


def lesion_score(heat: NDArray[np.uint8]) -> float:
    """Give the mean probability of the hottest voxels of a lesion; of all, where it has fewer."""
    hottest = np.sort(heat, axis=None)[-HOTTEST:]
    return float(hottest.mean()) / HEAT_STEPS


def organ_tissue(given: Given, labels: NDArray[np.uint8]) -> dict[str, float | None]:
    """Measure the organ: its volume with the lesion, and the median HU of it without."""
    post = given.post
    whole = _among(labels, post.labels, post.organ)
    main = labels == post.labels.index(post.organ[0])
    hu = np.clip(given.grid_hu[main], HU_MIN, HU_MAX).astype(np.int64) - HU_MIN
    tissue = attenuation(np.bincount(hu, minlength=HU_MAX - HU_MIN + 1), outlier_sds=OUTLIER_SDS)
    ml = np.count_nonzero(whole) * float(np.prod(given.spacing_mm)) / 1000.0
    return {
        "volume_ml": round(ml, 1),
        "median_hu": None if tissue is None else round(tissue.median_hu, 1),
    }


def _among(labels: NDArray[np.uint8], names: Sequence[str], chosen: Sequence[str]) -> Mask:
    """Give where a label map has any of some labels."""
    table = np.isin(np.arange(256), [names.index(name) for name in chosen])
    return table[labels]


def _pieces(hot: Mask, least: int) -> list[tuple[tuple[slice, ...], Mask]]:
    pieces, _ = ndimage.label(hot, structure=_TOUCHING)
    found = []
    for number, place in enumerate(ndimage.find_objects(pieces), start=1):
        part = pieces[place] == number
        if np.count_nonzero(part) >= least:
            found.append((place, part))
    return found


def _dilated(organ: Mask, within_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Give what is near an organ; everything where there is none."""
    if not organ.any():
        return np.ones(organ.shape, np.bool_)
    away = ndimage.distance_transform_edt(~organ, sampling=spacing_mm)
    near_by: Mask = away <= within_mm
    return near_by


def _grown(
    place: tuple[slice, ...], shape: Sequence[int], by_mm: float, spacing_mm: Sequence[float]
) -> tuple[tuple[slice, ...], tuple[int, ...]]:
    """Grow a box on all sides; and give where the old one begins in it."""
    wide, offset = [], []
    for part, count, mm in zip(place, shape, spacing_mm):
        start = max(0, part.start - int(by_mm / mm) - 1)
        wide.append(slice(start, min(count, part.stop + int(by_mm / mm) + 1)))
        offset.append(part.start - start)
    return tuple(wide), tuple(offset)
