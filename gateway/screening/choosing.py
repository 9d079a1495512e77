"""Which series of a study goes to which check, and why some checks get none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.instance import Instance
from gateway.own_results import is_own_result
from gateway.screening.manifest import Manifest
from gateway.screening.modalities import without_check
from gateway.screening.patient import age_reason, identity_reason
from gateway.screening.plan import SeriesChoice, Step, manifests_in_order, skipped
from gateway.screening.reasons import reason_of_refusals
from gateway.settings import ScreeningSettings
from gateway.study.choice import Choice, choose_series
from gateway.study.series import Series, group_series


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What was chosen of a study."""

    by_series: Sequence[tuple[Series, Sequence[Manifest]]]
    """Each series that is used, with its checks; the one of the first check first."""

    skipped: Sequence[Step] = ()
    """The checks that get none."""

    choices: Mapping[str, SeriesChoice] = field(default_factory=dict)
    """Check → what was chosen for it."""

    described: Sequence[Mapping[str, Any]] = ()
    """Every series of the study, for the result."""

    unserved: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    """Kind of image → series for which no check is installed."""


def choose_for_checks(
    instances: Sequence[Instance],
    manifests: Mapping[str, Manifest],
    checks: Sequence[str],
    policy: ScreeningSettings,
) -> Chosen:
    """Choose a series for each check.

    Parameters
    ----------
    instances : sequence of Instance
        All of one study; our own results among them are passed over.
    manifests : mapping
        All that are installed.
    checks : sequence of str
        Those that are asked for.
    policy : ScreeningSettings
        Of the site.
    """
    acquired = [one for one in instances if not is_own_result(one)]
    every = group_series(acquired)
    identity = identity_reason(acquired) if acquired else "only_results"
    by_series: dict[str, tuple[Series, list[Manifest]]] = {}
    left: list[Step] = []
    choices: dict[str, Choice] = {}
    for manifest in manifests_in_order(manifests, checks):
        choice = choices[manifest.name] = choose_series(every, manifest.requirement)
        reason = identity or _reason(manifest, choice, policy)
        if reason is not None:
            left.append(skipped(manifest, reason, series_choice(choice)))
        elif choice.chosen is not None:
            by_series.setdefault(choice.chosen.key, (choice.chosen, []))[1].append(manifest)
    told = {name: choice.to_json() for name, choice in choices.items()}
    return Chosen(
        by_series=list(by_series.values()),
        skipped=left,
        choices={name: series_choice(choice) for name, choice in choices.items()},
        described=[_described(series, told) for series in every],
        unserved=without_check(every, [m for m in manifests.values() if m.is_check]),
    )


def series_choice(choice: Choice) -> SeriesChoice:
    """Keep of a choice what a plan shows."""
    return SeriesChoice(
        series_instance_uid=choice.chosen.uid if choice.chosen else None,
        key=choice.chosen.key if choice.chosen else None,
        runner_up=choice.runner_up.key if choice.runner_up else None,
        explanation=choice.explanation,
    )


def _reason(manifest: Manifest, choice: Choice, policy: ScreeningSettings) -> str | None:
    if choice.chosen is None:
        return reason_of_refusals([refusal.code for refusal in choice.refused.values()])
    if manifest.random_weights:
        return "random_weights"
    if not manifest.can_run:
        return "no_reference_weights"
    return age_reason(choice.chosen.instances, manifest, policy)


def _described(series: Series, choices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "series_instance_uid": series.uid,
        "key": series.key,
        "modality": series.modality,
        "slices": len(series.frames),
        "thickness_mm": series.thickness_mm,
        "kernel": series.kernel,
        "refusal": series.refusal.code if series.refusal else None,
        "notes": list(series.notes),
        "choices": {check: _role(series.key, choice) for check, choice in choices.items()},
    }


def _role(key: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a choice made of one series."""
    for role in ("chosen", "runner_up"):
        if choice[role] == key:
            return {"role": role, "score": choice["scores"][key]["total"]}
    if key in choice["refused"]:
        return {"role": "refused", **choice["refused"][key]}
    return {"role": "candidate", "score": choice["scores"][key]["total"]}
