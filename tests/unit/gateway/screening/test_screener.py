"""A study's way without database: what is said of each check, and what is left behind."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.contract import REGION_PREFIX
from gateway.exceptions import (
    AirOutOfRangeError,
    ModelOutputError,
    ModelTimeoutError,
    StubDiedError,
)
from gateway.intake.folders import collect
from gateway.runtime.home import home_digest
from gateway.screening.findings import CheckResult
from gateway.screening.manifest_reader import read_manifest
from gateway.screening.plan import Plan
from gateway.screening.screener import Request, StudyResult, screen_study
from gateway.settings import ROOT, Settings
from gateway.study.flags import Quality
from gateway.testing import Call, FakeTriton, anatomy_inference, anatomy_measures, organ
from gateway.triton.tensors import Inference
from preprocess.organs import open_organs
from tests.rule_check import manifests_with_rule
from tests.small_ct import write_small_ct

MANIFESTS = manifests_with_rule()


class Screened:
    """One run and all that it told."""

    def __init__(self) -> None:
        self.results: list[CheckResult] = []
        self.stages: list[str] = []
        self.plan = Plan()
        self.study = StudyResult()

    async def on_result(self, result: CheckResult) -> None:
        self.results.append(result)

    async def on_stage(self, stage: str) -> None:
        self.stages.append(stage)

    async def on_plan(self, plan: Plan) -> None:
        self.plan = plan

    @property
    def said(self) -> list[tuple[str, str | None]]:
        return [(result.state, result.reason) for result in self.results]


async def screened(folder: Path, home: Path, triton: FakeTriton, **given: Any) -> Screened:
    settings = Settings(home=home)
    out = Screened()
    with collect([folder], settings=settings.intake) as found:
        assert not found.refused
        out.study = await screen_study(
            found.instances,
            found.objects,
            Request(checks=["liver"]),
            manifests=given.pop("manifests", MANIFESTS),
            triton=triton,
            settings=settings,
            on_stage=out.on_stage,
            on_plan=out.on_plan,
            on_result=out.on_result,
            **given,
        )
    return out


def regions(home: Path) -> list[str]:
    return [n for n in os.listdir("/dev/shm") if n.startswith(REGION_PREFIX + home_digest(home))]


@pytest.fixture
def triton() -> FakeTriton:
    return FakeTriton().script("anatomy", anatomy_inference())


async def test_a_native_study_is_judged(tmp_path: Path, triton: FakeTriton) -> None:
    """Stages, plan, result with provenance, and no region left."""
    write_small_ct(tmp_path / "ct")
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("negative", None)]
    assert out.stages == ["series", "decode", "quality", "anatomy", "plan", "checks"]
    [result] = out.results
    assert result.grade == "S0"
    assert result.provenance["sop_instance_count"] == 24
    assert result.provenance["recipe_digest"] == MANIFESTS["anatomy"].recipe_digest
    assert [step.check for step in out.plan.steps] == ["liver"]
    assert set(out.study.timings) >= {"decode", "anatomy", "plan", "checks", "total"}
    [inputs] = out.study.provenance["inputs"].values()
    assert len(inputs["sop_instance_uids"]) == 24
    assert not regions(tmp_path)


async def test_the_anatomy_is_asked_by_reference(tmp_path: Path, triton: FakeTriton) -> None:
    """The request carries the region's name and the body's box, never the pixels."""
    write_small_ct(tmp_path / "ct")
    await screened(tmp_path / "ct", tmp_path, triton)
    [call] = triton.calls
    assert call.source is not None
    assert call.source.shape == (24, 64, 64)
    assert call.source.region.startswith(REGION_PREFIX)
    s0, s1, r0, r1, c0, c1 = call.roi
    assert (s0, s1) == (0, 24)
    assert r0 > 0
    assert r1 < 64
    assert c1 - c0 > r1 - r0  # the disc is wider than deep


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PatientAge": "012Y"}, "age_under_18"),
        ({"RescaleSlope": "0"}, "zero_rescale_slope"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"Modality": "OT"}, "wrong_modality"),
        ({"ConvolutionKernel": "B70f"}, "kernel"),
        ({"LossyImageCompression": "01"}, "lossy_compression"),
    ],
)
async def test_unfit_studies_are_refused_with_their_reason(
    tmp_path: Path, triton: FakeTriton, changes: dict[str, Any], reason: str
) -> None:
    """Nothing is decoded, and Triton is not asked."""
    write_small_ct(tmp_path / "ct", changes=changes)
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("not_evaluated", reason)]
    assert out.stages == ["series"]
    assert not triton.calls


async def test_missing_slices_are_named(tmp_path: Path, triton: FakeTriton) -> None:
    """A gap in the stack."""
    for path in write_small_ct(tmp_path / "ct")[10:13]:
        path.unlink()
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("not_evaluated", "missing_slices")]


async def test_two_patients_in_one_study_are_refused(tmp_path: Path, triton: FakeTriton) -> None:
    """Whoever the result would be about."""
    uid = "1.2.3.4.5.6"
    write_small_ct(tmp_path / "ct" / "a", study_instance_uid=uid)
    write_small_ct(tmp_path / "ct" / "b", study_instance_uid=uid, changes={"PatientID": "other"})
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("not_evaluated", "identity_conflict")]


async def test_a_contrast_study_is_refused(tmp_path: Path) -> None:
    """The gate closes after anatomy."""
    write_small_ct(tmp_path / "ct")
    triton = FakeTriton().script(
        "anatomy", anatomy_inference(anatomy_measures(aorta=organ(150.0, volume_ml=60.0)))
    )
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("not_evaluated", "contrast")]
    [seen] = out.study.anatomy.values()
    assert seen["phase"]["name"] == "venous"


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ModelTimeoutError(), "timeout"), (ModelOutputError(), "model_failed")],
)
async def test_a_failing_anatomy_fails_its_checks_visibly(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    """Never a silent negative."""
    write_small_ct(tmp_path / "ct")
    out = await screened(tmp_path / "ct", tmp_path, FakeTriton().script("anatomy", error))
    assert out.said == [("failed", reason)]
    assert not regions(tmp_path)


async def test_a_dead_stub_is_raised_and_leaves_no_region(tmp_path: Path) -> None:
    """The worker restarts Triton and screens again."""
    write_small_ct(tmp_path / "ct")
    with pytest.raises(StubDiedError):
        await screened(tmp_path / "ct", tmp_path, FakeTriton().script("anatomy", StubDiedError()))
    assert not regions(tmp_path)


async def test_cancellation_leaves_no_region(tmp_path: Path, triton: FakeTriton) -> None:
    """The drain may cut a study off at any point."""
    write_small_ct(tmp_path / "ct")
    triton.delay_seconds = 30.0
    task = asyncio.create_task(screened(tmp_path / "ct", tmp_path, triton))
    await triton.asked.wait()
    assert regions(tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not regions(tmp_path)


async def test_pixels_that_are_refused_wait_for_no_anatomy(
    tmp_path: Path, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two run side by side; a volume that is no CT ends the question and leaves no region."""
    loop = asyncio.get_running_loop()

    def refused(*_: Any) -> Quality:
        asyncio.run_coroutine_threadsafe(triton.asked.wait(), loop).result()
        raise AirOutOfRangeError("Air measures 0 HU.")

    monkeypatch.setattr("gateway.screening.screener.pixel_verdict", refused)
    write_small_ct(tmp_path / "ct")
    triton.delay_seconds = 3600.0
    out = await asyncio.wait_for(screened(tmp_path / "ct", tmp_path, triton), 30)
    assert out.said == [("not_evaluated", "air_out_of_range")]
    assert "anatomy" not in out.stages
    assert not regions(tmp_path)


