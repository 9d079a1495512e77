"""Numbers that a network reads off an image → measures, beside what is known of the patient."""

from __future__ import annotations

import json
import math

import numpy as np

from postprocess.answer import Finished, Given
from postprocess.exceptions import OutputError

SCORES = "scores"
"""Output of the network that holds the numbers."""

CLINICAL = "clinical"
"""What the patient's numbers come in, as the network was given them."""

DIGITS = 3


def finish_values(given: Given) -> Finished:
    """Name the numbers of a network, and make the sums that the recipe asks for.

    Parameters
    ----------
    given : Given
        ``scores`` (1, k), in the order of the recipe's ``values``; and ``clinical`` (1, n), NaN
        where missing, where the recipe names any. Its post is a
        `preprocess.values_post.ValuesPost`.

    Returns
    -------
    Finished
        ``scores``: the numbers. Measures: the numbers and the sums by name, null where something
        is not known that they need. The mask is empty: the numbers are the whole image's.

    Raises
    ------
    OutputError
        When an output is missing, does not fit the recipe, or is not finite.
    """
    post = given.post
    scores = given.numbers(SCORES, len(post.values))
    known: dict[str, float | None] = dict(zip(post.values, map(float, scores), strict=True))
    if post.clinical:
        told = np.asarray(given.small(CLINICAL), np.float64).ravel()
        if told.size != len(post.clinical):
            raise OutputError(f"{CLINICAL} has {told.size} values, not {len(post.clinical)}.")
        known |= {
            name: None if math.isnan(value) else float(value)
            for name, value in zip(post.clinical, told, strict=True)
        }
    for name, inputs in post.needs.items():
        if any(known[one] is None for one in inputs):
            known[name] = None
    measures = {name: known[name] for name in post.values}
    for name, factors in post.sums.items():
        terms = [(factor, known[part]) for part, factor in factors.items()]
        measures[name] = _sum(terms)
    rounded = {k: None if v is None else round(v, DIGITS) for k, v in measures.items()}
    return Finished(
        scores=scores.astype(np.float32),
        lesions=json.dumps({"lesions": [], "measures": rounded}, allow_nan=False),
        mask=np.zeros(given.grid_hu.shape, np.uint8),
        mask_geometry=given.grid_geometry,
    )


def _sum(terms: list[tuple[float, float | None]]) -> float | None:
    total = 0.0
    for factor, value in terms:
        if value is None:
            return None
        total += factor * value
    return total
