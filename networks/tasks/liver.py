"""The liver network: steatosis S0–S3 and fibrosis F0–F4 from a box, blood values and a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from networks.background import start_filling
from networks.export import ParityError, open_session, write_onnx
from networks.liver_figures import (
    MODALITIES,
    RECALL_GRADE,
    Judged,
    at_cut,
    figures,
    youden_cut,
)
from networks.liver_sampling import LiverSample, LiverView, UnseenLivers, organ_shares, paint
from networks.liver_scenes import BOX, LiverPool
from networks.metrics import threshold_for
from networks.nets.ordinal import (
    MULTIPLE,
    LiverAnswer,
    LiverFile,
    LiverNet,
    Value,
    ordinal_loss,
    organ_loss,
)
from networks.roi_sampling import View
from networks.scenes import FIRST_SEED, HEALTHY_SEED, JUDGE_SEED, default_folder
from networks.tasks.roi import SCORE_TOLERANCE, smooth_boxes, windowed
from networks.tasks.task import Sample, Task, option
from preprocess.tokens import LENGTH

if TYPE_CHECKING:
    from networks.engine import Plan

VALUES = (
    Value("age_years", 57.0, 15.0),
    Value("bmi", 24.9, 4.3),
    Value("ast", 3.4, 0.6, log=True),
    Value("alt", 3.4, 0.6, log=True),
    Value("ggt", 3.7, 0.8, log=True),
    Value("platelets", 5.3, 0.4, log=True),
    Value("albumin", 43.0, 4.5),
    Value("glucose", 1.75, 0.25, log=True),
)
"""Clinical values in the order of ``inputs.clinical``, in the units of the gateway's contract."""

WINDOWS_HU = ((-160.0, 240.0), (-20.0, 100.0))
"""The second is the liver's own range, from the fattest to the densest."""

SPACING_MM = (3.0, 3.0, 3.0)

ORGAN_WEIGHT = 0.5

PUBLISHED = {"steatosis": 1.6, "fibrosis": 1.7}
"""Cuts of another model on scores of its own (pipelines.md §1.1): shown, never applied."""

JUDGED_PATIENTS = 40

JUDGED_DRAWS = 2
"""Samples of each judged patient, at different fat."""

HEALTHY_PATIENTS = 250

HEALTHY_DRAWS = 4
"""1,000 healthy samples set the thresholds (pipelines.md §7.3)."""

MARK_SHARE = 0.05

FLAG_SHARE = 0.006
"""Of the budget of 5 % (pipelines.md §7.3)."""