async def test_a_network_check_needs_only_a_manifest(tmp_path: Path, triton: FakeTriton) -> None:
    """A check with an ensemble of its own is asked by reference and judged by its manifest."""
    write_small_ct(tmp_path / "ct")
    anatomy, liver = MANIFESTS["anatomy"], MANIFESTS["liver"]
    network = dataclasses.replace(
        liver,
        kind="network",
        ensemble="liver_net",
        rule=None,
        recipe_json=anatomy.recipe_json,
        recipe_digest=anatomy.recipe_digest,
        classes=(),
        scores=(),
    )
    found = anatomy_inference({"pdff_percent": 30.0})
    triton.script("liver_net", found)
    out = await screened(
        tmp_path / "ct", tmp_path, triton, manifests={**MANIFESTS, "liver": network}
    )
    assert out.said == [("positive", None)]
    assert [call.model for call in triton.calls] == ["anatomy", "liver_net"]


async def test_a_failing_check_leaves_the_others_whole(tmp_path: Path, triton: FakeTriton) -> None:
    """One check fails for a reason of its own, the other is judged."""
    write_small_ct(tmp_path / "ct")
    anatomy, liver = MANIFESTS["anatomy"], MANIFESTS["liver"]
    other = dataclasses.replace(
        liver,
        name="other",
        kind="network",
        ensemble="other_net",
        rule=None,
        recipe_json=anatomy.recipe_json,
    )
    triton.script("other_net", ModelOutputError())
    settings = Settings(home=tmp_path)
    out = Screened()
    with collect([tmp_path / "ct"], settings=settings.intake) as found:
        await screen_study(
            found.instances,
            found.objects,
            Request(checks=["other", "liver"]),
            manifests={**MANIFESTS, "other": other},
            triton=triton,
            settings=settings,
            on_result=out.on_result,
        )
    assert {r.check: (r.state, r.reason) for r in out.results} == {
        "liver": ("negative", None),
        "other": ("failed", "model_failed"),
    }


