"""Which checks apply to a volume, on what part of it, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.screening.anatomy import Anatomy
from gateway.screening.manifest import LATENCY_CLASSES, Manifest, OrganNeed, Roi
from gateway.screening.phase import Phase
from gateway.screening.series_facts import SeriesFacts

Box = tuple[int, int, int, int, int, int]
"""(s0, s1, r0, r1, c0, c1), voxels, half-open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesChoice:
    """Which series of the study a check is given."""

    series_instance_uid: str | None = None
    """None where none is fit."""

    key: str | None = None
    """The UID, with ``#part`` where it holds several volumes."""

    runner_up: str | None = None
    """Key of the second best."""

    explanation: str = ""
    """Score and its parts, or that there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One check in a plan."""

    check: str
    latency_class: str
    choice: SeriesChoice = field(default_factory=SeriesChoice)
    after: tuple[str, ...] = ()
    """Checks whose results it waits for."""

    recipe_digest: str | None = None
    """Of what the network is given; None where no network is asked."""

    reason: str | None = None
    """Why it is not evaluated; None when it runs."""

    doubt: str | None = None
    """Why it will be indeterminate though it runs."""

    slab: tuple[int, int] | None = None
    """Slices given to the model, half-open."""

    roi: Box | None = None
    """Voxels of the slab."""

    truncated: tuple[str, ...] = ()
    """Organs that are cut off and so forbid a negative."""

    without: tuple[str, ...] = ()
    """Optional organs whose measures are left out."""

    @property
    def runs(self) -> bool:
        """Whether the check is evaluated."""
        return self.reason is None

    @property
    def series_instance_uid(self) -> str | None:
        """Of the series that it looks at."""
        return self.choice.series_instance_uid

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "check": self.check,
            "latency_class": self.latency_class,
            "series_instance_uid": self.series_instance_uid,
            "series_key": self.choice.key,
            "runner_up": self.choice.runner_up,
            "explanation": self.choice.explanation,
            "after": list(self.after),
            "recipe_digest": self.recipe_digest,
            "state": "runs" if self.runs else "not_evaluated",
            "reason": self.reason,
            "doubt": self.doubt,
            "slab": list(self.slab) if self.slab else None,
            "roi": list(self.roi) if self.roi else None,
            "truncated": list(self.truncated),
            "without": list(self.without),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done with a study."""

    steps: tuple[Step, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {"checks": [step.to_json() for step in self.steps]}


def skipped(manifest: Manifest, reason: str, choice: SeriesChoice) -> Step:
    """Plan a check that is not evaluated."""
    return Step(
        check=manifest.name, latency_class=manifest.latency_class, choice=choice, reason=reason
    )


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Sort steps as they are started: by latency class, then by name."""
    return tuple(sorted(steps, key=lambda s: (LATENCY_CLASSES.index(s.latency_class), s.check)))


def plan_check(
    manifest: Manifest,
    *,
    facts: SeriesFacts,
    choice: SeriesChoice,
    anatomy: Anatomy,
    phase: Phase,
    shape: tuple[int, int, int],
    affine: npt.NDArray[np.float64],
    anatomy_affine: npt.NDArray[np.float64],
) -> Step:
    """Plan one check on one volume.

    Organs are asked before the phase: where the organ is not in the scan, nobody asks
    whether the scan is native.

    Parameters
    ----------
    manifest : Manifest
        The check.
    facts : SeriesFacts
        Of the series that the volume was decoded from.
    choice : SeriesChoice
        How that series was chosen.
    anatomy, phase
        What was seen in it.
    shape : tuple of int
        (S, R, C) of the volume.
    affine, anatomy_affine : (4, 4) ndarray of float64
        (slice, row, column) of volume and of anatomy grid → LPS mm.
    """
    unmet: list[tuple[OrganNeed, str]] = [
        (need, reason)
        for need in manifest.needs.organs
        if (reason := _organ_reason(need, anatomy)) is not None
    ]
    for need, reason in unmet:
        if need.otherwise == "not_evaluated":
            return skipped(manifest, reason, choice)
    if phase.name not in manifest.needs.contrast:
        return skipped(manifest, phase.reason or "contrast", choice)
    doubt = "orientation_conflict" if anatomy.mirrored else None
    if manifest.needs.kvp and facts.kvp not in manifest.needs.kvp:
        if manifest.needs.kvp_otherwise == "not_evaluated":
            return skipped(manifest, "kvp", choice)
        doubt = doubt or "kvp"
    box = _roi(manifest.roi, anatomy, shape, affine, anatomy_affine)
    return Step(
        check=manifest.name,
        latency_class=manifest.latency_class,
        choice=choice,
        after=manifest.after,
        recipe_digest=manifest.recipe_digest if manifest.has_network else None,
        doubt=doubt,
        slab=(box[0], box[1]),
        roi=(0, box[1] - box[0], *box[2:]),
        truncated=tuple(
            need.name
            for need in manifest.needs.organs
            if need.otherwise == "not_evaluated" and _forbids_negative(need, anatomy)
        ),
        without=tuple(need.name for need, _ in unmet),
    )