@dataclass
class LiverTask(Task):
    """Grade the liver in 3 mm voxels."""

    name = "liver"
    validate_every = 250
    plan = {"accumulate": 4, "workers": 1}  # noqa: RUF012 - a default that nobody changes

    windows_hu: ClassVar[tuple[tuple[float, float], ...]] = WINDOWS_HU

    pool_first: int = option(32)
    pool_size: int = option(400)
    pool_every: int = option(32)
    judged: int = JUDGED_PATIENTS
    """Patients that validation looks at, `JUDGED_DRAWS` times each."""

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder of all pools of scenes."""
        return default_folder()

    # --- data -----------------------------------------------------------------------------

    def view(self, *, healthy: bool = False) -> LiverView:
        """Return how patients become samples."""
        return LiverView(
            pool=LiverPool(self.pool, healthy=healthy),
            view=View(BOX, SPACING_MM, MULTIPLE, paint),
            names=tuple(value.name for value in VALUES),
        )

    def prepare(self) -> None:
        """Draw in the background: first what training begins with, then what judges it."""
        seeds = list(range(FIRST_SEED, FIRST_SEED + self.pool_size))
        judged = list(range(JUDGE_SEED, JUDGE_SEED + self.judged))
        first = seeds[: self.pool_first]
        start_filling(self.view().pool, [*first, *judged, *seeds[self.pool_first :]])

    def sampler(self, seed: int) -> LiverSampler:
        """Return livers at fat drawn anew."""
        return LiverSampler(self.view(), seed, self.pool_first, self.pool_size, self.pool_every)

    # --- learning -------------------------------------------------------------------------

    def network(self) -> LiverNet:
        """Build the network."""
        return LiverNet(len(WINDOWS_HU), VALUES, self.size)

    def forward(self, network: nn.Module, batch: Sample) -> LiverAnswer:
        """Window a batch and run the network on it."""
        answer: LiverAnswer = network(
            windowed(batch["hu"], WINDOWS_HU), batch["clinical"], batch["tokens"]
        )
        return answer

    def loss(self, outputs: LiverAnswer, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the cross-entropy of every threshold, and that of finding the organs."""
        return {
            "steatosis": ordinal_loss(outputs.steatosis, batch["steatosis"]),
            "fibrosis": ordinal_loss(outputs.fibrosis, batch["fibrosis"]),
            "organs": ORGAN_WEIGHT * organ_loss(outputs.organs, batch["organs"].float() / 8),
        }

    # --- judging --------------------------------------------------------------------------

    def answers(
        self, network: nn.Module, plan: Plan, samples: Dataset[LiverSample]
    ) -> Iterator[Judged]:
        """Run the network on unseen livers, with less and with more of the chart."""
        assert isinstance(network, LiverNet)
        for sample in DataLoader(samples, batch_size=None, num_workers=plan.workers):
            hu = torch.from_numpy(sample.box.hu)[None].to(plan.device)
            with torch.no_grad(), plan.autocast():
                image, _ = network.image(windowed(hu, WINDOWS_HU))
            clinical = torch.from_numpy(sample.clinical)[None].to(plan.device)
            words = torch.from_numpy(sample.tokens)[None].to(plan.device)
            nothing = torch.full_like(clinical, float("nan")), torch.zeros_like(words)
            scores = {}
            for modality, (values, text) in zip(
                MODALITIES,
                (nothing, (clinical, nothing[1]), (clinical, words)),
                strict=True,
            ):
                with torch.no_grad():
                    graded = network.grade(image, values, text)
                scores[modality] = tuple(float(x.sigmoid().sum()) for x in graded)
            yield Judged(sample, scores)

    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return kappa and AUC of each modality, and of the rule on the true masks."""
        livers = UnseenLivers(self.view(), JUDGE_SEED, self.judged, JUDGED_DRAWS)
        return figures(list(self.answers(network, plan, livers)), livers.view.names)

    def calibrate(
        self, network: nn.Module, plan: Plan, patients: int = HEALTHY_PATIENTS
    ) -> dict[str, Any]:
        """Set mark and flag on healthy phantoms, and the cuts that part grade 2 from below it.

        A threshold holds for an image alone as well as with a chart: it is the highest of what each
        of `MODALITIES` asks for.

        Parameters
        ----------
        patients : int
            Healthy ones, each looked at `HEALTHY_DRAWS` times.
        """
        lean_livers = UnseenLivers(self.view(healthy=True), HEALTHY_SEED, patients, HEALTHY_DRAWS)
        livers = UnseenLivers(self.view(), JUDGE_SEED, self.judged, 2 * JUDGED_DRAWS)
        healthy = list(self.answers(network, plan, lean_livers))
        others = list(self.answers(network, plan, livers))
        told: dict[str, Any] = {
            "check": self.name,
            "healthy": len(healthy),
            "seeds": [HEALTHY_SEED, HEALTHY_SEED + patients],
            "others": len(others),
            "published": PUBLISHED,
        }
        for place, (target, published) in enumerate(PUBLISHED.items()):
            high = [x.truth(target) >= RECALL_GRADE for x in others]
            lean = {m: [x.scores[m][place] for x in healthy] for m in MODALITIES}
            scores = {m: [x.scores[m][place] for x in others] for m in MODALITIES}
            asked = [threshold_for(x, FLAG_SHARE / len(PUBLISHED)) for x in lean.values()]
            flag = float(np.nanmax([*asked, *(youden_cut(x, high) for x in scores.values())]))
            told[target] = {
                "mark": {
                    "value": max(threshold_for(x, MARK_SHARE) for x in lean.values()),
                    "at": "greater_or_equal",
                },
                "flag": {"value": flag, "at": "greater_or_equal"},
                "at_flag": {m: at_cut(scores[m], high, lean[m], flag) for m in MODALITIES},
                "at_published": {
                    m: at_cut(scores[m], high, lean[m], published) for m in MODALITIES
                },
            }
        return told

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge an exported file on patients and scanner models that training never sees."""
        from networks.evaluation.liver import evaluate_liver

        return evaluate_liver(self, model, cases=cases, workers=workers)

    # --- export ---------------------------------------------------------------------------

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the network and compare the file with torch, with and without a chart."""
        assert isinstance(network, LiverNet)
        file, channels, values = LiverFile(network).eval(), len(WINDOWS_HU), len(VALUES)
        inputs = {
            "volume": torch.zeros(1, channels, 32, 40, 48),
            "clinical": torch.ones(1, values),
            "tokens": torch.ones(1, LENGTH, dtype=torch.int64),
        }
        write_onnx(
            file,
            path,
            inputs=inputs,
            outputs=LiverFile.OUTPUTS,
            dynamic={"volume": {0: "n", 2: "d", 3: "h", 4: "w"}}
            | {name: {0: "n"} for name in ("clinical", "tokens", *LiverFile.OUTPUTS)},
        )
        clinical = torch.tensor([[value.middle for value in VALUES]] * 2)
        clinical[1] = float("nan")
        words = torch.zeros(2, LENGTH, dtype=torch.int64)
        words[0, :9] = torch.arange(5, 14)
        given = (smooth_boxes(channels, (40, 32, 56)), clinical, words)
        with torch.no_grad():
            ours = file(*given)
        feed = {name: x.numpy() for name, x in zip(inputs, given, strict=True)}
        theirs = open_session(path).run(list(LiverFile.OUTPUTS), feed)
        for name, mine, other in zip(LiverFile.OUTPUTS, ours, theirs, strict=True):
            apart = float(np.abs(mine.numpy() - other).max())
            if not apart <= SCORE_TOLERANCE:
                raise ParityError(f"{name} differs by {apart:.4f}")


class LiverSampler:
    """The livers of a training, by number.

    Parameters
    ----------
    view : LiverView
    seed : int
        Of the training.
    first, size, every : int
        There are `first` patients at sample 0 and one more every `every` samples, up to `size`.
    """

    def __init__(self, view: LiverView, seed: int, first: int, size: int, every: int) -> None:
        self.view, self.seed = view, seed
        self.first, self.size, self.every = first, size, every

    def draw(self, number: int) -> Sample:
        """Return one sample; all stages and grades come equally often."""
        rng = np.random.default_rng((self.seed, number))
        known = min(self.size, self.first + number // self.every)
        drawn = self.view.sample(FIRST_SEED + int(rng.integers(known)), rng)
        return {
            "hu": torch.from_numpy(drawn.box.hu),
            "organs": torch.from_numpy(organ_shares(drawn.box.labels)),
            "clinical": torch.from_numpy(drawn.clinical),
            "tokens": torch.from_numpy(drawn.tokens),
            "steatosis": torch.tensor(drawn.steatosis),
            "fibrosis": torch.tensor(drawn.fibrosis),
        }


TASK = LiverTask
