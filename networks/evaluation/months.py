"""Judge the bone age check: months against the truth, on whole radiographs of unseen hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from networks.evaluation.told import FIRST_TEST_SEED, mean, told
from networks.export import open_session
from networks.hand_sampling import UNFIT, HandSampler, spoilt_image
from networks.metrics import auc, wilson
from networks.phantoms.hand import draw_hand
from networks.phantoms.hand_growth import SEXES, Child, draw_child
from networks.phantoms.hand_study import SYSTEMS, Radiograph, take
from networks.scenes import FIRST_SEED
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

if TYPE_CHECKING:
    from networks.tasks.bone_age import BoneAgeTask

Floats = NDArray[np.float64]

BANDS = ((12, 60), (60, 108), (108, 156), (156, 216))
"""Bone age from and to, months."""

DOUBTFUL = 4
"""One of so many hands is also shown mirrored, and one spoilt."""

DOUBTS = {"mirrored": 0.5, "unfit": 0.2}
"""Probability from which the manifest doubts an image: between 422 hands and 78 other images of
validation, of which none lay on the wrong side."""

TAUGHT = 400
"""Training hands that the baseline learns from."""

PENALTY = 1.0
"""Weight of its squared coefficients, in cases: features are scaled to SD 1."""

FAR_MONTHS = 12.0


@dataclass(frozen=True, slots=True)
class Read:
    """One image and what was read in it."""

    child: Child
    what: str
    """left, mirrored, or one of `UNFIT`."""

    months: float
    mirrored: float
    unfit: float
    features: Floats

    @property
    def apart(self) -> float:
        """Months by which the reading is too high."""
        return self.months - self.child.bone_age_months


def evaluate_months(task: BoneAgeTask, model: Path, *, cases: int) -> dict[str, Any]:
    """Judge an exported file.

    Parameters
    ----------
    task : BoneAgeTask
    model : Path
    cases : int
        Children, each with a left hand; one in `DOUBTFUL` of them also with a right hand, and
        with an image that is none to be read.
    """
    reader = Reader(task, model)
    reads = []
    for number in range(cases):
        child = draw_child(FIRST_TEST_SEED + number)
        system = SYSTEMS[number % len(SYSTEMS)]
        spacing = system.dx_mm if number % 2 else system.cr_mm
        hand = draw_hand(child)
        reads.append(reader.read(child, "left", grey(take(hand, spacing)), spacing))
        if number % DOUBTFUL == 0:
            image = grey(take(hand, spacing, mirrored=True))
            reads.append(reader.read(child, "mirrored", image, spacing))
            how = UNFIT[number // DOUBTFUL % len(UNFIT)]
            rng = np.random.default_rng([child.seed, 9])
            image = spoilt_image(grey(take(hand, spacing)), how, rng)
            reads.append(reader.read(child, how, image, spacing))
    left = [read for read in reads if read.what == "left"]
    by_hand = Baseline.learnt(task)
    worst = sorted(left, key=lambda read: -abs(read.apart))
    return told(
        task.name,
        [model],
        cohort={
            "patients": len(left),
            "images": len(reads),
            "what": Counter(read.what for read in reads),
            "sex": Counter(read.child.sex for read in left),
        },
        thresholds={},
        strata={
            "all": errors(left, lambda read: read.apart) | doubts(reads),
            "sex": {
                sex: errors([r for r in left if r.child.sex == sex], lambda read: read.apart)
                for sex in SEXES
            },
            "band": {
                f"{low} to {high} months": errors(
                    [r for r in left if low <= r.child.bone_age_months < high],
                    lambda read: read.apart,
                )
                for low, high in BANDS
            },
            "mirrored": errors([r for r in reads if r.what == "mirrored"], lambda r: r.apart),
        },
        baseline={
            "method": "ridge regression of size, brightness and edges of the hand, and sex",
            **errors(left, lambda read: by_hand.months(read) - read.child.bone_age_months),
        },
        failures=[
            {"what": f"{read.months:.0f} for {read.child.bone_age_months:.0f} months",
             "seed": read.child.seed, "sex": read.child.sex}
            for read in worst
        ],
    )  # fmt: skip


class Reader:
    """The served path: recipe, then the file."""

    def __init__(self, task: BoneAgeTask, model: Path) -> None:
        self.session = open_session(model)
        self.recipe = Recipe.from_mapping(
            {
                "name": task.name,
                "grid": {"spacing_mm": [1.0, task.spacing_mm, task.spacing_mm]},
                "channels": [{"percentiles": list(task.percentiles)}],
                "post": {"kind": "values", "values": list(task.values)},
            }
        )

    def read(self, child: Child, what: str, image: NDArray[np.int16], spacing_mm: float) -> Read:
        """Read one image, (R, C)."""
        made = prepare(
            image[None],
            geometry=np.diag([1.0, spacing_mm, spacing_mm, 1.0]),
            roi=(0, 1, 0, image.shape[0], 0, image.shape[1]),
            recipe=self.recipe,
            wanted=("volume",),
        )
        clinical = np.array([[SEXES.index(child.sex), child.age_months]], np.float32)
        given = {"volume": made.volume, "clinical": clinical}
        scores = self.session.run(["scores"], given)[0][0]
        seen = features(made.volume[0, 0, 0], self.recipe.grid.spacing_mm[1], child.sex)
        return Read(child, what, float(scores[0]), float(scores[1]), float(scores[2]), seen)


def grey(taken: Radiograph) -> NDArray[np.int16]:
    """Return stored values with bone bright, as a served volume holds them."""
    top = (1 << taken.exposure.bits) - 1
    return (top - taken.stored if taken.exposure.monochrome1 else taken.stored).astype(np.int16)


def errors(reads: Sequence[Read], apart: Callable[[Read], float]) -> dict[str, Any]:
    """Return figures of the differences in months."""
    found = np.array([apart(read) for read in reads])
    return {
        "images": len(reads),
        "mean_absolute_error": mean(np.abs(found)),
        "bias": mean(found),
        "sd": float(found.std(ddof=1)) if len(found) > 1 else 0.0,
        "within_12_months": wilson(int((np.abs(found) <= FAR_MONTHS).sum()), len(found)),
    }


def doubts(reads: Sequence[Read]) -> dict[str, Any]:
    """Return how well images are told that are not to be read."""
    left = [read for read in reads if read.what == "left"]
    turned = [read for read in reads if read.what == "mirrored"]
    spoilt = [read for read in reads if read.what in UNFIT]
    return {
        "mirrored": {
            "auc": auc([r.mirrored for r in left], [r.mirrored for r in turned]),
            "found": wilson(sum(r.mirrored >= DOUBTS["mirrored"] for r in turned), len(turned)),
            "false": wilson(sum(r.mirrored >= DOUBTS["mirrored"] for r in left), len(left)),
        },
        "unfit": {
            "auc": auc([r.unfit for r in left], [r.unfit for r in spoilt]),
            "found": wilson(sum(r.unfit >= DOUBTS["unfit"] for r in spoilt), len(spoilt)),
            "false": wilson(sum(r.unfit >= DOUBTS["unfit"] for r in left), len(left)),
        },
    }


def features(image: NDArray[np.float32], spacing_mm: float, sex: str) -> Floats:
    """Return what a hand is like from afar: size, brightness, edges; and the sex.

    Parameters
    ----------
    image : (H, W) ndarray of float32
        0 to 1.
    """
    parts, count = ndimage.label(image > 0.5 * float(image.mean()) + 0.08)
    sizes = np.bincount(parts.ravel())[1:] if count else np.zeros(0)
    hand = parts == 1 + int(sizes.argmax()) if count else image >= 0
    rows, columns = (np.flatnonzero(hand.any(axis=axis)) for axis in (1, 0))
    edges = np.abs(ndimage.gaussian_laplace(image, 1.0))[hand]
    values = image[hand]
    area = float(hand.sum()) * spacing_mm**2
    seen = [np.log(area), float(np.ptp(rows)), float(np.ptp(columns)), float(values.mean()),
            float(values.std()), float(edges.mean()), float(edges.sum())]  # fmt: skip
    return np.array([*seen, *(x * x for x in seen), float(SEXES.index(sex))], np.float64)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Ridge regression of months."""

    middle: Floats
    spread: Floats
    weights: Floats

    @classmethod
    def learnt(cls, task: BoneAgeTask) -> Baseline:
        """Learn from hands of the training."""
        hands: HandSampler = task.hand_sampler(FIRST_SEED, variants=1, usual=True)
        samples = [hands.sample(number) for number in range(TAUGHT)]
        rows = np.stack([features(s.image, task.spacing_mm, s.child.sex) for s in samples])
        months = np.array([s.child.bone_age_months for s in samples])
        middle, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-9
        scaled = np.column_stack([(rows - middle) / spread, np.ones(len(rows))])
        cost = np.diag([PENALTY] * rows.shape[1] + [0.0])
        return cls(middle, spread, np.linalg.solve(scaled.T @ scaled + cost, scaled.T @ months))

    def months(self, read: Read) -> float:
        """Read an image."""
        scaled = (read.features - self.middle) / self.spread
        return float(scaled @ self.weights[:-1] + self.weights[-1])
