"""Count what a screening found of what was planted: centre, size, one mark for each lesion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from networks.metrics import match_marks

DILATION_MM = 3.0
"""A marked centre this far outside the true mask still hits."""

BY_LESION = ("pancreas", "stomach", "aorta", "nodule", "bone")
"""Checks that show lesions; of the others a study's answer is counted as a whole."""

MEASURED = ("calcium",)
"""A measurement is never a false flag."""


@dataclass(frozen=True)
class Counted:
    """What one study adds to the figures.

    Attributes
    ----------
    found : bool
        A planted lesion of the check is marked, or the check's answer names what was planted.
    marks, hits : int
        Of the check.
    states : dict
        Check → state, with its reason where there is one.
    flagged : tuple of str
        Checks that are positive and could be a false flag.
    """

    found: bool = False
    marks: int = 0
    hits: int = 0
    states: dict[str, str] = field(default_factory=dict)
    flagged: tuple[str, ...] = ()


def count(
    check: str, screening: Mapping[str, Any], truth: Mapping[str, Any], masks: Path
) -> Counted:
    """Count a study.

    Parameters
    ----------
    check : str
        Whose finding is planted; empty for a healthy phantom.
    screening : mapping
        As ``GET /v1/screenings/{id}`` gives it.
    truth : mapping
        The phantom's ``truth.json``.
    masks : Path
        Its ``lesions.npz``.
    """
    results = {result["check"]: result for result in screening["checks"]}
    states = {
        name: f"{result['state']}: {result['reason']}" if result["reason"] else result["state"]
        for name, result in results.items()
    }
    flagged = tuple(
        name
        for name, result in results.items()
        if result["state"] == "positive" and name not in MEASURED
    )
    if not check:
        return Counted(states=states, flagged=flagged)
    result = results.get(check, {})
    if check not in BY_LESION:
        return Counted(found=_named(check, result, truth), states=states, flagged=flagged)
    shown = [lesion for lesion in result.get("lesions") or [] if lesion["marked"]]
    hits = _hits(shown, [x for x in truth["lesions"] if _planted(x, check)], masks)
    return Counted(bool(hits), len(shown), hits, states, flagged)


def _planted(lesion: Mapping[str, Any], check: str) -> bool:
    return bool(lesion["check"] == check and lesion["is_finding"])


def _hits(
    shown: Sequence[Mapping[str, Any]], planted: Sequence[Mapping[str, Any]], masks: Path
) -> int:
    """Count planted lesions that a mark hits; each mark hits one at most."""
    inside = np.zeros((len(shown), len(planted)), bool)
    ratio = np.zeros(inside.shape)
    for number, lesion in enumerate(planted):
        places, diameter_mm = _true_places(lesion["id"], masks)
        for index, mark in enumerate(shown):
            inside[index, number] = _is_inside(mark, places)
            ratio[index, number] = _diameter_mm(mark) / max(diameter_mm, 1e-6)
    matched = match_marks([mark["score"] or 0.0 for mark in shown], inside, ratio)
    return int((matched.hits >= 0).sum())


def _true_places(number: int, masks: Path) -> tuple[NDArray[np.float64], float]:
    """Give the voxels of a true mask, (n, 3) LPS mm, and the diameter of a ball of its volume."""
    with np.load(masks) as held:
        mask, affine = held[f"mask_{number}"], held[f"affine_{number}"]
    places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    volume_mm3 = len(places) * abs(float(np.linalg.det(affine[:3, :3])))
    return places, ball_diameter(volume_mm3)


def ball_diameter(volume_mm3: float) -> float:
    """Give the diameter of a ball of a volume, mm."""
    return float((6 * volume_mm3 / np.pi) ** (1 / 3))


def _diameter_mm(mark: Mapping[str, Any]) -> float:
    volume = mark.get("volume_mm3")
    return ball_diameter(volume) if volume else float(mark.get("mean_diameter_mm") or 0.0)


def _is_inside(mark: Mapping[str, Any], places: NDArray[np.float64]) -> bool:
    if not len(places):
        return False
    distance, _ = cKDTree(places).query(np.asarray(mark["centre_mm"], dtype=np.float64))
    return bool(distance <= DILATION_MM)


def _named(check: str, result: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    """Tell whether a check without lesions says what was planted."""
    if check == "chest":
        wanted = {x.get("label", x["kind"]) for x in truth["lesions"] if _planted(x, check)}
        told = {
            one["rule"]
            for one in result.get("assessments") or []
            if one["category"] in ("positive", "marked")
        }
        return bool(wanted & told)
    thresholds = result.get("thresholds") or {}
    over = [*(thresholds.get("marked_by") or []), *(thresholds.get("flagged_by") or [])]
    return result.get("state") == "positive" or bool(over)