@pytest.mark.parametrize(
    ("without", "said"),
    [("not_evaluated", ("not_evaluated", "no_reference_weights")), ("rule", ("negative", None))],
)
async def test_a_network_without_weights_is_never_a_silent_negative(
    tmp_path: Path, triton: FakeTriton, without: str, said: tuple[str, str | None]
) -> None:
    """The check is not evaluated, or its rule runs alone; the provenance says which is missing."""
    write_small_ct(tmp_path / "ct")
    liver = dataclasses.replace(
        MANIFESTS["liver"],
        kind="network",
        ensemble="liver",
        recipe_json=MANIFESTS["anatomy"].recipe_json,
        models={"liver_net": None},
        without_weights=without,
    )
    out = await screened(tmp_path / "ct", tmp_path, triton, manifests={**MANIFESTS, "liver": liver})
    assert out.said == [said]
    assert "liver" not in {call.model for call in triton.calls}
    assert out.results[0].provenance["models"]["liver_net"] is None
    assert len(out.results[0].provenance["models"]["anatomy_net"]) == 64


@pytest.mark.parametrize("missing", ["chest_net", "chest_net/bank"])
async def test_the_chest_waits_for_its_weights_and_its_bank(
    tmp_path: Path, triton: FakeTriton, missing: str
) -> None:
    """With either alone it is not evaluated, and the provenance says which is missing."""
    write_small_ct(tmp_path / "ct")
    chest = read_manifest(ROOT / "model_repository" / "chest" / "pipeline.toml")
    models = {"chest_net": "ab", "chest_net/bank": "cd"} | {missing: None}
    settings = Settings(home=tmp_path)
    out = Screened()
    with collect([tmp_path / "ct"], settings=settings.intake) as found:
        await screen_study(
            found.instances,
            found.objects,
            Request(checks=["chest"]),
            manifests={**MANIFESTS, "chest": dataclasses.replace(chest, models=models)},
            triton=triton,
            settings=settings,
            on_result=out.on_result,
        )
    assert out.said == [("not_evaluated", "no_reference_weights")]
    assert out.results[0].provenance["models"][missing] is None
    assert "chest" not in {call.model for call in triton.calls}


