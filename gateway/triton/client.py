"""Ask Triton over asyncio gRPC, with a deadline on every call.

Triton answers UNAVAILABLE while it starts, and NOT_FOUND for models it knows while it stops;
both mean "again, until the deadline". A dead Python stub is never restarted by Triton itself,
so that answer becomes `StubDiedError` and the caller restarts Triton (`gateway.triton.restart`).
A Triton that dies in the middle of a call is asked again once; when it dies again, it may be the
study's doing, and the call becomes `TritonDiedError`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gateway import traces
from gateway.contract import CT_OUTPUTS, PRIORITY_PARAMETER
from gateway.exceptions import (
    ModelError,
    ModelTimeoutError,
    ModelUnavailableError,
    StubDiedError,
    TritonDiedError,
)
from gateway.metrics import INFERENCES
from gateway.runtime.processes import boot_seconds
from gateway.triton.shared_memory import Organs, Source
from gateway.triton.tensors import (
    Inference,
    checked_output,
    input_tensor,
    read_inference,
    text_tensor,
)

__all__ = ["PRIORITY_ROUTINE", "PRIORITY_STAT", "Inference", "TritonClient"]

STUB_DIED = re.compile(
    r"stub process.*(not healthy|is unhealthy)|failed to (open|launch).*stub", re.I | re.S
)
"""How Triton 2.51 says that a Python stub is gone; it says so for ever."""

NOT_CONNECTED = re.compile(r"failed to connect|connection attempt", re.I)
"""How gRPC says that a request was never sent; else UNAVAILABLE means that it broke off."""

DEATHS_IN_A_CALL = 2
"""Of Triton, until its caller gives up: others wait for it, too."""

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 0.5
"""A Triton that restarts is back within seconds."""

CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own default waits up to two minutes before it looks at a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
]

HANDING_OVER_TICKS = 3
"""Turns of the event loop until a request made in a task is with gRPC: the task, the call that it
makes, and one to be sure."""

OUTCOMES = ("answered", "timeout", "stub_died", "unavailable", "cancelled", "failed")
"""How a call may end, as it is counted."""

PRIORITY_STAT = 1
PRIORITY_ROUTINE = 2
"""Levels of the shared steps' ``dynamic_batching { priority_levels: 2 }``; 1 goes first. Networks
have one instance and no levels, and Triton takes a level that a model lacks for its default."""


class TritonClient:
    """One gRPC channel to one Triton; an asynchronous context manager.

    Parameters
    ----------
    url : str
        ``host:port`` or ``unix:PATH:PORT``.
    models : iterable of str
        Models known to exist, for which NOT_FOUND means "not yet". Each model that has answered
        once, or that `ready` was asked about, is known too.
    """

    def __init__(self, url: str, *, models: Iterable[str] = ()) -> None:
        self.url = url
        self._known = set(models)
        for model in self._known:
            for outcome in OUTCOMES:
                INFERENCES.labels(model, outcome)  # counts from zero
        self._client = triton.InferenceServerClient(url, channel_args=CHANNEL_OPTIONS)

    async def infer(
        self,
        model: str,
        *,
        geometry: NDArray[np.float64],
        roi: NDArray[np.int32],
        recipe: str,
        timeout_seconds: float,
        source: Source | None = None,
        volume: NDArray[np.int16] | None = None,
        organs: Organs | None = None,
        clinical: NDArray[np.float32] | None = None,
        report: str | None = None,
        priority: int = PRIORITY_ROUTINE,
        queued: asyncio.Event | None = None,
    ) -> Inference:
        """Run a CT ensemble on a slab.

        Parameters
        ----------
        model : str
            Name of the ensemble.
        geometry : (4, 4) ndarray of float64
            Slab (slice, row, column, 1) → LPS mm.
        roi : (6,) ndarray of int32
            (s0, s1, r0, r1, c0, c1) slab voxels, half-open.
        recipe : str
            The manifest's static JSON.
        timeout_seconds : float
            Client deadline over all tries.
        source : Source, optional
            The slab by reference; the path that we ship.
        volume : (S, R, C) ndarray of int16, optional
            The slab itself, HU. Exactly one of `source` and `volume` is given.
        organs : Organs, optional
            The label map of anatomy by reference, for ensembles that take it.
        clinical : (k,) ndarray of float32, optional
            NaN where missing.
        report : str, optional
            Report text.
        priority : int
            `PRIORITY_STAT` or `PRIORITY_ROUTINE`.
        queued : asyncio.Event, optional
            Set once Triton has the request.

        Raises
        ------
        ModelTimeoutError
            When the deadline passes.
        TritonDiedError
            When Triton died during the call, and again when it was asked once more.
        StubDiedError
            When this Triton must be restarted.
        ModelUnavailableError
            When Triton does not know the model, or is not there until the deadline.
        ModelOutputError
            When the answer breaks the contract.
        ModelError
            When the model refuses the input.
        """
        if (source is None) == (volume is None):
            raise ValueError("exactly one of source and volume must be given")
        inputs: dict[str, NDArray[Any]] = {
            "GEOMETRY": np.ascontiguousarray(geometry, np.float64),
            "ROI": np.ascontiguousarray(roi, np.int32),
            "RECIPE": text_tensor(recipe),
        }
        if source is not None:
            inputs["SOURCE"] = text_tensor(source.to_json())
        if volume is not None:
            inputs["VOLUME"] = np.ascontiguousarray(volume, np.int16)
        if organs is not None:
            inputs["ORGANS"] = text_tensor(organs.to_json())
        if clinical is not None:
            inputs["CLINICAL"] = np.ascontiguousarray(clinical, np.float32)
        if report is not None:
            inputs["REPORT"] = text_tensor(report)
        answer = await self.call(
            model,
            inputs,
            outputs=[tensor.name for tensor in CT_OUTPUTS],
            timeout_seconds=timeout_seconds,
            priority=priority,
            queued=queued,
        )
        return read_inference(model, answer)

    async def call(
        self,
        model: str,
        inputs: dict[str, NDArray[Any]],
        *,
        outputs: Iterable[str],
        timeout_seconds: float,
        priority: int = 0,
        queued: asyncio.Event | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Run any model: arrays in, arrays out (BYTES as object arrays of ``bytes``).

        Raises as `infer` does.
        """
        outcome = "failed"
        try:
            with traces.child(f"infer {model}", {"rpc.system": "grpc"}, kind="client"):
                answer = await self._call(
                    model,
                    inputs,
                    outputs=outputs,
                    timeout_seconds=timeout_seconds,
                    priority=priority,
                    queued=queued,
                )
            outcome = "answered"
            return answer
        except ModelTimeoutError:
            outcome = "timeout"
            raise
        except TritonDiedError:
            outcome = "unavailable"
            raise
        except StubDiedError:
            outcome = "stub_died"
            raise
        except ModelUnavailableError:
            outcome = "unavailable"
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            INFERENCES.labels(model, outcome).inc()

    async def _call(
        self,
        model: str,
        inputs: dict[str, NDArray[Any]],
        *,
        outputs: Iterable[str],
        timeout_seconds: float,
        priority: int,
        queued: asyncio.Event | None,
    ) -> dict[str, NDArray[Any]]:
        names = list(outputs)
        tensors = [input_tensor(name, array) for name, array in inputs.items()]
        wanted = [triton.InferRequestedOutput(name) for name in names]
        deadline = time.monotonic() + timeout_seconds
        delay = FIRST_RETRY_SECONDS
        deaths = 0
        while True:
            left = deadline - time.monotonic()
            sent = boot_seconds()
            request = self._client.infer(
                model,
                tensors,
                outputs=wanted,
                priority=priority,
                # Triton itself does nothing with it; a model that asks others stops asking.
                timeout=int(1e6 * max(left, 0.001)),
                client_timeout=max(left, 0.001),
                parameters={PRIORITY_PARAMETER: priority},
                headers=traces.recorded_headers(),  # Triton's own spans go below ours
            )
            try:
                answer = await (request if queued is None else self._send(request, queued))
            except InferenceServerException as error:
                failure = self._translate(model, error, sent)
                if failure is not None:
                    raise failure from error
                deaths += _broke_off(error)
                if deaths == DEATHS_IN_A_CALL:
                    died = TritonDiedError(f"Triton died {deaths} times while {model} ran.")
                    died.sent_seconds = sent
                    raise died from error
                if time.monotonic() + delay >= deadline:
                    raise ModelUnavailableError(
                        f"Triton did not come back within {timeout_seconds:.0f} s."
                    ) from error
            else:
                self._known.add(model)
                return {name: checked_output(model, name, answer.as_numpy(name)) for name in names}
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_RETRY_SECONDS)

    async def _send(self, request: Coroutine[Any, Any, Any], queued: asyncio.Event) -> Any:
        """Make a request and set the event once Triton has it.

        Frames of one HTTP/2 connection arrive in the order in which they were sent: when a
        question that was sent later is answered, Triton has read the request.
        """
        answer = asyncio.create_task(request)
        try:
            for _ in range(HANDING_OVER_TICKS):
                await asyncio.sleep(0)
            with suppress(InferenceServerException):
                await self._client.is_server_live(client_timeout=1.0)
            queued.set()
            return await answer
        finally:
            answer.cancel()

    async def server_ready(self, *, timeout_seconds: float = 2.0) -> bool:
        """Ask Triton whether it has loaded every model. Its word on stubs is worth nothing."""
        try:
            return bool(await self._client.is_server_ready(client_timeout=timeout_seconds))
        except InferenceServerException:
            return False

    async def ready(self, models: Iterable[str], *, timeout_seconds: float = 2.0) -> bool:
        """Ask Triton whether it has loaded these models, and remember that they exist."""
        names = list(models)
        self._known.update(names)
        try:
            answers = [
                bool(await self._client.is_model_ready(name, client_timeout=timeout_seconds))
                for name in names
            ]
        except InferenceServerException:
            return False
        return all(answers)

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()

    async def __aenter__(self) -> TritonClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _translate(
        self, model: str, error: InferenceServerException, sent_seconds: float
    ) -> ModelError | None:
        """Name the error in our tree; None means try again."""
        status = str(error.status() or "").removeprefix("StatusCode.")
        message = str(error.message() or "")
        if STUB_DIED.search(message):
            died = StubDiedError(f"A Python stub of Triton died while {model} ran.")
            died.sent_seconds = sent_seconds
            return died
        if status in ("DEADLINE_EXCEEDED", "CANCELLED"):
            return ModelTimeoutError(f"{model} did not answer in time.")
        if status == "UNAVAILABLE":
            return None
        if status == "NOT_FOUND":
            if model in self._known:
                return None
            return ModelUnavailableError(f"Triton has no model {model!r}.")
        return ModelError(f"{model}: {message or status}")


def _broke_off(error: InferenceServerException) -> bool:
    """Tell whether Triton had the request and its connection was lost."""
    unavailable = str(error.status() or "").endswith("UNAVAILABLE")
    return unavailable and not NOT_CONNECTED.search(str(error.message() or ""))
