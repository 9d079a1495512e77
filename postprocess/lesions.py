"""A label map and a heat map of one organ → lesions with place, size, density and kind."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from postprocess.answer import Finished, Given
from postprocess.attenuation import HU_MAX, HU_MIN, attenuation
from postprocess.components import keep_components
from postprocess.diameters import inscribed_diameter
from postprocess.labelmap import check_labels
from postprocess.lesion import lesion_json
from preprocess.arrays import Array, array_namespace, counts_of, image_functions, like, to_host
from preprocess.objects import find_boxes

Mask = Array
"""(S, R, C) of bool."""

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
    given: Given, labels: Array, heat: Array, score: float
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
        parts = suspicious(heat * allowed)
    parts.sort(key=lambda found: -lesion_score(heat[found[0]][found[1]]))
    return parts[: post.most]


def organ_mask(given: Given, labels: Array) -> Mask:
    """Give where lesions of the organ may touch: its largest piece here, and anatomy's organ."""
    post = given.post
    body = keep_components(
        _among(labels, post.labels, (*post.organ, post.lesion)), largest_only=True
    )
    organ = body & _among(labels, post.labels, [n for n in post.organ if n != post.lesion])
    if given.organs is not None and post.within:
        organ |= given.organs.beside(labels).mask(post.within, labels.shape, given.grid_geometry)
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
        away = _away_from(here, spacing_mm)
        inner = tuple(slice(o, o + n) for o, n in zip(offset, part.shape))
        if float(away[inner][part].min()) <= within_mm:
            kept.append((place, part))
    return kept


def suspicious(heat: Array) -> list[tuple[tuple[slice, ...], Mask]]:
    """Give the place around the highest probability; nothing where it is next to none."""
    top = int(heat.max())
    if top < LEAST_HEAT * HEAT_STEPS:
        return []
    peak = tuple(int(n) for n in np.unravel_index(int(heat.argmax()), heat.shape))
    label = image_functions(heat).label
    pieces, _ = label(heat >= max(SUSPICIOUS_SHARE * top, 1), structure=_TOUCHING)
    part = pieces == int(pieces[peak])
    (place,) = find_boxes(part.astype(np.uint8), 1)
    assert place is not None
    return [(place, part[place])]


def lesion_score(heat: Array) -> float:
    """Give the mean probability of the hottest voxels of a lesion; of all, where it has fewer."""
    hottest = np.sort(to_host(heat), axis=None)[-HOTTEST:]
    return float(hottest.mean()) / HEAT_STEPS


def organ_tissue(given: Given, labels: Array) -> dict[str, float | None]:
    """Measure the organ: its volume with the lesion, and the median HU of it without."""
    post = given.post
    whole = _among(labels, post.labels, post.organ)
    main = labels == post.labels.index(post.organ[0])
    xp = array_namespace(labels)
    hu = xp.clip(given.grid_hu[main], HU_MIN, HU_MAX).astype(xp.int64) - HU_MIN
    counts = counts_of(hu, HU_MAX - HU_MIN + 1)
    tissue = attenuation(counts, outlier_sds=OUTLIER_SDS)
    ml = int(whole.sum()) * float(np.prod(given.spacing_mm)) / 1000.0
    return {
        "volume_ml": round(ml, 1),
        "median_hu": None if tissue is None else round(tissue.median_hu, 1),
    }


def _among(labels: Array, names: Sequence[str], chosen: Sequence[str]) -> Mask:
    """Give where a label map has any of some labels."""
    table = np.isin(np.arange(256), [names.index(name) for name in chosen])
    return like(labels, table)[labels]


def _pieces(hot: Mask, least: int) -> list[tuple[tuple[slice, ...], Mask]]:
    pieces, count = image_functions(hot).label(hot, structure=_TOUCHING)
    if not count:
        return []
    sizes = counts_of(pieces.ravel(), count + 1)
    large = np.flatnonzero(sizes[1:] >= least) + 1
    numbers = np.zeros(count + 1, np.int32)  # the large ones alone, from 1
    numbers[large] = np.arange(1, len(large) + 1)
    kept = like(hot, numbers)[pieces]
    return [
        (place, kept[place] == number)
        for number, place in enumerate(find_boxes(kept, len(large)), start=1)
        if place is not None
    ]


def _dilated(organ: Mask, within_mm: float, spacing_mm: Sequence[float]) -> Mask:
    """Give what is near an organ; everything where there is none."""
    if not organ.any():
        return array_namespace(organ).ones(organ.shape, np.bool_)
    return _away_from(organ, spacing_mm) <= within_mm


def _away_from(mask: Mask, spacing_mm: Sequence[float]) -> Array:
    """Distance of each voxel to the nearest one of a mask, mm."""
    return image_functions(mask).distance_transform_edt(~mask, sampling=spacing_mm)


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
