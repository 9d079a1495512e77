"""Cumulative probabilities → the probability of each grade, and continuous scores."""

from __future__ import annotations

import json

import numpy as np

from postprocess.answer import Finished, Given

SCORES = "scores"
"""Output of the network that holds the continuous scores."""


def finish_grades(given: Given) -> Finished:
    """Make grades of what an ordinal network gave.

    Parameters
    ----------
    given : Given
        One output for each entry of the recipe's ``grades``, (1, grades − 1): number k is the
        probability of a grade above the k-th; and ``scores``, (1, n).
        Its post is a `preprocess.posts.GradesPost`.

    Returns
    -------
    Finished
        ``scores``: the probability of each grade, table after table; each sums to 1.
        Measures: the continuous scores by name, and ``NAME_or_more``, the probability of each
        grade but the lowest and of those above it. The mask is empty: grades have no place.

    Raises
    ------
    OutputError
        When an output is missing, does not fit the recipe, or is not finite.
    """
    post = given.post
    measures: dict[str, float] = {}
    chances = []
    for output, names in post.grades.items():
        above = np.clip(given.numbers(output, len(names) - 1), 0.0, 1.0)
        above = np.minimum.accumulate(above)  # a higher grade is never likelier to be reached
        chances.append(-np.diff(above, prepend=1.0, append=0.0))
        measures |= {
            f"{name}_or_more": round(float(p), 4) for name, p in zip(names[1:], above, strict=True)
        }
    scores = given.numbers(SCORES, len(post.scores))
    measures |= {name: round(float(s), 4) for name, s in zip(post.scores, scores, strict=True)}
    return Finished(
        scores=np.concatenate(chances).astype(np.float32),
        lesions=json.dumps({"lesions": [], "measures": measures}, allow_nan=False),
        mask=np.zeros(given.grid_hu.shape, np.uint8),
        mask_geometry=given.grid_geometry,
    )
