"""A study's way from its index rows to results, without database or HTTP.

Series are chosen for each check; the series that were chosen are then taken one after another,
so that a study never holds more than one volume: decode into shared memory → quality and
anatomy → plan → all checks at once → release.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import numpy as np

from gateway import __version__
from gateway.exceptions import ModelError, SeriesError, StubDiedError
from gateway.instance import Instance
from gateway.log import get_logger
from gateway.screening.anatomy import Anatomy
from gateway.screening.anatomy_run import AnatomyRun, SeenAnatomy
from gateway.screening.choosing import Chosen, choose_for_checks
from gateway.screening.clock import Clock
from gateway.screening.fanout import FanOut, Infers, OnResult
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import ANATOMY, Manifest
from gateway.screening.mask import KeepMask, Mask, keep_if_room, keep_no_mask
from gateway.screening.patient import known_of, patient_of
from gateway.screening.places import Places
from gateway.screening.plan import (
    Plan,
    Step,
    in_order,
    plan_check,
    plan_image,
    skipped,
)
from gateway.screening.prepare import (
    decode_volume,
    header_verdict,
    pixel_verdict,
    scanner_offset,
)
from gateway.screening.provenance import check_provenance, digest_of_uids
from gateway.screening.reasons import reason_of_error
from gateway.screening.request import Request, StudyResult
from gateway.screening.series_facts import facts_of
from gateway.screening.site_thresholds import SiteThresholds
from gateway.screening.subject import Subject
from gateway.screening.threads import in_thread, running
from gateway.settings import Settings
from gateway.store.objects import ObjectReader
from gateway.study.quality import Quality
from gateway.study.series import Series
from gateway.triton.shared_memory import SharedVolume
from gateway.triton.tensors import Inference

__all__ = ["Request", "StudyResult", "screen_study"]

log = get_logger("onescan.screening")

OnStage = Callable[[str], Awaitable[None]]
OnPlan = Callable[[Plan], Awaitable[None]]
HoldMemory = Callable[[int], AbstractAsyncContextManager[None]]


async def _silent(_: Any) -> None:
    """Tell nobody."""


def _unlimited(_: int) -> AbstractAsyncContextManager[None]:
    return nullcontext()


async def screen_study(
    instances: Sequence[Instance],
    objects: ObjectReader,
    request: Request,
    *,
    manifests: Mapping[str, Manifest],
    triton: Infers,
    settings: Settings,
    known: Mapping[str, CheckResult] | None = None,
    site: SiteThresholds | None = None,
    memory: HoldMemory = _unlimited,
    keep_mask: KeepMask = keep_no_mask,
    on_stage: OnStage = _silent,
    on_plan: OnPlan = _silent,
    on_result: OnResult = _silent,
) -> StudyResult:
    """Screen one study.

    Parameters
    ----------
    instances : sequence of Instance
        All of the study.
    objects : ObjectReader
        Where their bytes lie.
    request : Request
        Checks, lane and clinical inputs.
    manifests : mapping
        Of the model repository.
    triton : Infers
        Runs the ensembles.
    settings : Settings
        Home, decode threads and clinical policy.
    known : mapping, optional
        Results of checks that are out already, by an earlier try at the same study.
    site : SiteThresholds, optional
        The site's own flag thresholds; the manifests' without.
    memory : callable, optional
        Gives a context manager that waits until so many bytes may be held.
    keep_mask : coroutine function, optional
        Keeps the masks of what is shown to the reader.
    on_stage, on_plan, on_result : coroutine functions, optional
        Told of every stage, of the plan as it grows, and of every result as it is there.
        Each asked check has exactly one result, whatever happens to it.

    Raises
    ------
    StubDiedError
        When Triton must be restarted and the study screened again.
    """
    fan_out = FanOut(
        manifests,
        triton,
        on_result=on_result,
        checks=request.checks,
        known=known,
        keep_mask=keep_mask,
    )
    run = _Run(instances, objects, request, manifests, triton, settings, fan_out)
    run.memory, run.on_stage, run.on_plan = memory, on_stage, on_plan
    run.site, run.keep_mask = site or SiteThresholds(), keep_mask
    try:
        return await run.screen()
    finally:
        await fan_out.cancel()


class _Run:
    """One study in hand."""

    memory: HoldMemory
    on_stage: OnStage
    on_plan: OnPlan
    site: SiteThresholds
    keep_mask: KeepMask

    def __init__(
        self,
        instances: Sequence[Instance],
        objects: ObjectReader,
        request: Request,
        manifests: Mapping[str, Manifest],
        triton: Infers,
        settings: Settings,
        fan_out: FanOut,
    ) -> None:
        self.fan_out = fan_out
        self.instances = instances
        self.objects = objects
        self.request = request
        self.manifests = manifests
        self.settings = settings
        self.clock = Clock()
        self.steps: list[Step] = []
        self.quality: dict[str, Any] = {}
        self.anatomy: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.chosen = Chosen(by_series=())
        self.anatomy_run = AnatomyRun(manifests[ANATOMY], triton, settings.home)

    async def screen(self) -> StudyResult:
        """Take every chosen series in turn."""
        with self.clock.stage("total"):
            await self.on_stage("series")
            await self._tell_uninstalled()
            with self.clock.stage("series"):
                self.chosen = await in_thread(
                    choose_for_checks,
                    self.instances,
                    self.manifests,
                    [check for check in self.request.checks if check in self.manifests],
                    self.settings.screening,
                )
            self.steps += self.chosen.skipped
            if self.steps:
                await self._tell(Plan(steps=tuple(self.steps)), None)
            await self._tell_unserved()
            for series, checks in self.chosen.by_series:
                try:
                    await self._screen_series(series, checks)
                except SeriesError as error:
                    await self._skip(checks, reason_of_error(error))
                except StubDiedError:
                    raise
                except ModelError as error:
                    log.warning("onescan.screening.series_failed", code=error.code)
                    await self._fail(checks, reason_of_error(error))
            with self.clock.stage("checks"):
                await self.fan_out.finish()
        return StudyResult(
            quality=self.quality,
            series=self.chosen.described,
            anatomy=self.anatomy,
            timings=self.clock.timings,
            provenance={"software_version": __version__, "inputs": self.inputs},
        )

    async def _screen_series(self, series: Series, checks: Sequence[Manifest]) -> None:
        header = header_verdict(series)
        self.quality[series.key] = header.to_json()
        header.raise_if_refused()
        geometry = series.geometry
        labels_bytes = 0 if series.is_image else self.anatomy_run.label_bytes(geometry)
        size_bytes = 2 * int(np.prod(geometry.shape)) + labels_bytes
        async with self.memory(size_bytes):
            with self.clock.stage("memory"):
                region = SharedVolume.create(geometry.shape, home=self.settings.home)
            with region as volume:
                await self.on_stage("decode")
                with self.clock.stage("decode"):
                    await in_thread(
                        decode_volume,
                        series,
                        volume,
                        self.objects,
                        threads=self.settings.worker.decode_threads,
                    )
                if series.is_image:
                    await self._check_image(series, checks, volume)
                    return
                await self._screen_volume(series, checks, volume, header)

    async def _screen_volume(
        self, series: Series, checks: Sequence[Manifest], volume: SharedVolume, header: Quality
    ) -> None:
        await self.on_stage("quality")
        async with running(self._infer_anatomy(series, volume)) as anatomy:
            with self.clock.stage("quality"):
                pixels = await in_thread(pixel_verdict, series, volume)
            quality = header + pixels
            self.quality[series.key] = quality.to_json()
            quality.raise_if_refused()
            self._record_inputs(series)
            await self.on_stage("anatomy")
            inference = await anatomy
        with self.anatomy_run.shared(inference) as seen:
            await self._check_volume(series, checks, volume, quality, seen)

    async def _infer_anatomy(self, series: Series, volume: SharedVolume) -> Inference:
        """Ask while the pixels are judged: few are refused, and this takes longest."""
        with self.clock.stage("anatomy"):
            return await self.anatomy_run.infer(volume, series.geometry)

    async def _check_volume(
        self,
        series: Series,
        checks: Sequence[Manifest],
        volume: SharedVolume,
        quality: Quality,
        seen: SeenAnatomy,
    ) -> None:
        geometry = series.geometry
        anatomy, phase = seen.anatomy, seen.phase
        self.anatomy[series.key] = {**anatomy.to_json(), "phase": phase.to_json()}
        with self.clock.stage("quality"):
            normalisation = await in_thread(
                scanner_offset,
                volume,
                quality,
                blood_hu=anatomy.organ("aorta").median_hu if phase.name == "native" else None,
            )
            self.quality[series.key]["normalisation"] = normalisation.to_json()
        await self.on_stage("plan")
        with self.clock.stage("plan"):
            facts = facts_of(series)
            plan = Plan(
                steps=in_order(
                    plan_check(
                        manifest,
                        facts=facts,
                        choice=self.chosen.choices[manifest.name],
                        anatomy=anatomy,
                        phase=phase,
                        shape=series.geometry.shape,
                        affine=geometry.affine,
                        anatomy_affine=seen.organs.grid.affine,
                    )
                    for manifest in checks
                )
            )
            self.steps += plan.steps
        subject = self._subject(series, volume, seen, normalisation.to_json())
        await self.on_stage("checks")
        with self.clock.stage("checks"):
            await self._tell(plan, subject)
        await self._keep_organs(series, seen)

    async def _keep_organs(self, series: Series, seen: SeenAnatomy) -> None:
        """Keep the organs' label map, when the checks are out and nobody waits for it."""
        kept_before = sum("mask" in one for one in self.anatomy.values())
        name = f"{ANATOMY}-{kept_before + 1}" if kept_before else ANATOMY
        organs = seen.organs
        kept = await keep_if_room(self.keep_mask, name, Mask(organs.labels, organs.grid.affine))
        if kept is not None:
            told = {**kept.to_json(), "name": name, "labels": list(organs.names)}
            self.anatomy[series.key]["mask"] = told

    async def _check_image(
        self, series: Series, checks: Sequence[Manifest], volume: SharedVolume
    ) -> None:
        """Run the checks of a radiograph, in which neither HU nor organs are known."""
        self._record_inputs(series)
        await self.on_stage("plan")
        with self.clock.stage("plan"):
            plan = Plan(
                steps=in_order(
                    plan_image(
                        manifest,
                        choice=self.chosen.choices[manifest.name],
                        shape=series.geometry.shape,
                    )
                    for manifest in checks
                )
            )
            self.steps += plan.steps
        await self.on_stage("checks")
        with self.clock.stage("checks"):
            await self._tell(plan, self._subject(series, volume))

    def _record_inputs(self, series: Series) -> None:
        uids = facts_of(series).sop_instance_uids
        self.inputs[series.key] = {"sop_instance_uids": list(uids), "digest": digest_of_uids(uids)}

    def _subject(
        self,
        series: Series,
        volume: SharedVolume,
        seen: SeenAnatomy | None = None,
        normalisation: Mapping[str, Any] | None = None,
    ) -> Subject:
        facts, affine = facts_of(series), series.geometry.affine
        patient = patient_of(series.instances)
        return Subject(
            volume=volume,
            affine=affine,
            anatomy=seen.anatomy if seen else Anatomy(),
            facts=facts,
            places=Places(facts=facts, affine=affine, organs=seen.organs) if seen else None,
            organs=seen.reference if seen else None,
            patient=patient,
            clinical={**known_of(patient), **self.request.clinical},
            report=self.request.report,
            lane=self.request.lane,
            exam_context=self.request.exam_context,
            policy=self.settings.screening,
            site=self.site,
            provenance=lambda manifest: check_provenance(
                manifest,
                self.manifests,
                series_instance_uid=series.uid,
                sop_instance_uids=facts.sop_instance_uids,
                scanner_model=facts.scanner_model,
                normalisation=normalisation,
                calibration=self.site.provenance(self.manifests[manifest.name]),
            ),
        )

    async def _tell(self, plan: Plan, subject: Subject | None) -> None:
        """Store the plan so far, then run the given part of it."""
        await self.on_plan(Plan(steps=in_order(self.steps)))
        if subject is not None:
            await self.fan_out.run(plan, subject)
            return
        for step in plan.steps:
            manifest = self.manifests[step.check]
            assert step.reason is not None
            await self.fan_out.release(
                CheckResult.without_answer(
                    step.check,
                    "not_evaluated",
                    step.reason,
                    manifest=manifest,
                    provenance=check_provenance(
                        manifest, self.manifests, series_instance_uid=step.series_instance_uid
                    ),
                )
            )

    async def _tell_uninstalled(self) -> None:
        """Tell of checks that were installed when they were asked for and are no more."""
        for name in self.request.checks:
            if name not in self.manifests:
                provenance = {"software_version": __version__}
                await self.fan_out.release(
                    CheckResult.without_answer(
                        name, "not_evaluated", "not_installed", provenance=provenance
                    )
                )

    async def _tell_unserved(self) -> None:
        """Tell of the images for which no check is installed."""
        for name, series in self.chosen.unserved.items():
            await self.fan_out.release(
                CheckResult.without_answer(
                    name,
                    "not_evaluated",
                    "no_check_installed",
                    provenance={
                        "series_instance_uids": list(dict.fromkeys(one.uid for one in series)),
                        "software_version": __version__,
                    },
                )
            )

    async def _skip(self, checks: Sequence[Manifest], reason: str) -> None:
        """Skip checks whose series turned out to be unfit."""
        steps = tuple(
            skipped(manifest, reason, self.chosen.choices[manifest.name]) for manifest in checks
        )
        self.steps += steps
        await self._tell(Plan(steps=steps), None)

    async def _fail(self, checks: Sequence[Manifest], reason: str) -> None:
        """Fail checks whose anatomy did not answer."""
        for manifest in checks:
            await self.fan_out.release(
                CheckResult.without_answer(
                    manifest.name,
                    "failed",
                    reason,
                    manifest=manifest,
                    provenance=check_provenance(manifest, self.manifests),
                )
            )
