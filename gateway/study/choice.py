"""Which series of a study a check is given, the runner-up, and why not the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.exceptions import NoSuitableSeriesError, SeriesError
from gateway.study.attributes import body_part_of, contrast_hint, side_of
from gateway.study.geometry import AXIAL_DEGREES
from gateway.study.series import Series

WEIGHT_NATIVE = 3.0
"""No hint of contrast in the header, for a check that wants native series."""

WEIGHT_COVERAGE = 3.0
"""Extent along the body relative to the longest candidate."""

WEIGHT_KERNEL = 2.0
"""The first kernel class that the check names; each later one half of the one before."""

WEIGHT_THICKNESS = 2.0
"""At the preferred thickness; half of it at twice or half that thickness."""

WEIGHT_ORIGINAL = 1.0
"""Image Type ORIGINAL. DERIVED alone is not conclusive, so it costs and does not refuse."""

WEIGHT_UPRIGHT = 0.5
"""No tilt to be corrected."""

WEIGHT_SAID = 1.0
"""Part or side of a radiograph is in its header, and is the one that the check takes."""

WEIGHT_SLICES = 0.1
"""Per doubling of the number of slices: decides between otherwise equal series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a check asks of a series; its manifest says so."""

    modality: tuple[str, ...] = ("CT",)
    contrast: tuple[str, ...] = ("native",)
    kernels: tuple[str, ...] = ("soft", "standard", "unknown")
    """Classes in order of preference; ``unknown`` takes kernels whose name is not known."""

    max_thickness_mm: float = 5.0
    preferred_thickness_mm: float = 3.0
    min_slices: int = 3
    min_age_years: float = 18.0
    body_part: tuple[str, ...] = ()
    """Words of which *Body Part Examined* of a radiograph has one, where it is given."""

    side: tuple[str, ...] = ()
    """``L``, ``R`` or ``B``: the side of a radiograph, where it is given."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a series is not given to a check."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The outcome of choosing."""

    chosen: Series | None
    runner_up: Series | None
    refused: dict[str, Refusal]
    """Series key → why."""

    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Series key → the parts of its score, ``total`` among them."""

    def error(self) -> SeriesError:
        """Give the error to raise when nothing was chosen."""
        said = "; ".join(sorted({r.message for r in self.refused.values()}))
        return NoSuitableSeriesError(f"No series is fit: {said}" if said else None)

    @property
    def explanation(self) -> str:
        """Say in one sentence what was chosen and why."""
        if self.chosen is None:
            return f"None of {len(self.refused)} series is fit."
        parts = self.scores[self.chosen.key]
        reasons = ", ".join(f"{k} {v:.1f}" for k, v in parts.items() if k != "total")
        text = f"Score {parts['total']:.1f} ({reasons})"
        if self.runner_up is not None:
            text += f"; the runner-up has {self.scores[self.runner_up.key]['total']:.1f}"
        return text + "."

    def to_json(self) -> dict[str, Any]:
        """Give the choice as plain values."""
        return {
            "chosen": self.chosen.key if self.chosen else None,
            "runner_up": self.runner_up.key if self.runner_up else None,
            "refused": {
                k: {"code": r.code, "message": r.message} for k, r in sorted(self.refused.items())
            },
            "scores": self.scores,
            "explanation": self.explanation,
        }


def choose_series(series: Sequence[Series], requirement: Requirement) -> Choice:
    """Choose the series that fits a check best.

    Score = native + kernel fit + thickness fit + coverage + original + upright + slice count;
    series that are no volume, not axial, too thick or of an unfit kernel are refused. Ties go to
    the smaller UID, so that the choice does not depend on the order of arrival.

    Parameters
    ----------
    series : sequence of Series
        All series of the study, as `group_series` gives them.
    requirement : Requirement
        What the check asks for.

    Returns
    -------
    Choice

    References
    ----------
    * pipelines, "Input QC and series selection": reconstruction choice among series.
    """
    refused: dict[str, Refusal] = {}
    candidates: list[Series] = []
    for one in series:
        refusal = refusal_of(one, requirement)
        if refusal is None:
            candidates.append(one)
        else:
            refused[one.key] = refusal
    longest = max((one.geometry.coverage_mm for one in candidates), default=0.0)
    scores = {one.key: _score(one, requirement, longest) for one in candidates}
    ranked = sorted(candidates, key=lambda one: (-scores[one.key]["total"], one.key))
    return Choice(
        chosen=ranked[0] if ranked else None,
        runner_up=ranked[1] if len(ranked) > 1 else None,
        refused=refused,
        scores=scores,
    )


