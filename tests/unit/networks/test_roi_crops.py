"""Parts of boxes: small, centred on what is rare, honest about the patient."""

from __future__ import annotations

import numpy as np

from networks.roi_crops import CropSampler
from networks.roi_sampling import UNKNOWN, RoiSample

LESION = 2
SHAPE = (16, 32, 32)


class Boxes:
    """Boxes of one organ, every second with a small lesion in a corner."""

    seed = 3

    def __init__(self) -> None:
        self.scanned = 0

    def sample(self, number: int) -> RoiSample:
        """Return a box, its number in the first voxel."""
        self.scanned += 1
        labels = np.zeros((32, 64, 64), np.uint8)
        labels[8:24, 16:48, 16:48] = 1
        if number % 2:
            labels[8:12, 16:20, 16:20] = LESION
        hu = np.full(labels.shape, number, np.int16)
        return RoiSample(hu, labels, float(number % 2), "pdac", "easy", number, "scanner")


def parts() -> CropSampler:
    return CropSampler(Boxes(), SHAPE, 4, LESION)  # type: ignore[arg-type]


def test_a_part_is_a_function_of_its_number() -> None:
    """Whatever was cut before, the same number gives the same bytes."""
    first, again = parts().sample(6), parts()
    again.sample(1)
    np.testing.assert_array_equal(again.sample(6).labels, first.labels)
    assert first.hu.shape == SHAPE


def test_a_box_is_scanned_once_for_its_parts() -> None:
    """Four parts a box."""
    sampler = parts()
    seen = [int(sampler.sample(number).hu[0, 0, 0]) for number in range(12)]
    assert seen == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert sampler.boxes.scanned == 3  # type: ignore[attr-defined]


def test_a_part_is_ill_only_with_its_lesion() -> None:
    """Without the lesion an ill patient's part says nothing; a healthy one's is healthy."""
    sampler = parts()
    for number in range(80):
        part = sampler.sample(number)
        held = int((part.labels == LESION).sum())
        healthy = (number // 4) % 2 == 0
        assert part.ill == (0.0 if healthy else 1.0 if held >= 32 else UNKNOWN)


def test_a_small_lesion_is_shown_often() -> None:
    """A lesion of a thousandth of the box lies in most of the parts of ill boxes."""
    sampler = parts()
    shown = [
        bool((sampler.sample(number).labels == LESION).any())
        for number in range(400)
        if (number // 4) % 2
    ]
    assert np.mean(shown) > 0.5


def test_a_box_smaller_than_the_part_is_kept_whole() -> None:
    """Nothing is padded: the axes of a box are multiples of what the network needs."""
    sampler = CropSampler(Boxes(), (48, 96, 32), 1, LESION)  # type: ignore[arg-type]
    assert sampler.sample(0).hu.shape == (32, 64, 32)
