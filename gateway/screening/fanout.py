"""All planned checks of a volume in flight at once; one that fails leaves the others whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gateway.exceptions import ModelOutputError, StubDiedError
from gateway.screening.anatomy import Anatomy
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import Manifest
from gateway.screening.plan import Plan, Step
from gateway.screening.reasons import reason_of_error
from gateway.screening.rules import RULES, RuleInput
from gateway.screening.verdict import judge
from gateway.triton.client import PRIORITY_ROUTINE, PRIORITY_STAT
from gateway.triton.shared_memory import SharedVolume, Source
from gateway.triton.tensors import Inference

PRIORITIES = {"stat": PRIORITY_STAT, "routine": PRIORITY_ROUTINE}
"""Latency class → Triton priority."""

log = logging.getLogger("onescan.fanout")

OnResult = Callable[[CheckResult], Awaitable[None]]


class Infers(Protocol):
    """The part of `gateway.triton.client.TritonClient` that screening uses."""

    async def infer(
        self,
        model: str,
        *,
        geometry: npt.NDArray[np.float64],
        roi: npt.NDArray[np.int32],
        recipe: str,
        timeout_seconds: float,
        source: Source | None = None,
        clinical: npt.NDArray[np.float32] | None = None,
        report: str | None = None,
        priority: int = PRIORITY_ROUTINE,
    ) -> Inference:
        """Run a CT ensemble on a slab."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One decoded volume and all that is known of it."""

    volume: SharedVolume
    affine: npt.NDArray[np.float64]
    """(slice, row, column) → LPS mm."""

    anatomy: Anatomy
    clinical: Mapping[str, float]
    report: str | None
    lane: str
    provenance: Callable[[Manifest], dict[str, Any]]


async def run_checks(
    plan: Plan,
    manifests: Mapping[str, Manifest],
    subject: Subject,
    triton: Infers,
    *,
    on_result: OnResult,
) -> None:
    """Run every step of a plan and hand over each result as soon as it is there.

    Steps are started in the plan's order, so that the stat checks are in Triton's queue first.

    Raises
    ------
    StubDiedError
        After all others have ended: Triton must be restarted and the rest run again.
    Exception
        Whatever `on_result` raises.
    """

    async def run(step: Step) -> None:
        manifest = manifests[step.check]
        try:
            async with asyncio.timeout(manifest.timeout_seconds):
                result = await _run_step(step, manifest, subject, triton)
        except StubDiedError:
            raise
        except Exception as error:
            reason = reason_of_error(error)
            log.warning(
                "onescan.check.failed check=%s reason=%s error=%s",
                step.check,
                reason,
                type(error).__name__,
                exc_info=reason == "internal",
            )
            result = CheckResult.without_answer(
                step.check,
                "failed",
                reason,
                manifest=manifest,
                provenance=subject.provenance(manifest),
            )
        await on_result(result)

    tasks = [asyncio.create_task(run(step), name=f"check {step.check}") for step in plan.steps]
    try:
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    errors = [error for error in ended if isinstance(error, BaseException)]
    for error in errors:
        if not isinstance(error, StubDiedError):
            raise error
    if errors:
        raise errors[0]


async def _run_step(
    step: Step, manifest: Manifest, subject: Subject, triton: Infers
) -> CheckResult:
    provenance = subject.provenance(manifest)
    if step.reason is not None:
        return CheckResult.without_answer(
            step.check, "not_evaluated", step.reason, manifest=manifest, provenance=provenance
        )
    if manifest.rule:
        given = RuleInput(
            anatomy=subject.anatomy,
            without=frozenset(step.without),
            parameters=manifest.rule.parameters,
            clinical=subject.clinical,
        )
        measures: Mapping[str, float | None] = RULES[manifest.rule.name](given)
        lesions: tuple[Mapping[str, Any], ...] = ()
    else:
        measures, lesions = await _infer(step, manifest, subject, triton)
    verdict = judge(
        manifest,
        measures,
        doubt=step.doubt,
        truncated=bool(step.truncated),
        partial=bool(step.without),
    )
    return CheckResult.of_verdict(
        manifest, verdict, measures=measures, lesions=lesions, provenance=provenance
    )


async def _infer(
    step: Step, manifest: Manifest, subject: Subject, triton: Infers
) -> tuple[dict[str, float | None], tuple[Mapping[str, Any], ...]]:
    """Run a network on the step's slab; its class scores join the measures by name."""
    assert step.slab is not None
    assert step.roi is not None
    assert manifest.ensemble is not None
    assert manifest.recipe_json is not None
    first, last = step.slab
    geometry = subject.affine.copy()
    geometry[:3, 3] += subject.affine[:3, 0] * first
    inference = await triton.infer(
        manifest.ensemble,
        source=subject.volume.source(first, last),
        geometry=geometry,
        roi=np.array(step.roi, np.int32),
        recipe=manifest.recipe_json,
        clinical=(
            np.array([subject.clinical.get(n, np.nan) for n in manifest.clinical], np.float32)
            if manifest.clinical
            else None
        ),
        report=(subject.report or "") if manifest.report else None,
        timeout_seconds=manifest.timeout_seconds,
        priority=PRIORITY_STAT if subject.lane == "stat" else PRIORITIES[manifest.latency_class],
    )
    names = [grade.name for grade in manifest.classes]
    if len(inference.scores) < len(names):
        raise ModelOutputError(
            f"{manifest.ensemble} gave {len(inference.scores)} scores for {len(names)} classes."
        )
    scores = {name: float(score) for name, score in zip(names, inference.scores, strict=False)}
    measures = {**inference.lesions.get("measures", {}), **scores}
    return measures, tuple(inference.lesions.get("lesions", ()))