async def test_random_weights_are_never_evaluated(tmp_path: Path, triton: FakeTriton) -> None:
    """Whatever they would say: the check is not evaluated, and its network is not asked."""
    write_small_ct(tmp_path / "ct")
    chest = read_manifest(ROOT / "model_repository" / "chest" / "pipeline.toml")
    models = {"chest_net": "ab", "chest_net/bank": "cd"}
    drawn = dataclasses.replace(chest, models=models, random_weights=("chest_net",))
    settings = Settings(home=tmp_path)
    out = Screened()
    with collect([tmp_path / "ct"], settings=settings.intake) as found:
        await screen_study(
            found.instances,
            found.objects,
            Request(checks=["chest"]),
            manifests={**MANIFESTS, "chest": drawn},
            triton=triton,
            settings=settings,
            on_result=out.on_result,
        )
    assert out.said == [("not_evaluated", "random_weights")]
    assert "chest" not in {call.model for call in triton.calls}


async def test_the_label_map_of_anatomy_is_shared_while_checks_run(tmp_path: Path) -> None:
    """A region of its own, with the map of the inference in it, and gone afterwards."""
    write_small_ct(tmp_path / "ct")
    mask = (np.arange(60) % 3).astype(np.uint8).reshape(3, 4, 5)
    seen: list[Any] = []

    def look(call: Call) -> Inference:
        assert call.organs is not None
        seen.append(open_organs(call.organs.to_json()).labels.copy())
        return anatomy_inference({"pdff_percent": 3.0})

    triton = FakeTriton().script("anatomy", dataclasses.replace(anatomy_inference(), mask=mask))
    triton.script("liver_net", look)
    liver = dataclasses.replace(
        MANIFESTS["liver"],
        kind="network",
        ensemble="liver_net",
        rule=None,
        recipe_json=MANIFESTS["anatomy"].recipe_json,
        classes=(),
        scores=(),
        organs=True,
    )
    held: list[int] = []

    @asynccontextmanager
    async def memory(size_bytes: int) -> AsyncIterator[None]:
        held.append(size_bytes)
        yield

    manifests = {**MANIFESTS, "liver": liver}
    await screened(tmp_path / "ct", tmp_path, triton, manifests=manifests, memory=memory)
    np.testing.assert_array_equal(seen[0], mask)
    assert held == [2 * 24 * 64 * 64 + 25 * 65 * 65]  # the volume, and its 3 mm grid at most
    assert not regions(tmp_path)


OTHERS = [
    ("MG", "1.2.840.10008.5.1.4.1.1.1.2", "mammography"),
    ("CR", "1.2.840.10008.5.1.4.1.1.1", "radiography"),
    ("DX", "1.2.840.10008.5.1.4.1.1.1.1", "radiography"),
    ("MR", "1.2.840.10008.5.1.4.1.1.4", "magnetic_resonance"),
    ("US", "1.2.840.10008.5.1.4.1.1.6.1", "ultrasound"),
]


@pytest.mark.parametrize(("modality", "sop_class", "name"), OTHERS)
async def test_other_images_are_told_of_and_never_reach_a_ct_check(
    tmp_path: Path, triton: FakeTriton, modality: str, sop_class: str, name: str
) -> None:
    """Whatever their geometry says: the CT check has no series, the image no check."""
    write_small_ct(tmp_path / "ct", changes={"Modality": modality, "SOPClassUID": sop_class})
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert {result.check: (result.state, result.reason) for result in out.results} == {
        "liver": ("not_evaluated", "wrong_modality"),
        name: ("not_evaluated", "no_check_installed"),
    }
    assert not triton.calls
    told = out.results[-1]
    assert told.provenance["series_instance_uids"] == [out.study.series[0]["series_instance_uid"]]
    assert "No check is installed" in told.text["en"]


