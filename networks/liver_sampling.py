"""Livers that the ordinal network learns from: a kept planting scanned anew, and a chart.

Fat moves a little about that of the planting; blood values and report are drawn for what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from networks.liver_scenes import FAT_PERCENT, LiverPool, draw_fat, grade_of, with_fat
from networks.phantoms.clinical import draw_chart
from networks.phantoms.lesion import Lesion
from networks.phantoms.patient import Patient
from networks.phantoms.profiles import ScannerProfile
from networks.phantoms.region import Axes
from networks.phantoms.tissue import Tissue
from networks.roi_sampling import RoiSample, View
from preprocess.tokens import tokens

LIVER, SPLEEN = 1, 2

FAT_SHIFT_PERCENT = 2.5
"""Largest change of PDFF against the planting's: surfaces were painted at that one's HU."""

NO_VALUES = 0.25
"""Share of samples without any clinical value."""

VALUE_MISSING = 0.15
"""Share of single values that are missing where there are some."""

NO_REPORT = 0.2
"""Share of samples whose report is held back, beside those that have none."""


@dataclass(frozen=True, slots=True)
class LiverSample:
    """A liver with its chart.

    Attributes
    ----------
    box : RoiSample
        Labels: 1 liver, 2 spleen.
    clinical : (k,) ndarray of float32
        NaN where missing.
    tokens : (T,) ndarray of int64
    steatosis, fibrosis : int
        Grade 0 to 3, stage 0 to 4.
    pdff_percent : float
    """

    box: RoiSample
    clinical: NDArray[np.float32]
    tokens: NDArray[np.int64]
    steatosis: int
    fibrosis: int
    pdff_percent: float


def paint(tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes) -> NDArray[np.uint8]:
    """Label liver and spleen; see `networks.roi_sampling.Painter`."""
    labels = np.zeros(tissues.shape, np.uint8)
    labels[(tissues == Tissue.LIVER) | (tissues == Tissue.LIVER_VESSEL)] = LIVER
    labels[tissues == Tissue.SPLEEN] = SPLEEN
    return labels


@dataclass(frozen=True)
class LiverView:
    """How patients become samples.

    Attributes
    ----------
    pool : LiverPool
    view : View
    names : tuple of str
        Clinical values in the order of the input.
    """

    pool: LiverPool
    view: View
    names: tuple[str, ...]

    def sample(
        self,
        seed: int,
        rng: np.random.Generator,
        *,
        number: int | None = None,
        fat_percent: float | None = None,
        varied: bool = True,
        profile: ScannerProfile | None = None,
    ) -> LiverSample:
        """Draw one sample of a patient.

        Parameters
        ----------
        seed : int
            Of the patient.
        rng : Generator
        number : int, optional
            Of the planting; drawn by default.
        fat_percent : float, optional
            PDFF; near that of the planting by default.
        varied : bool
            Change scale, fat and the end of the scan, and hold values and report back at random.
        profile : ScannerProfile, optional
            The scanner; one of those for training is drawn by default.
        """
        told = self.pool.told(seed)
        fats, stage, patient = told["fat_percent"], told["stage"], Patient(**told["patient"])
        place = int(rng.integers(len(fats))) if number is None else number % len(fats)
        fat = fats[place] if fat_percent is None else fat_percent
        if varied:
            fat += rng.uniform(-FAT_SHIFT_PERCENT, FAT_SHIFT_PERCENT)
        fat = float(np.clip(fat, *FAT_PERCENT))
        case = with_fat(self.pool.get(seed, place), patient.pdff_percent, fat)
        box = self.view.look(case, case.variants[0], rng, varied=varied, profile=profile)
        chart = draw_chart(rng, patient, fat, stage)
        report = chart.report
        clinical = np.array([chart.values.get(name, np.nan) for name in self.names], np.float32)
        if varied:
            clinical[rng.random(len(clinical)) < VALUE_MISSING] = np.nan
            if rng.random() < NO_VALUES:
                clinical[:] = np.nan
            if rng.random() < NO_REPORT:
                report = ""
        return LiverSample(box, clinical, tokens(report), grade_of(fat), stage, fat)


class UnseenLivers(Dataset[LiverSample]):
    """Livers of patients that training never sees, always the same.

    Of a pool of healthy ones each look has another fat fraction within S0.

    Parameters
    ----------
    view : LiverView
    first_seed, count : int
        The patients.
    draws : int
        Looks at each of them, at different fat.
    profiles : sequence of ScannerProfile
        Scanners, in turn; by default those for training, drawn.
    """

    def __init__(
        self,
        view: LiverView,
        first_seed: int,
        count: int,
        draws: int,
        *,
        profiles: Sequence[ScannerProfile] = (),
    ) -> None:
        self.view, self.draws, self.profiles = view, draws, tuple(profiles)
        self.seeds = range(first_seed, first_seed + count)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seeds) * self.draws

    def __getitem__(self, index: int) -> LiverSample:
        """Return one."""
        if index >= len(self):
            raise IndexError(index)
        number, place = divmod(index, len(self.seeds))
        seed, healthy = self.seeds[place], self.view.pool.healthy
        rng = np.random.default_rng((seed, 23, number, int(healthy)))
        return self.view.sample(
            seed,
            rng,
            number=number,
            fat_percent=draw_fat(rng, 0) if healthy else None,
            varied=False,
            profile=self.profiles[(seed + number) % len(self.profiles)] if self.profiles else None,
        )


def organ_shares(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Count the voxels of other, liver and spleen in every block of 2 × 2 × 2.

    Parameters
    ----------
    labels : (D, H, W) ndarray of uint8
        Even axes.

    Returns
    -------
    (3, D/2, H/2, W/2) ndarray of uint8
        0 to 8.
    """
    d, h, w = (size // 2 for size in labels.shape)
    counts = [
        (labels == label).reshape(d, 2, h, 2, w, 2).sum(axis=(1, 3, 5), dtype=np.uint8)
        for label in (LIVER, SPLEEN)
    ]
    return np.stack([8 - counts[0] - counts[1], *counts])
