"""Tiles of the chest that the network learns from: a few of each of four patients a sample.

Patients come in pairs that share a label, since a pair of tiles teaches only when it is not of one
scan. Every sample scans its tiles, and the survey of the whole, anew. Left and right are never
flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.chest_scenes import ChestPool, Planting
from networks.chest_study import SIDE, Study
from networks.nets.tile_encoder import SURVEY, TILE

PATIENTS = 4
"""Of a sample."""

BLOCKS = 6
"""Blocks of 2 × 2 × 2 tiles of each patient: at findings, at confounders, and anywhere."""

HEALTHY_SHARE = 0.25
"""Samples whose last patient has nothing but confounders."""

ZONES = 3
"""Of the chest from below; a healthy tile is of another kind in each."""


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Tiles of a few studies.

    Attributes
    ----------
    tiles : (N, T, TILE, TILE, TILE) ndarray of int16
        HU.
    places : (N, T) ndarray of int64
        On the flattened grid of tiles of the survey.
    survey : (N, D, H, W) ndarray of int16
        HU at 6 mm, padded behind by replication.
    labels : (N, T, L) ndarray of int8
    shown : (N, T) ndarray of int64
        What each mostly shows, and in which zone.
    study : (N, L) ndarray of int8
    patients : (N,) ndarray of int64
        Seeds.
    """

    tiles: NDArray[np.int16]
    places: NDArray[np.int64]
    survey: NDArray[np.int16]
    labels: NDArray[np.int8]
    shown: NDArray[np.int64]
    study: NDArray[np.int8]
    patients: NDArray[np.int64]


def look(
    pool: ChestPool, plantings: Sequence[Planting], rng: np.random.Generator, blocks: int = BLOCKS
) -> TileGroup:
    """Scan a few blocks of each of some plantings, and survey each."""
    studies = [Study.draw(pool, planting, rng) for planting in plantings]
    surveys = [study.survey(rng) for study in studies]
    shape = np.max([survey.shape for survey in surveys], axis=0)
    grid = shape // (TILE // SURVEY)
    tiles, places, labels, shown = [], [], [], []
    within = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for study in studies:
        corners = study.corners(blocks, rng)
        scanned = [study.block(corner, rng) for corner in corners]
        tiles.append(np.concatenate([block.hu for block in scanned]))
        labels.append(np.concatenate([block.labels for block in scanned]))
        index = (corners[:, None] + within[None]).reshape(-1, 3)
        zone = index[:, 0] * ZONES // study.tiles[0]
        shown.append(np.concatenate([block.shown for block in scanned]) * ZONES + zone)
        places.append(np.ravel_multi_index(tuple(index.T), tuple(grid)))
    padded = [
        np.pad(s, [(0, most - size) for most, size in zip(shape, s.shape)], mode="edge")
        for s in surveys
    ]
    return TileGroup(
        tiles=np.stack(tiles),
        places=np.stack(places).astype(np.int64),
        survey=np.stack(padded),
        labels=np.stack(labels),
        shown=np.stack(shown),
        study=np.stack([study.labels() for study in studies]),
        patients=np.array([planting.seed for planting in plantings], np.int64),
    )


class ChestSampler:
    """The groups of one training, by number.

    Parameters
    ----------
    pool : ChestPool
    seed : int
        Of the training.
    first_seed : int
        Of the pool's patients.
    first, size, every : int
        There are `first` patients at sample 0 and one more every `every` samples, up to `size`.
    """

    def __init__(
        self,
        pool: ChestPool,
        seed: int,
        *,
        first_seed: int,
        first: int,
        size: int,
        every: int,
    ) -> None:
        self.pool, self.seed, self.first_seed = pool, seed, first_seed
        self.first, self.size, self.every = first, size, every
        self._known: list[Planting] = []
        self._patients = 0

    def plantings(self, number: int) -> list[Planting]:
        """Return what a sample may choose from, in the order of the seeds."""
        known = min(self.size, self.first + number // self.every)
        while self._patients < known:
            self._known += self.pool.plantings(self.first_seed + self._patients)
            self._patients += 1
        return [p for p in self._known if p.seed < self.first_seed + known]

    def group(self, number: int) -> TileGroup:
        """Return a sample: pairs of patients that share a label, all labels equally often."""
        rng = np.random.default_rng((self.seed, number))
        known = self.plantings(number)
        by_label: dict[str, list[Planting]] = {}
        for planting in known:
            for label in planting.labels:
                by_label.setdefault(label, []).append(planting)
        names = sorted(by_label)
        chosen: list[Planting] = []
        while len(chosen) < PATIENTS and names:
            having = by_label[names[rng.integers(len(names))]]
            for n in rng.permutation(len(having))[:2]:
                if having[n].seed not in {planting.seed for planting in chosen}:
                    chosen.append(having[n])
            if len({planting.seed for planting in known}) <= len(chosen):
                break
        while len(chosen) < PATIENTS:
            chosen.append(known[rng.integers(len(known))])
        chosen = chosen[:PATIENTS]
        taken = {planting.seed for planting in chosen[:-1]}
        healthy = [x for x in known if not x.labels and x.seed not in taken]
        if healthy and rng.random() < HEALTHY_SHARE:
            chosen[-1] = healthy[rng.integers(len(healthy))]
        return look(self.pool, chosen, rng)
