"""Parts of boxes, so that a network sees many lesions early.

A part costs a sixth of a box, and most of a box teaches nothing new. What a part says of the whole
patient is little: the last steps of a training are on whole boxes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from networks.nets.roi_net import Triple
from networks.roi_sampling import UNKNOWN, RoiSample, RoiSampler

HELD_PART = 0.5
"""A part that holds less of the box's lesion does not say that the patient is ill."""


class CropSampler:
    """The parts of the boxes of one training, by number.

    Parameters
    ----------
    boxes : RoiSampler
    shape : three int
        Voxels of a part; what a box lacks of it is left away.
    per_box : int
        Parts that are cut out of each box before the next is scanned.
    lesion : int
        The label that is the finding; 0 for none.
    """

    def __init__(self, boxes: RoiSampler, shape: Triple, per_box: int, lesion: int) -> None:
        self.boxes, self.shape, self.per_box, self.lesion = boxes, shape, per_box, lesion
        self._held: tuple[int, RoiSample] | None = None

    def sample(self, number: int) -> RoiSample:
        """Return a part, centred near a voxel of a label that was drawn among those of the box."""
        box = number // self.per_box
        if self._held is None or self._held[0] != box:
            self._held = (box, self.boxes.sample(box))
        rng = np.random.default_rng((self.boxes.seed, number, 29))
        return self.cut(self._held[1], rng)

    def cut(self, sample: RoiSample, rng: np.random.Generator) -> RoiSample:
        """Cut a part out of a box."""
        there = np.unique(sample.labels)
        wanted = int(there[rng.integers(1 if len(there) > 1 else 0, len(there))])
        centre = _voxel_of(sample.labels == wanted, rng)
        part = []
        for middle, size, count in zip(centre, self.shape, sample.hu.shape, strict=True):
            size = min(size, count)
            first = middle - size // 2 + int(rng.integers(-size // 4, size // 4 + 1))
            first = int(np.clip(first, 0, count - size))
            part.append(slice(first, first + size))
        box = tuple(part)
        labels = np.ascontiguousarray(sample.labels[box])
        return replace(
            sample,
            hu=np.ascontiguousarray(sample.hu[box]),
            labels=labels,
            ill=self._ill(sample, labels),
        )

    def _ill(self, sample: RoiSample, labels: NDArray[np.uint8]) -> float:
        """Return whether the part shows that the patient is ill, as far as it can tell."""
        if sample.ill != 1:
            return sample.ill
        whole = np.count_nonzero(sample.labels == self.lesion) if self.lesion else 0
        held = np.count_nonzero(labels == self.lesion)
        return 1.0 if whole and held >= HELD_PART * whole else UNKNOWN


def _voxel_of(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a voxel of a mask."""
    places = np.flatnonzero(mask)
    return np.array(np.unravel_index(places[rng.integers(len(places))], mask.shape))
