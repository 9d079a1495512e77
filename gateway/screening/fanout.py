"""All planned checks of a study in flight together; one that fails leaves the others whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from gateway import traces
from gateway.exceptions import StubDiedError
from gateway.screening.answer import Seen, answer, seen_by_network
from gateway.screening.findings import CheckResult
from gateway.screening.infers import Infers
from gateway.screening.manifest import Manifest
from gateway.screening.mask import KeepMask, Mask, keep_if_room, keep_no_mask
from gateway.screening.plan import Plan, Step
from gateway.screening.reasons import reason_of_error
from gateway.screening.subject import Subject
from gateway.triton.client import PRIORITY_ROUTINE, PRIORITY_STAT

__all__ = ["FanOut", "Infers", "OnResult"]

PRIORITIES = {"stat": PRIORITY_STAT, "routine": PRIORITY_ROUTINE}
"""Latency class → Triton priority."""

log = logging.getLogger("onescan.fanout")

OnResult = Callable[[CheckResult], Awaitable[None]]
Look = asyncio.Task[Seen | CheckResult]
"""What a step's network gave, or how it failed."""


class FanOut:
    """The checks of one study, whichever of its volumes they look at.

    Parameters
    ----------
    manifests : mapping
        Of the model repository.
    triton : Infers
        Runs the ensembles.
    on_result : coroutine function
        Given each result as soon as it is there.
    checks : iterable of str
        All that are asked for. A check that comes after others waits for those of them.
    known : mapping, optional
        Results that are out already: they are neither made nor handed over again.
    keep_mask : coroutine function, optional
        Keeps the mask of a check of which something is shown.
    """

    def __init__(
        self,
        manifests: Mapping[str, Manifest],
        triton: Infers,
        *,
        on_result: OnResult,
        checks: Iterable[str],
        known: Mapping[str, CheckResult] | None = None,
        keep_mask: KeepMask = keep_no_mask,
    ) -> None:
        self._keep_mask = keep_mask
        self._manifests = manifests
        self._triton = triton
        self._on_result = on_result
        loop = asyncio.get_running_loop()
        self._results: dict[str, asyncio.Future[CheckResult]] = {
            check: loop.create_future() for check in checks
        }
        self._known = dict(known or {})
        for check, result in self._known.items():
            if check in self._results:
                self._results[check].set_result(result)
        self._waiting: list[asyncio.Task[None]] = []

    async def release(self, result: CheckResult) -> None:
        """Hand over a result, unless that check's is out already."""
        if result.check in self._known:
            return
        future = self._results.get(result.check)
        if future is not None and not future.done():
            future.set_result(result)
        await self._on_result(result)

    async def run(self, plan: Plan, subject: Subject) -> None:
        """Run the steps of a volume; returns when nothing reads the volume any more.

        Steps are started in the plan's order, the routine ones once Triton has the requests of
        the stat ones. A step that waits for a check of another volume is left to `finish`.

        Raises
        ------
        StubDiedError
            After all others have ended: Triton must be restarted and the rest run again.
        Exception
            Whatever `on_result` raises.
        """
        steps = [step for step in plan.steps if step.check not in self._known]
        looks: list[Look] = []
        ends: list[asyncio.Task[None]] = []
        here = {step.check for step in steps}

        def start(step: Step, queued: asyncio.Event | None = None) -> Look:
            name = f"check {step.check}"
            span = traces.child(name)
            with span.current():  # what both do is below it
                look = asyncio.create_task(self._look(step, subject, queued), name=name)
                end = asyncio.create_task(
                    self._end(step, subject, look, span), name=f"end {step.check}"
                )
            end.add_done_callback(lambda _: span.end())
            looks.append(look)
            (self._waiting if self._waits_for_later(step.check, here) else ends).append(end)
            return look

        try:
            first = [step for step in steps if self._leads(step)]
            events = [(start(step, queued), queued) for step, queued in _with_events(first)]
            for look, queued in events:
                await _either(look, queued)
            for step in steps:
                if step not in first:
                    start(step)
            await asyncio.gather(*looks, return_exceptions=True)
            ended = await asyncio.gather(*ends, return_exceptions=True)
        except asyncio.CancelledError:
            await _cancel([*looks, *ends])
            raise
        _raise(ended)

    async def finish(self) -> None:
        """Wait for the checks that waited for those of other volumes; raises as `run` does."""
        try:
            ended = await asyncio.gather(*self._waiting, return_exceptions=True)
        except asyncio.CancelledError:
            await self.cancel()
            raise
        _raise(ended)

    async def cancel(self) -> None:
        """End what still waits."""
        await _cancel(self._waiting)

    def _leads(self, step: Step) -> bool:
        return (
            step.runs and step.latency_class == "stat" and self._manifests[step.check].has_network
        )

    def _waits_for_later(self, check: str, here: set[str]) -> bool:
        """Say whether a check waits, itself or by another, for one that is not of this volume."""
        for name in self._manifests[check].after:
            future = self._results.get(name)
            if future is None or future.done():
                continue
            if name not in here or self._waits_for_later(name, here):
                return True
        return False

    async def _look(
        self, step: Step, subject: Subject, queued: asyncio.Event | None
    ) -> Seen | CheckResult:
        """Run the step's network; a result where that is the end of it."""
        manifest = subject.tuned(self._manifests[step.check])
        if step.reason is not None:
            return CheckResult.without_answer(
                step.check,
                "not_evaluated",
                step.reason,
                manifest=manifest,
                provenance=subject.provenance(manifest),
            )
        if not manifest.has_network:
            return Seen()
        try:
            async with asyncio.timeout(manifest.timeout_seconds):
                return await self._infer(step, manifest, subject, queued)
        except StubDiedError as error:
            future = self._results.get(step.check)
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # seen here, whether or not another check waits for it
            raise
        except Exception as error:
            return _failed(error, manifest, subject)

    async def _end(self, step: Step, subject: Subject, look: Look, span: traces.Span) -> None:
        """Make the result and release it; the checks that it comes after are waited for."""
        manifest = subject.tuned(self._manifests[step.check])
        seen = await look
        if isinstance(seen, Seen):
            waited = [name for name in manifest.after if name in self._results]
            results = {name: await asyncio.shield(self._results[name]) for name in waited}
            try:
                with traces.child("rules"):
                    result = answer(manifest, step, subject, seen, results)
            except Exception as error:
                result = _failed(error, manifest, subject)
            result = await self._with_mask(result, manifest, seen.mask)
        else:
            result = seen
        span.set({"onescan.state": result.state, "onescan.reason": result.reason or ""})
        if result.state == "failed":
            span.fail(result.reason or "failed")
        await self.release(result)

    async def _with_mask(
        self, result: CheckResult, manifest: Manifest, mask: Mask | None
    ) -> CheckResult:
        """Keep the mask of what is shown to the reader."""
        if mask is None or not result.shows_something:
            return result
        kept = await keep_if_room(self._keep_mask, result.check, mask)
        if kept is None:
            return result
        return replace(
            result, mask={**kept.to_json(), "description": manifest.outputs.get("MASK", "")}
        )

    async def _infer(
        self, step: Step, manifest: Manifest, subject: Subject, queued: asyncio.Event | None
    ) -> Seen:
        """Run a network on the step's slab."""
        assert step.slab is not None
        assert step.roi is not None
        assert manifest.ensemble is not None
        assert manifest.recipe_json is not None
        first, last = step.slab
        geometry = subject.affine.copy()
        geometry[:3, 3] += subject.affine[:3, 0] * first
        clinical = [subject.clinical.get(name, np.nan) for name in manifest.clinical]
        stat = subject.lane == "stat"
        inference = await self._triton.infer(
            manifest.ensemble,
            source=subject.volume.source(first, last),
            organs=subject.organs if manifest.organs else None,
            geometry=geometry,
            roi=np.array(step.roi, np.int32),
            recipe=manifest.recipe_json,
            clinical=np.array(clinical, np.float32) if clinical else None,
            report=(subject.report or "") if manifest.report else None,
            timeout_seconds=manifest.timeout_seconds,
            priority=PRIORITY_STAT if stat else PRIORITIES[manifest.latency_class],
            queued=queued,
        )
        return seen_by_network(manifest, subject, inference)


def _failed(error: Exception, manifest: Manifest, subject: Subject) -> CheckResult:
    reason = reason_of_error(error)
    log.warning(
        "onescan.check.failed check=%s reason=%s error=%s",
        manifest.name,
        reason,
        type(error).__name__,
        exc_info=error if reason == "internal" else None,
    )
    return CheckResult.without_answer(
        manifest.name,
        "failed",
        reason,
        manifest=manifest,
        provenance=subject.provenance(manifest),
    )


def _with_events(steps: Iterable[Step]) -> list[tuple[Step, asyncio.Event]]:
    return [(step, asyncio.Event()) for step in steps]


async def _either(task: Look, event: asyncio.Event) -> None:
    """Wait until the event is set or the task has ended without."""
    waiter = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiter, task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()


async def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    every = list(tasks)
    for task in every:
        task.cancel()
    await asyncio.gather(*every, return_exceptions=True)


def _raise(ended: Iterable[object]) -> None:
    """Raise the first error that is not a dead stub; a dead stub where there is no other."""
    errors = [error for error in ended if isinstance(error, BaseException)]
    for error in errors:
        if not isinstance(error, StubDiedError):
            raise error
    if errors:
        raise errors[0]