def refusal_of(series: Series, requirement: Requirement) -> Refusal | None:
    """Say why a series is unfit for a check; None where it is fit."""
    if series.modality not in requirement.modality:
        return Refusal(
            "series.wrong_modality",
            f"Modality is {series.modality or 'empty'}, not {' or '.join(requirement.modality)}.",
        )
    if (error := series.refusal) is not None:
        return Refusal(error.code, str(error))
    if series.is_image:
        return _image_refusal(series, requirement)
    geometry = series.geometry
    if geometry.orientation != "axial" or geometry.obliquity_degrees > AXIAL_DEGREES:
        lean = f", {geometry.obliquity_degrees:.0f}° oblique" if geometry.obliquity_degrees else ""
        return Refusal("series.not_axial", f"The series is {geometry.orientation}{lean}.")
    slices = len(geometry.frames)
    if slices < requirement.min_slices:
        return Refusal(
            "series.too_few_slices",
            f"The series has {slices} slices; the check needs {requirement.min_slices}.",
        )
    thickness = _thickness(series)
    if thickness > requirement.max_thickness_mm:
        return Refusal(
            "series.slice_thickness",
            f"Slices are {thickness:g} mm thick; the check takes up to "
            f"{requirement.max_thickness_mm:g} mm.",
        )
    kernel = series.kernel or "unknown"
    if kernel not in requirement.kernels:
        return Refusal(
            "series.kernel",
            f"The kernel is {kernel}; the check takes {' or '.join(requirement.kernels)}.",
        )
    return None


def _image_refusal(series: Series, requirement: Requirement) -> Refusal | None:
    """Refuse a radiograph of another part or side; one that does not say may be of any."""
    part, side = body_part_of(series.attributes), side_of(series.attributes)
    if part and requirement.body_part and not any(word in part for word in requirement.body_part):
        return Refusal(
            "series.body_part",
            f"The image is of {part}; the check takes {' or '.join(requirement.body_part)}.",
        )
    if side and requirement.side and side not in requirement.side:
        return Refusal(
            "series.side", f"The side is {side}; the check takes {' or '.join(requirement.side)}."
        )
    return None


def _thickness(series: Series) -> float:
    """Give the larger of thickness and increment: a gap resolves no better than a thick slice."""
    return max(series.thickness_mm or 0.0, round(series.geometry.increment_mm, 3))


def _score(series: Series, requirement: Requirement, longest_mm: float) -> dict[str, float]:
    if series.is_image:
        return _image_score(series)
    geometry = series.geometry
    ratio = _thickness(series) / requirement.preferred_thickness_mm
    place = requirement.kernels.index(series.kernel or "unknown")
    wants_native = tuple(requirement.contrast) == ("native",)
    hinted = wants_native and contrast_hint(series.attributes) is not None
    parts = {
        "native": 0.0 if hinted else WEIGHT_NATIVE,
        "coverage": WEIGHT_COVERAGE * geometry.coverage_mm / longest_mm,
        "kernel": WEIGHT_KERNEL / 2**place,
        "thickness": WEIGHT_THICKNESS / (1 + abs(math.log2(ratio))),
        "original": WEIGHT_ORIGINAL if "ORIGINAL" in series.image_type[:1] else 0.0,
        "upright": 0.0 if geometry.tilt_corrected else WEIGHT_UPRIGHT,
        "slices": WEIGHT_SLICES * math.log2(len(geometry.frames)),
    }
    rounded = {name: round(value, 3) for name, value in parts.items()}
    return {**rounded, "total": round(sum(rounded.values()), 3)}


def _image_score(series: Series) -> dict[str, float]:
    """Prefer the radiograph whose header says most: what it says was asked before."""
    parts = {
        "original": WEIGHT_ORIGINAL if "ORIGINAL" in series.image_type[:1] else 0.0,
        "body_part": WEIGHT_SAID if body_part_of(series.attributes) else 0.0,
        "side": WEIGHT_SAID if side_of(series.attributes) else 0.0,
    }
    return {**parts, "total": round(sum(parts.values()), 3)}
