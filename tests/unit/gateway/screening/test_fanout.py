"""Checks in flight together: who starts first, who waits for whom, what a failure touches."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.exceptions import ModelOutputError, StorageFullError, StubDiedError
from gateway.screening.anatomy import parse_anatomy
from gateway.screening.calibration import CheckFlags, Flag
from gateway.screening.fanout import FanOut
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import Manifest, Rule
from gateway.screening.mask import KeptMask, Mask
from gateway.screening.plan import Plan, Step
from gateway.screening.rules import RULES, RuleInput, RuleOutput
from gateway.screening.series_facts import SeriesFacts
from gateway.screening.site_thresholds import SiteThresholds
from gateway.screening.subject import Subject
from gateway.screening.thresholds import LesionThresholds
from gateway.testing import FakeTriton, anatomy_measures
from gateway.triton.shared_memory import SharedLabels, SharedVolume
from gateway.triton.tensors import Inference
from tests.rule_check import rule_check

LIVER = rule_check()
AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]], np.float64)


def check(name: str, **changes: Any) -> Manifest:
    """Give a check with a network of its own that reports one score."""
    given: dict[str, Any] = {
        "kind": "network",
        "ensemble": name,
        "rule": None,
        "recipe_json": "{}",
        "classes": (),
        "scores": ("pdff_percent",),
        "indeterminate": (),
        "timeout_seconds": 5.0,
        "models": {},
    }
    return dataclasses.replace(LIVER, name=name, **(given | changes))


def found(score: float = 3.0, **lesions: Any) -> Inference:
    """Give what a network says."""
    return Inference(
        scores=np.array([score], np.float32),
        lesions={"lesions": [], "measures": {}, **lesions},
        mask=np.zeros((1, 1, 1), np.uint8),
        mask_geometry=np.eye(4),
    )


def step(manifest: Manifest, **changes: Any) -> Step:
    given: dict[str, Any] = {"slab": (1, 4), "roi": (0, 3, 0, 4, 0, 4)}
    return Step(check=manifest.name, latency_class=manifest.latency_class, **(given | changes))


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    with (
        SharedVolume.create((4, 4, 4), home=tmp_path) as volume,
        SharedLabels.create((2, 2, 2), home=tmp_path) as labels,
    ):
        yield Subject(
            volume=volume,
            affine=AFFINE,
            anatomy=parse_anatomy(anatomy_measures()),
            facts=SeriesFacts(series_instance_uid="1.2.3"),
            provenance=lambda manifest: {"pipeline": manifest.name},
            organs=labels.organs(np.eye(4), ("background", "liver")),
        )


class Study:
    """A fan-out, and the results that came, in their order."""

    def __init__(self, *manifests: Manifest, triton: Any, **given: Any) -> None:
        self.manifests = {manifest.name: manifest for manifest in manifests}
        self.results: list[CheckResult] = []
        self.came = asyncio.Event()
        given.setdefault("checks", list(self.manifests))
        self.fan_out = FanOut(self.manifests, triton, on_result=self.on_result, **given)

    async def on_result(self, result: CheckResult) -> None:
        self.results.append(result)
        self.came.set()

    def plan(self, *names: str) -> Plan:
        return Plan(steps=tuple(step(self.manifests[name]) for name in names))

    @property
    def said(self) -> dict[str, tuple[str, str | None]]:
        return {result.check: (result.state, result.reason) for result in self.results}


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[RuleInput]]:
    """Install the rule ``listen``, which keeps what it was given and reports one measure."""
    heard: dict[str, list[RuleInput]] = {"listen": []}

    def listen(given: RuleInput) -> RuleOutput:
        heard["listen"].append(given)
        return RuleOutput(measures={"seen": float(len(given.results))})

    monkeypatch.setitem(RULES, "listen", listen)  # type: ignore[arg-type]
    return heard


LISTEN = Rule(name="listen")
LESION = LesionThresholds(score="score", mark=0.3, flag=0.6)


async def test_a_rule_runs_after_the_network_on_what_it_gave(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """Scores by name, measures and lesions."""
    triton = FakeTriton().script(
        "nodule", found(20.0, lesions=[{"id": 1, "score": 0.9}], measures={"count": 1})
    )
    study = Study(check("nodule", rule=LISTEN), triton=triton)
    await study.fan_out.run(study.plan("nodule"), subject)
    [given] = rules["listen"]
    assert given.measures == {"pdff_percent": 20.0, "count": 1}
    assert [lesion["id"] for lesion in given.lesions] == [1]
    [result] = study.results
    assert result.state == "positive"
    assert result.measures["seen"] == 0.0
    assert result.lesions[0]["flagged"]


async def test_a_check_that_fuses_others_runs_beside_them_and_waits(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """Its network is asked at once; its rule sees their results, a failed one too."""
    chest = check("chest", rule=LISTEN, after=("bone", "nodule"))
    triton = FakeTriton(delays={"nodule": 0.05})
    triton.script("chest", found()).script("nodule", found(30.0))
    triton.script("bone", ModelOutputError())
    study = Study(chest, check("bone"), check("nodule"), triton=triton)
    await study.fan_out.run(study.plan("chest", "bone", "nodule"), subject)
    assert [call.model for call in triton.calls] == ["chest", "bone", "nodule"]
    [given] = rules["listen"]
    assert {name: one.state for name, one in given.results.items()} == {
        "bone": "failed",
        "nodule": "positive",
    }
    assert study.results[-1].check == "chest"
    assert study.said["chest"] == ("negative", None)


async def test_a_check_that_nobody_asked_for_is_not_waited_for(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """A partner may ask for the fusing check alone."""
    chest = check("chest", rule=LISTEN, after=("bone",))
    study = Study(chest, triton=FakeTriton().script("chest", found()))
    await study.fan_out.run(study.plan("chest"), subject)
    assert rules["listen"][0].results == {}
    assert study.said == {"chest": ("negative", None)}


async def test_a_check_waits_for_another_volume_without_holding_its_own(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """The volume is free as soon as nothing reads it; the rule runs when the rest is there."""
    chest = check("chest", rule=LISTEN, after=("bone",))
    triton = FakeTriton().script("chest", found()).script("bone", found())
    study = Study(chest, check("bone"), triton=triton)
    await study.fan_out.run(study.plan("chest"), subject)
    assert study.results == []
    await study.fan_out.run(study.plan("bone"), subject)
    await study.fan_out.finish()
    assert [result.check for result in study.results] == ["bone", "chest"]
    assert rules["listen"][0].results["bone"].state == "negative"


async def test_a_dead_stub_is_raised_and_nobody_waits_for_it(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """The others end first; what would have waited for it does not hang."""
    chest = check("chest", rule=LISTEN, after=("bone",))
    triton = FakeTriton(delays={"nodule": 0.05})
    triton.script("chest", found()).script("bone", StubDiedError()).script("nodule", found())
    study = Study(chest, check("bone"), check("nodule"), triton=triton)
    with pytest.raises(StubDiedError):
        await asyncio.wait_for(
            study.fan_out.run(study.plan("chest", "bone", "nodule"), subject), 5.0
        )
    assert study.said == {"nodule": ("negative", None)}


async def test_known_results_are_not_made_again(
    subject: Subject, rules: Mapping[str, list[RuleInput]]
) -> None:
    """After a restart of Triton only the rest is run, with what is out already at hand."""
    chest = check("chest", rule=LISTEN, after=("bone",))
    out = CheckResult(check="bone", state="positive")
    triton = FakeTriton().script("chest", found())
    study = Study(chest, check("bone"), triton=triton, known={"bone": out})
    await study.fan_out.run(study.plan("chest", "bone"), subject)
    assert [call.model for call in triton.calls] == ["chest"]
    assert study.said == {"chest": ("negative", None)}
    assert rules["listen"][0].results == {"bone": out}


async def test_a_check_that_takes_too_long_fails_alone(subject: Subject) -> None:
    """By its own limit."""
    slow = check("bone", timeout_seconds=0.05)
    triton = FakeTriton(delays={"bone": 30.0})
    triton.script("bone", found()).script("nodule", found())
    study = Study(slow, check("nodule"), triton=triton)
    await study.fan_out.run(study.plan("bone", "nodule"), subject)
    assert study.said == {"bone": ("failed", "timeout"), "nodule": ("negative", None)}


async def test_cancellation_ends_every_check(subject: Subject) -> None:
    """Whatever it was doing; none of them has a result."""
    chest = check("chest", rule=LISTEN, after=("bone",))
    triton = FakeTriton(delays={"bone": 30.0})
    triton.script("chest", found()).script("bone", found())
    study = Study(chest, check("bone"), triton=triton)
    task = asyncio.create_task(study.fan_out.run(study.plan("chest", "bone"), subject))
    await triton.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert study.results == []
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []


async def test_the_organs_go_to_those_that_ask(subject: Subject) -> None:
    """By reference, as the slab does."""
    triton = FakeTriton().script("bone", found()).script("nodule", found())
    study = Study(check("bone", organs=True), check("nodule"), triton=triton)
    await study.fan_out.run(study.plan("bone", "nodule"), subject)
    given = {call.model: call.organs for call in triton.calls}
    assert given == {"bone": subject.organs, "nodule": None}


class Queue:
    """A Triton that says when it has a request, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.take: dict[str, asyncio.Event] = {}
        self.answer: dict[str, asyncio.Event] = {}

    def gates(self, model: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Give the events on which a model takes and answers."""
        make = asyncio.Event
        return self.take.setdefault(model, make()), self.answer.setdefault(model, make())

    async def infer(
        self, model: str, *, queued: asyncio.Event | None = None, **_: Any
    ) -> Inference:
        self.asked.append(model)
        take, answer = self.gates(model)
        if queued is not None:
            await take.wait()
            queued.set()
        await answer.wait()
        return found()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_stat_check_is_in_the_queue_before_the_others_start(subject: Subject) -> None:
    """And its result is out alone while all others are still in flight."""
    aorta = check("aorta", latency_class="stat")
    triton = Queue()
    study = Study(aorta, check("bone"), check("nodule"), triton=triton)
    plan = study.plan("aorta", "bone", "nodule")
    task = asyncio.create_task(study.fan_out.run(plan, subject))
    await _settled()
    assert triton.asked == ["aorta"]
    triton.take["aorta"].set()
    await _settled()
    assert triton.asked == ["aorta", "bone", "nodule"]
    assert study.results == []
    triton.answer["aorta"].set()
    await asyncio.wait_for(study.came.wait(), 5.0)
    assert [result.check for result in study.results] == ["aorta"]
    assert not task.done()
    for name in ("bone", "nodule"):
        triton.answer[name].set()
    await task
    assert len(study.results) == 3


async def test_a_stat_check_that_fails_before_it_is_queued_keeps_nobody_waiting(
    subject: Subject,
) -> None:
    """The others start when it has ended."""
    aorta = check("aorta", latency_class="stat")
    triton = FakeTriton().script("bone", found())
    study = Study(aorta, check("bone"), triton=triton)
    await study.fan_out.run(study.plan("aorta", "bone"), subject)
    assert study.said == {"aorta": ("failed", "model_unavailable"), "bone": ("negative", None)}


async def test_what_is_no_number_is_no_measure(subject: Subject) -> None:
    """A network that says so breaks its contract."""
    triton = FakeTriton().script("bone", found(measures={"volume": float("nan")}))
    study = Study(check("bone"), triton=triton)
    await study.fan_out.run(study.plan("bone"), subject)
    assert study.said == {"bone": ("failed", "model_failed")}


async def test_lesions_with_thresholds_of_their_own_are_marked_one_by_one(
    subject: Subject,
) -> None:
    """Each by its number; the check by the highest."""
    thresholds = LIVER.thresholds
    assert thresholds is not None
    manifest = check(
        "bone",
        thresholds=dataclasses.replace(
            thresholds,
            score="lesion_score",
            mark=dataclasses.replace(thresholds.mark, value=0.3),
            flag=dataclasses.replace(thresholds.flag, value=0.6, also=()),
            lesion=LESION,
        ),
    )
    lesions = [{"id": n, "score": score} for n, score in enumerate((0.7, 0.4, 0.1), start=1)]
    triton = FakeTriton().script("bone", found(lesions=lesions))
    study = Study(manifest, triton=triton)
    await study.fan_out.run(study.plan("bone"), subject)
    [result] = study.results
    assert (result.state, result.score) == ("positive", 0.7)
    assert [(one["marked"], one["flagged"]) for one in result.lesions] == [
        (True, True),
        (True, False),
        (False, False),
    ]


def outlined(score: float) -> Inference:
    """Give what a network says that outlines something."""
    return dataclasses.replace(found(score), mask=np.ones((2, 2, 2), np.uint8))


async def test_the_mask_of_what_is_shown_is_kept_and_no_other(subject: Subject) -> None:
    """Of a positive check and of a marked one; a healthy study leaves nothing."""
    kept: dict[str, Mask] = {}

    async def keep(name: str, mask: Mask) -> KeptMask:
        kept[name] = mask
        return KeptMask.of(mask, mask.encode())

    scores = {"bone": 30.0, "nodule": 7.0, "stomach": 1.0, "liver": 30.0}
    triton = FakeTriton()
    for name, score in scores.items():
        triton.script(name, found(score) if name == "liver" else outlined(score))
    study = Study(*map(check, scores), triton=triton, keep_mask=keep)
    await study.fan_out.run(study.plan(*scores), subject)
    assert set(kept) == {"bone", "nodule"}
    told = {result.check: result.mask for result in study.results}
    assert told["stomach"] is None
    assert told["liver"] is None  # nothing was outlined
    assert told["bone"] is not None
    assert told["bone"]["shape"] == [2, 2, 2]


async def test_a_full_disk_costs_the_mask_and_not_the_result(subject: Subject) -> None:
    """What is urgent is told all the same."""

    async def keep(name: str, mask: Mask) -> KeptMask:
        raise StorageFullError

    triton = FakeTriton().script("bone", outlined(30.0))
    study = Study(check("bone"), triton=triton, keep_mask=keep)
    await study.fan_out.run(study.plan("bone"), subject)
    [result] = study.results
    assert (result.state, result.mask) == ("positive", None)


async def test_the_site_s_threshold_is_the_one_that_is_applied_and_shown(subject: Subject) -> None:
    """20 % of fat is over the manifest's 17.4 and under the site's 21.5."""
    manifest = check("bone")
    assert manifest.thresholds is not None
    flag = Flag(
        scanner_model="*",
        value=21.5,
        before=17.4,
        negatives=1000,
        flagged_before=9,
        flagged=6,
        upper_bound=0.013,
        change="raised",
    )
    flags = CheckFlags(check="bone", base=manifest.thresholds.id, budget=0.006, flags=(flag,))
    site = SiteThresholds(site="st-mary", version=3, checks={"bone": flags}, models={"bone": {}})
    triton = FakeTriton().script("bone", found(20.0))
    for used, state in ((SiteThresholds(), "positive"), (site, "negative")):
        study = Study(manifest, triton=triton)
        await study.fan_out.run(study.plan("bone"), dataclasses.replace(subject, site=used))
        assert study.said["bone"] == (state, None)
    [result] = study.results
    assert result.thresholds is not None
    assert result.thresholds["set"] == "liver-steatosis-1+st-mary-3"
    assert result.thresholds["flag"] == 21.5
