"""Tables whose rows are ordered by a score: put in one order before they are compared.

Two rows that score alike change places by the last bit of a score, and the last row of a table
changes with the first one that is left out. Neither is an answer that differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PEAKS = "peaks"
"""(N, K, 5 + kinds): score, z, y, x, diameter, kinds; of `ct_detect`'s networks."""

KEPT, ALONGSIDE = "kept", ("worth", "embedded")
"""(N, K) numbers of tiles, and what stands of each; of the chest's network."""

EDGE = 1.05
"""A peak that scores less than this × the last one of either table may be in one alone."""

Arrays = dict[str, NDArray[Any]]


def in_one_order(reference: Arrays, candidate: Arrays) -> tuple[Arrays, Arrays]:
    """Give both with the candidate's rows in the reference's order; others are as they were."""
    ours, theirs = dict(reference), dict(candidate)
    if PEAKS in ours and ours[PEAKS].shape == theirs[PEAKS].shape:
        pairs = [_peaks(a, b) for a, b in zip(ours[PEAKS], theirs[PEAKS])]
        ours[PEAKS], theirs[PEAKS] = (np.stack(side) for side in zip(*pairs))
    if KEPT in ours and ours[KEPT].shape == theirs[KEPT].shape:
        orders = [_order(a, b) for a, b in zip(ours[KEPT], theirs[KEPT])]
        for name in (KEPT, *ALONGSIDE):
            if name in theirs:
                theirs[name] = np.stack([one[row] for one, row in zip(theirs[name], orders)])
    return ours, theirs


def _peaks(
    ours: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Match peaks by place, the strongest first; those at the table's edge become zeros."""
    away = np.linalg.norm(ours[:, None, 1:4] - theirs[None, :, 1:4], axis=-1)
    order = np.zeros(len(ours), np.intp)
    for row in np.argsort(-ours[:, 0], kind="stable"):
        order[row] = int(away[row].argmin())
        away[:, order[row]] = np.inf
    matched = theirs[order].copy()
    edge = EDGE * max(float(ours[:, 0].min()), float(theirs[:, 0].min()))
    sure = ours[:, :1] > edge
    return np.where(sure, ours, 0), np.where(sure, matched, 0)


def _order(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.intp]:
    """Give the row of theirs that stands for each of ours; what ours lacks fills the rest."""
    places = {int(tile): row for row, tile in enumerate(theirs) if tile >= 0}
    found = [places.pop(int(tile), None) for tile in ours]
    used = {row for row in found if row is not None}
    rest = iter(row for row in range(len(theirs)) if row not in used)
    return np.array([row if row is not None else next(rest) for row in found], np.intp)
