"""Probabilities of the chest's labels, and the tiles that say them → measures with places."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.answer import Finished, Given
from postprocess.exceptions import OutputError
from postprocess.lesion import lesion_json

PROBABILITIES = "probabilities"
WHERE = "where"
BANK_DIGEST = "bank_digest"

UNMEASURED = ("long_diameter_mm", "short_diameter_mm", "mean_diameter_mm", "volume_mm3")
"""A tile says nothing of the size of what lies in it."""

DIGITS = 6
"""Significant; flags of rare labels are small probabilities."""


def finish_chest(given: Given) -> Finished:
    """Name the probabilities of a network, and place each label at the tile that says it most.

    Parameters
    ----------
    given : Given
        ``probabilities`` (1, k), in the order of the recipe's labels: below 0 where the label is
        not evaluated; ``where`` (1, k), a tile on the grid of tiles, flattened; ``bank_digest``,
        of the memory bank that the tiles were compared with.
        Its post is a `preprocess.chest_post.ChestPost`.

    Returns
    -------
    Finished
        ``scores``: the highest probability. Measures: the probability of each label, null where it
        is not evaluated. A lesion for each label that is, by falling probability: its kind is the
        label and its box the tile, as far as that lies in the grid. ``memory_bank`` is the
        bank's digest. The mask is empty: a tile is no outline.

    Raises
    ------
    OutputError
        When an output is missing, does not fit the recipe, or is out of range.
    """
    post, shape = given.post, given.grid_hu.shape
    chances = given.numbers(PROBABILITIES, len(post.labels))
    if (chances > 1).any():
        raise OutputError(f"{PROBABILITIES} exceed 1.")
    tiles = tuple(-(-size // post.tile) for size in shape)
    places = given.numbers(WHERE, len(post.labels)).astype(np.int64)
    known = np.flatnonzero(chances >= 0)
    if ((places[known] < 0) | (places[known] >= np.prod(tiles))).any():
        raise OutputError(f"{WHERE} names a tile beyond the grid of {tiles}.")
    ranked = known[np.argsort(-chances[known], kind="stable")]
    lesions = []
    for number, label in enumerate(ranked, start=1):
        corner = np.array(np.unravel_index(places[label], tiles)) * post.tile
        chance = float(f"{chances[label]:.{DIGITS}g}")
        lesions.append(_lesion(given, number, post.labels[label], chance, corner))
    measures = {
        name: float(f"{chance:.{DIGITS}g}") if chance >= 0 else None
        for name, chance in zip(post.labels, chances, strict=True)
    }
    told = {"lesions": lesions, "measures": measures, "memory_bank": _digest(given)}
    return Finished(
        scores=np.array([chances[known].max(initial=0.0)], np.float32),
        lesions=json.dumps(told, allow_nan=False),
        mask=np.zeros(shape, np.uint8),
        mask_geometry=given.grid_geometry,
    )


def _lesion(
    given: Given, number: int, label: str, chance: float, corner: NDArray[np.int64]
) -> dict[str, Any]:
    """Describe a label by its tile."""
    ends = np.minimum(corner + given.post.tile, given.grid_hu.shape)
    place = tuple(slice(int(a), int(b)) for a, b in zip(corner, ends, strict=True))
    lesion = lesion_json(
        number,
        np.ones(tuple(ends - corner), np.bool_),
        place,
        hu=given.grid_hu,
        geometry=given.grid_geometry,
        score=None,
        classes={},
        mask_value=None,
        kind=label,
    )
    return lesion | dict.fromkeys(UNMEASURED) | {"score": chance, "classes": {label: chance}}


def _digest(given: Given) -> str:
    text = given.small(BANK_DIGEST).reshape(-1)[0]
    return str(text.decode() if isinstance(text, bytes) else text)
