"""Promise 2 through the real worker: no check is negative unless it has looked at all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gateway.exceptions import ModelOutputError, ModelTimeoutError
from gateway.screening.reasons import REASONS
from gateway.store import screenings
from gateway.testing import NATIVE, Answer, FakeTriton, anatomy_inference, anatomy_measures, organ
from gateway.triton.tensors import Inference
from tests.integration.test_worker_screens import Bench, bench  # noqa: F401 - a fixture
from tests.rule_check import write_network_check

pytestmark = pytest.mark.postgres

CHECKS = ("liver", "bone", "nodule")
"""A rule, and two networks with its thresholds; all need the liver."""

ABSENT = organ(None, volume_ml=0.0, eroded_ml=0.0, coverage="absent")
CUT = organ(58.0, volume_ml=900.0, coverage="truncated", truncated_sides=["inferior"])
ENHANCED = {name: organ(220.0, volume_ml=values["volume_ml"]) for name, values in NATIVE.items()}
LOW, HIGH = 1.0, 30.0
"""Scores below every threshold and above the one that flags."""


def scored(score: float) -> Inference:
    return dataclasses.replace(
        anatomy_inference({"listed": 1.0}), scores=np.array([score], np.float32)
    )


def scan(**organs: Mapping[str, Any]) -> Inference:
    return anatomy_inference(anatomy_measures(**{name: dict(o) for name, o in organs.items()}))


CASES: dict[str, tuple[Answer, Answer, Answer, dict[str, tuple[str, str | None]]]] = {
    "all of it is seen and healthy": (
        scan(),
        scored(LOW),
        scored(HIGH),
        {"liver": ("negative", None), "bone": ("negative", None), "nodule": ("positive", None)},
    ),
    "the organ is outside the field of view": (
        scan(liver=ABSENT),
        scored(LOW),
        scored(HIGH),
        dict.fromkeys(CHECKS, ("not_evaluated", "organ_absent")),
    ),
    "the organ is cut off: positive perhaps, never negative": (
        scan(liver=CUT),
        scored(LOW),
        scored(HIGH),
        {
            "liver": ("indeterminate", "truncated"),
            "bone": ("indeterminate", "truncated"),
            "nodule": ("positive", None),
        },
    ),
    "the scan is not of the kind that the checks are for": (
        scan(**ENHANCED),
        scored(LOW),
        scored(LOW),
        dict.fromkeys(CHECKS, ("not_evaluated", "contrast")),
    ),
    "networks fail or do not answer": (
        scan(),
        ModelOutputError(),
        ModelTimeoutError(),
        {
            "liver": ("negative", None),
            "bone": ("failed", "model_failed"),
            "nodule": ("failed", "timeout"),
        },
    ),
    "a network answers with no number": (
        scan(),
        scored(float("nan")),
        scored(LOW),
        {
            "liver": ("negative", None),
            "bone": ("failed", "model_failed"),
            "nodule": ("negative", None),
        },
    ),
    "nobody knows where the organs are": (
        ModelOutputError(),
        scored(LOW),
        scored(LOW),
        dict.fromkeys(CHECKS, ("failed", "model_failed")),
    ),
    "every attempt crashes": (
        ZeroDivisionError(),
        scored(LOW),
        scored(LOW),
        dict.fromkeys(CHECKS, ("failed", "internal")),
    ),
}


async def test_promise_2_never_a_silent_negative(bench: Bench) -> None:  # noqa: F811
    """Each check that was asked for ends in one of five states, and says why where it is none."""
    for name in CHECKS[1:]:
        write_network_check(bench.settings.model_repository, name)
    triton = FakeTriton()
    async with bench.worker(triton), bench.reaper():
        for case, (anatomy, bone, nodule, expected) in CASES.items():
            triton.script("anatomy", anatomy).script("bone", bone).script("nodule", nodule)
            row = await bench.order(*CHECKS)
            shown = await bench.ended(row)
            told = {check["check"]: (check["state"], check["reason"]) for check in shown["checks"]}
            assert len(shown["checks"]) == len(CHECKS)
            assert told == expected, case
            for check in shown["checks"]:
                says_why = check["reason"] in REASONS and check["text"]["en"]
                assert says_why or check["state"] in ("positive", "negative"), case


async def test_promise_2_what_is_cancelled_or_not_installed_is_no_negative(
    bench: Bench,  # noqa: F811
) -> None:
    """Nor what was never begun."""
    row = await bench.order(*CHECKS)
    async with bench.database.connection() as connection:
        await screenings.cancel(connection, "default", row["screening_id"])
    shown = await bench.shown(row)
    told = {check["check"]: (check["state"], check["reason"]) for check in shown["checks"]}
    assert told == dict.fromkeys(CHECKS, ("not_evaluated", "cancelled"))
    row = await bench.order("liver", "spleen_of_yesterday")
    async with bench.worker(FakeTriton().script("anatomy", scan())):
        shown = await bench.ended(row)
    told = {check["check"]: (check["state"], check["reason"]) for check in shown["checks"]}
    assert told == {
        "liver": ("negative", None),
        "spleen_of_yesterday": ("not_evaluated", "not_installed"),
    }