def plan_image(manifest: Manifest, *, choice: SeriesChoice, shape: tuple[int, int, int]) -> Step:
    """Plan one check on one radiograph: it is given all of it.

    Parameters
    ----------
    manifest : Manifest
        The check.
    choice : SeriesChoice
        How the image was chosen.
    shape : tuple of int
        (1, R, C) of the volume.
    """
    return Step(
        check=manifest.name,
        latency_class=manifest.latency_class,
        choice=choice,
        after=manifest.after,
        recipe_digest=manifest.recipe_digest if manifest.has_network else None,
        slab=(0, shape[0]),
        roi=(0, shape[0], 0, shape[1], 0, shape[2]),
    )


def _forbids_negative(need: OrganNeed, anatomy: Anatomy) -> bool:
    organ = anatomy.organ(need.name)
    if not organ.truncated or need.truncated_negative:
        return False
    return not organ.truncated_sides or bool(
        set(organ.truncated_sides) - set(need.negative_without)
    )


def _organ_reason(need: OrganNeed, anatomy: Anatomy) -> str | None:
    organ = anatomy.organ(need.name)
    if organ.coverage not in need.coverage:
        return "organ_absent" if not organ.present else "truncated"
    if organ.volume_ml < need.min_volume_ml or organ.eroded_ml < need.min_eroded_ml:
        return "too_little_tissue"
    return None


def _roi(
    roi: Roi | None,
    anatomy: Anatomy,
    shape: tuple[int, int, int],
    affine: npt.NDArray[np.float64],
    anatomy_affine: npt.NDArray[np.float64],
) -> Box:
    """Find the volume voxels of the organs' common box and its margin; all without organs."""
    whole: Box = (0, shape[0], 0, shape[1], 0, shape[2])
    boxes = [anatomy.organ(name).box for name in roi.organs] if roi else []
    seen = [box for box in boxes if box is not None]
    if roi is None or not seen:
        return whole
    corners = _corners(seen)
    to_volume = np.linalg.inv(affine) @ anatomy_affine
    voxels = corners @ to_volume[:3, :3].T + to_volume[:3, 3]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    margin = np.asarray(roi.margin_mm) / spacing
    low = np.floor(voxels.min(axis=0) - margin).astype(int)
    high = np.ceil(voxels.max(axis=0) + margin).astype(int) + 1
    bounds: list[int] = []
    for axis in range(3):
        start = min(max(int(low[axis]), 0), shape[axis] - 1)
        bounds += [start, max(min(int(high[axis]), shape[axis]), start + 1)]
    return (bounds[0], bounds[1], bounds[2], bounds[3], bounds[4], bounds[5])


def _corners(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """Give the centres of the corner voxels of the boxes' common box."""
    ends = [
        (min(box[2 * axis] for box in boxes), max(box[2 * axis + 1] for box in boxes) - 1)
        for axis in range(3)
    ]
    return np.array([(s, r, c) for s in ends[0] for r in ends[1] for c in ends[2]], np.float64)


def manifests_in_order(manifests: Mapping[str, Manifest], checks: Sequence[str]) -> list[Manifest]:
    """Give the manifests of the asked checks as they are started."""
    return sorted(
        (manifests[name] for name in dict.fromkeys(checks)),
        key=lambda m: (LATENCY_CLASSES.index(m.latency_class), m.name),
    )
