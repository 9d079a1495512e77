"""How graded livers are judged: agreement, and how well grade 2 and above are told apart.

Figures of the image alone, with blood values, and with a report stand side by side, and beside them
the rules that need no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from networks.liver_sampling import LIVER, LiverSample
from networks.metrics import Figure, auc, kappa, sensitivity, specificity
from networks.phantoms.findings import STEATOSIS_CUTS_PERCENT
from networks.phantoms.lesions.liver.steatosis import fat_percent

MODALITIES = ("image", "image_serum", "image_serum_text")
"""What is given to the network; figures of all three stand side by side."""

GRADES = {"steatosis": 4, "fibrosis": 5}

RECALL_GRADE = 2
"""Steatosis S2 and fibrosis F2 and above ask for action; S1 is shown to the reader."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A liver and what the network said of it.

    Attributes
    ----------
    sample : LiverSample
    scores : dict
        Modality → expected grade of steatosis and expected stage of fibrosis.
    """

    sample: LiverSample
    scores: dict[str, tuple[float, ...]]

    def truth(self, target: str) -> int:
        """Return the grade or the stage."""
        return self.sample.steatosis if target == "steatosis" else self.sample.fibrosis


def figures(judged: Sequence[Judged], names: Sequence[str]) -> dict[str, Any]:
    """Return kappa, and AUC of grade 2 and above, of each modality and of the baselines.

    `names` are those of the clinical values.
    """
    told: dict[str, Any] = {}
    for place, (target, grades) in enumerate(GRADES.items()):
        truth = np.array([case.truth(target) for case in judged])
        told[target] = {
            modality: graded(truth, [case.scores[modality][place] for case in judged], grades)
            for modality in MODALITIES
        }
    fat = [rule_percent(case.sample.box.hu, case.sample.box.labels) for case in judged]
    truth = np.array([case.truth("steatosis") for case in judged])
    told["steatosis"]["rule_on_true_mask"] = graded(truth, grade_scores(fat), 4)
    told["fibrosis"]["fib4"] = {"auc": fib4_auc(judged, names).rounded()}
    return told


def fib4_auc(judged: Sequence[Judged], names: Sequence[str]) -> Figure:
    """Return the AUC of FIB-4 for stage 2 and above, where its values are known: the baseline.

    Age in years times AST over platelets and the root of ALT (pipelines.md §2.4).
    """
    clinical = np.array([case.sample.clinical for case in judged], np.float64)
    age, ast, alt, platelets = (
        clinical[:, list(names).index(name)] for name in ("age_years", "ast", "alt", "platelets")
    )
    index = age * ast / (platelets * np.sqrt(alt))
    high = np.array([case.sample.fibrosis >= RECALL_GRADE for case in judged])
    known = np.isfinite(index)
    return auc(index[known & ~high], index[known & high])


def graded(truth: NDArray[np.int64], scores: list[float], grades: int) -> dict[str, Any]:
    """Return quadratic kappa of the rounded scores, and the AUC of grade 2 and above."""
    values = np.asarray(scores)
    found = np.clip(np.rint(values), 0, grades - 1).astype(np.int64)
    high = truth >= RECALL_GRADE
    return {
        "kappa": kappa(found, truth, grades).rounded(),
        "auc": auc(values[~high], values[high]).rounded(),
    }


def rule_percent(hu: NDArray[np.int16], labels: NDArray[np.uint8]) -> float:
    """Return the PDFF that the median HU of the true liver stands for, %: the baseline."""
    deep = binary_erosion(labels == LIVER, iterations=2)
    return fat_percent(float(np.median(hu[deep if deep.any() else labels == LIVER])))


def grade_scores(percent: list[float]) -> list[float]:
    """Return PDFFs as grades, a half where one passes into the next."""
    edges = [-30.0, *STEATOSIS_CUTS_PERCENT, 60.0]
    return list(np.interp(percent, edges, [-0.49, 0.5, 1.5, 2.5, 3.49]))


def youden_cut(scores: list[float], ill: list[bool]) -> float:
    """Return the cut with the largest sum of sensitivity and specificity; NaN without both."""
    values, truth = np.asarray(scores), np.asarray(ill, bool)
    if truth.all() or not truth.any():
        return float("nan")
    cuts = np.unique(values)
    sums = [(values[truth] >= cut).mean() + (values[~truth] < cut).mean() for cut in cuts]
    return float(cuts[int(np.argmax(sums))])


def at_cut(
    scores: list[float], ill: list[bool], lean: list[float], cut: float
) -> dict[str, list[float]]:
    """Return sensitivity, specificity and the share of healthy livers that reach a cut."""
    above = [score for score, high in zip(scores, ill, strict=True) if high]
    below = [score for score, high in zip(scores, ill, strict=True) if not high]
    kept = specificity(lean, cut)
    return {
        "sensitivity": sensitivity(above, cut).rounded(),
        "specificity": specificity(below, cut).rounded(),
        "healthy_flagged": Figure(1 - kept.value, 1 - kept.high, 1 - kept.low).rounded(4),
    }
