"""The seams that tests fake, as small classes of the product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import ModelUnavailableError
from gateway.triton.client import PRIORITY_ROUTINE
from gateway.triton.shared_memory import Organs, Source
from gateway.triton.tensors import Inference


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a fake Triton was asked."""

    model: str
    source: Source | None
    roi: tuple[int, ...]
    geometry: npt.NDArray[np.float64]
    recipe: str
    priority: int
    organs: Organs | None = None
    clinical: npt.NDArray[np.float32] | None = None
    report: str | None = None


Answer = Inference | BaseException | Callable[[Call], Inference]


@dataclass
class FakeTriton:
    """A Triton that answers by script, in place of `gateway.triton.client.TritonClient`.

    Each model's answers are given one after another; the last one for ever.
    """

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    delay_seconds: float = 0.0
    delays: dict[str, float] = field(default_factory=dict)
    """Model → seconds, in place of `delay_seconds`."""

    calls: list[Call] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by every call."""

    def script(self, model: str, *answers: Answer) -> FakeTriton:
        """Set what a model answers."""
        self.answers[model] = list(answers)
        return self

    async def infer(
        self,
        model: str,
        *,
        geometry: npt.NDArray[np.float64],
        roi: npt.NDArray[np.int32],
        recipe: str,
        timeout_seconds: float,
        source: Source | None = None,
        organs: Organs | None = None,
        clinical: npt.NDArray[np.float32] | None = None,
        report: str | None = None,
        priority: int = PRIORITY_ROUTINE,
        queued: asyncio.Event | None = None,
    ) -> Inference:
        """Answer as scripted."""
        call = Call(
            model=model,
            source=source,
            roi=tuple(int(value) for value in roi),
            geometry=geometry,
            recipe=recipe,
            priority=priority,
            organs=organs,
            clinical=clinical,
            report=report,
        )
        self.calls.append(call)
        self.asked.set()
        if queued is not None:
            queued.set()
        await asyncio.sleep(self.delays.get(model, self.delay_seconds))
        script = self.answers.get(model)
        if not script:
            raise ModelUnavailableError(f"Triton has no model {model!r}.")
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer(call) if callable(answer) else answer


def organ(
    median_hu: float | None,
    *,
    volume_ml: float = 1000.0,
    eroded_ml: float | None = None,
    coverage: str = "complete",
    truncated_sides: Iterable[str] = (),
) -> dict[str, Any]:
    """Give an organ as the anatomy ensemble measures it."""
    return {
        "volume_ml": volume_ml,
        "eroded_ml": volume_ml / 2 if eroded_ml is None else eroded_ml,
        "box": [2, 8, 2, 8, 2, 8],
        "coverage": coverage,
        "truncated_sides": list(truncated_sides),
        "median_hu": median_hu,
        "mean_hu": median_hu,
        "sd_hu": 12.0,
    }


NATIVE = {
    "aorta": organ(42.0, volume_ml=60.0),
    "heart": organ(40.0, volume_ml=600.0),
    "inferior_vena_cava": organ(41.0, volume_ml=40.0),
    "kidney_right": organ(32.0, volume_ml=160.0),
    "kidney_left": organ(32.0, volume_ml=160.0),
    "spleen": organ(48.0, volume_ml=180.0),
    "liver": organ(58.0, volume_ml=1500.0),
}
"""Organs of a native scan of somebody healthy."""


def anatomy_measures(**organs: dict[str, Any]) -> dict[str, Any]:
    """Give the anatomy ensemble's measures: `NATIVE`, with organs replaced."""
    return {"organs": {**NATIVE, **organs}, "grid_spacing_mm": [3.0, 3.0, 3.0]}


def anatomy_inference(measures: Mapping[str, Any] | None = None) -> Inference:
    """Give an answer of the anatomy ensemble."""
    return Inference(
        scores=np.zeros(1, np.float32),
        lesions={"lesions": [], "measures": dict(measures or anatomy_measures())},
        mask=np.zeros((1, 1, 1), np.uint8),
        mask_geometry=np.diag([3.0, 3.0, 3.0, 1.0])[[2, 1, 0, 3]],
    )