@pytest.mark.parametrize(("modality", "sop_class", "name"), OTHERS)
async def test_another_image_that_says_ct_is_refused_by_its_class(
    tmp_path: Path, triton: FakeTriton, modality: str, sop_class: str, name: str
) -> None:
    """Modality alone is what somebody typed."""
    write_small_ct(tmp_path / "ct", changes={"SOPClassUID": sop_class})
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert out.said == [("not_evaluated", "wrong_modality")]
    assert not triton.calls


async def test_another_image_beside_a_ct_leaves_the_ct_its_checks(
    tmp_path: Path, triton: FakeTriton
) -> None:
    """Each is answered for itself."""
    uid = "1.2.3.4.5.7"
    write_small_ct(tmp_path / "ct" / "a", study_instance_uid=uid)
    write_small_ct(tmp_path / "ct" / "b", study_instance_uid=uid, changes={"Modality": "MR"})
    out = await screened(tmp_path / "ct", tmp_path, triton)
    assert {result.check: result.state for result in out.results} == {
        "liver": "negative",
        "magnetic_resonance": "not_evaluated",
    }


async def test_the_age_of_the_header_is_given_to_a_network(
    tmp_path: Path, triton: FakeTriton
) -> None:
    """Where the partner sent none; what is missing is NaN, never zero."""
    write_small_ct(tmp_path / "ct")
    triton.script("liver_net", anatomy_inference({"pdff_percent": 3.0}))
    liver = dataclasses.replace(
        MANIFESTS["liver"],
        kind="network",
        ensemble="liver_net",
        rule=None,
        recipe_json=MANIFESTS["anatomy"].recipe_json,
        classes=(),
        scores=(),
        clinical=("age_years", "ast"),
    )
    await screened(tmp_path / "ct", tmp_path, triton, manifests={**MANIFESTS, "liver": liver})
    given = triton.calls[-1].clinical
    assert given is not None
    np.testing.assert_array_equal(given, np.array([55.0, np.nan], np.float32))


class CountedObjects:
    """Objects that count how often each is opened."""

    def __init__(self, objects: Any) -> None:
        self.objects = objects
        self.opened: Counter[str] = Counter()

    def open(self, key: str) -> int:
        self.opened[key] += 1
        return int(self.objects.open(key))

    def read(self, key: str, offset: int, length: int) -> bytes:
        self.opened[key] += 1
        return bytes(self.objects.read(key, offset, length))


async def test_a_volume_is_decoded_once_for_all_its_checks(
    tmp_path: Path, triton: FakeTriton
) -> None:
    """Eight checks, anatomy among them not: each file is read once, all ask for one region."""
    write_small_ct(tmp_path / "ct")
    network = dataclasses.replace(
        MANIFESTS["liver"],
        kind="network",
        rule=None,
        recipe_json=MANIFESTS["anatomy"].recipe_json,
        classes=(),
        scores=(),
    )
    names = [f"check_{number}" for number in range(8)]
    manifests = {"anatomy": MANIFESTS["anatomy"]}
    for name in names:
        manifests[name] = dataclasses.replace(network, name=name, ensemble=name)
        triton.script(name, anatomy_inference({"pdff_percent": 3.0}))
    settings = Settings(home=tmp_path)
    out = Screened()
    with collect([tmp_path / "ct"], settings=settings.intake) as found:
        objects = CountedObjects(found.objects)
        await screen_study(
            found.instances,
            objects,
            Request(checks=names),
            manifests=manifests,
            triton=triton,
            settings=settings,
            on_result=out.on_result,
        )
    assert len(out.results) == 8
    assert len(objects.opened) == 24
    assert set(objects.opened.values()) == {1}
    assert len({call.source.region for call in triton.calls if call.source}) == 1
    assert not regions(tmp_path)
