"""Radiographs: routed by modality, read without anatomy, and never taken for CT."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from gateway.contract import REGION_PREFIX
from gateway.exceptions import ManifestError
from gateway.intake.folders import collect
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.plan import Plan
from gateway.screening.screener import Request, StudyResult, screen_study
from gateway.settings import ROOT, Settings
from gateway.testing import Call, FakeTriton, anatomy_inference
from gateway.triton.tensors import Inference
from networks.phantoms.hand_study import make_hand_study
from preprocess.region import open_slab
from tests.rule_check import RULE_TOML
from tests.small_ct import write_small_ct

CHECK = """
schema = 1
name = "digits"
version = "1.0.0"
kind = "network"
ensemble = "digits"
latency_class = "routine"
timeout_seconds = 5.0
title = { en = "Digits", zh = "手指" }
intended_use = { en = "Counts.", zh = "计数。" }
[requires]
modality = ["DX", "CR"]
body_part = ["HAND"]
side = ["L"]
min_age_years = 0
max_age_years = 18
[inputs]
clinical = ["sex", "age_months"]
[recipe]
name = "digits"
grid = { spacing_mm = [1, 1, 1] }
channels = [{ percentiles = [1, 99] }]
post = { kind = "values", values = ["count"] }
[[measures]]
name = "count"
unit = "1"
[[indeterminate]]
reason = "sex_unknown"
when = [{ measure = "count", at = "missing" }]
en = "Nothing was counted."
zh = "未计数。"
[provenance]
origin = "none"
licence = "none"
"""
"""A check of images that this repository does not have: all that the gateway knows of it."""


@pytest.fixture
def manifests(tmp_path: Path) -> Mapping[str, Manifest]:
    """Anatomy, a rule over it, and the check of images."""
    repository = tmp_path / "repository"
    for path in (ROOT / "model_repository/anatomy/pipeline.toml", RULE_TOML):
        (repository / path.parent.name).mkdir(parents=True)
        shutil.copy(path, repository / path.parent.name)
    (repository / "digits").mkdir()
    (repository / "digits/pipeline.toml").write_text(CHECK, encoding="utf-8")
    return load_manifests(repository)


class Seen:
    """One run and all that it told."""

    def __init__(self) -> None:
        self.results: dict[str, CheckResult] = {}
        self.plan = Plan()
        self.stages: list[str] = []
        self.study = StudyResult()

    async def on_result(self, result: CheckResult) -> None:
        self.results[result.check] = result

    async def on_plan(self, plan: Plan) -> None:
        self.plan = plan

    async def on_stage(self, stage: str) -> None:
        self.stages.append(stage)

    def said(self, check: str) -> tuple[str, str | None]:
        return self.results[check].state, self.results[check].reason


async def screened(
    folder: Path,
    manifests: Mapping[str, Manifest],
    triton: FakeTriton,
    checks: tuple[str, ...] = ("digits", "liver"),
) -> Seen:
    settings, seen = Settings(home=folder), Seen()
    with collect(sorted(folder.rglob("*.dcm")), settings=settings.intake) as found:
        assert not found.refused
        seen.study = await screen_study(
            found.instances,
            found.objects,
            Request(checks=checks),
            manifests=manifests,
            triton=triton,
            settings=settings,
            on_result=seen.on_result,
            on_plan=seen.on_plan,
            on_stage=seen.on_stage,
        )
    return seen


def counted(count: float | None) -> Inference:
    return Inference(
        scores=np.array([0.0], np.float32),
        lesions={"lesions": [], "measures": {"count": count}},
        mask=np.zeros((1, 1, 1), np.uint8),
        mask_geometry=np.eye(4),
    )


def hand(folder: Path, **changes: Any) -> pydicom.Dataset:
    """Write a hand of a boy of 100 months; give what was written."""
    said = {"seed": 4, "sex": "M", "bone_age_months": 100.0, "modality": "CR", **changes}
    make_hand_study(folder, **said)
    return pydicom.dcmread(folder / "hand/0001.dcm")


async def test_an_image_is_given_whole_and_without_anatomy(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """By reference, bone bright, with sex and age in months, and nothing else is asked."""
    ds = hand(tmp_path / "hand", monochrome1=True, bits=10)
    pixels: list[np.ndarray] = []

    def look(call: Call) -> Inference:
        assert call.source is not None
        assert call.source.region.startswith(REGION_PREFIX)
        pixels.append(open_slab(call.source.to_json()).copy())
        return counted(5.0)

    triton = FakeTriton().script("digits", look)
    seen = await screened(tmp_path, manifests, triton)
    [call] = triton.calls
    assert call.roi == (0, 1, 0, ds.Rows, 0, ds.Columns)
    spacing = [float(value) for value in ds.ImagerPixelSpacing]
    np.testing.assert_allclose(np.linalg.norm(call.geometry[:3, :3], axis=0), [1, *spacing])
    assert call.organs is None
    assert call.clinical is not None
    assert call.clinical[0] == 1.0
    assert call.clinical[1] == pytest.approx(float(ds.PatientAge[:-1]), abs=1.1)
    np.testing.assert_array_equal(pixels[0][0], 1023 - ds.pixel_array.astype(np.int16))
    assert seen.stages == ["series", "decode", "plan", "checks"]
    assert seen.study.anatomy == {}


async def test_a_measurement_without_thresholds_is_never_negative(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """Nothing says whether five is normal; its origin names no model of anatomy."""
    hand(tmp_path / "hand")
    triton = FakeTriton().script("digits", counted(5.0))
    seen = await screened(tmp_path, manifests, triton)
    result = seen.results["digits"]
    assert seen.said("digits") == ("indeterminate", "no_reference")
    assert result.measures == {"count": 5.0}
    assert result.units == {"count": "1"}
    assert result.provenance["models"] == {}
    assert result.provenance["sop_instance_count"] == 1
    assert result.provenance["normalisation"] is None


async def test_a_doubt_may_rest_on_a_missing_measure(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """The network's own answer was null."""
    hand(tmp_path / "hand")
    seen = await screened(tmp_path, manifests, FakeTriton().script("digits", counted(None)))
    assert seen.said("digits") == ("indeterminate", "sex_unknown")
    assert seen.results["digits"].text["en"] == "Nothing was counted."


async def test_an_image_never_reaches_a_check_of_ct_nor_ct_one_of_images(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """Each says so by name, and neither ensemble is asked."""
    hand(tmp_path / "dx/hand")
    write_small_ct(tmp_path / "ct/ct")
    triton = FakeTriton().script("digits", counted(5.0)).script("anatomy", anatomy_inference())
    image = await screened(tmp_path / "dx", manifests, triton)
    assert image.said("liver") == ("not_evaluated", "wrong_modality")
    assert [call.model for call in triton.calls] == ["digits"]
    triton.calls.clear()
    scan = await screened(tmp_path / "ct", manifests, triton)
    assert scan.said("digits") == ("not_evaluated", "wrong_modality")
    assert scan.said("liver") == ("negative", None)
    assert [call.model for call in triton.calls] == ["anatomy"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"body_part": "FOOT"}, "body_part"),
        ({"right_hand": True}, "side"),
        ({"lossy": True}, "lossy_compression"),
        ({"patient_age": "019Y"}, "age_over_limit"),
    ],
)
async def test_an_unfit_image_is_not_evaluated(
    tmp_path: Path, manifests: Mapping[str, Manifest], changes: dict[str, Any], reason: str
) -> None:
    """By its header, before anything is decoded."""
    hand(tmp_path / "hand", **changes)
    triton = FakeTriton()
    seen = await screened(tmp_path, manifests, triton, checks=("digits",))
    assert seen.said("digits") == ("not_evaluated", reason)
    assert not triton.calls


async def test_what_the_header_leaves_out_is_missing_and_not_zero(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """A sex of neither kind, and an age in whole years: months are not known from it."""
    hand(tmp_path / "hand", patient_sex="O", patient_age="008Y")
    triton = FakeTriton().script("digits", counted(5.0))
    await screened(tmp_path, manifests, triton, checks=("digits",))
    assert triton.calls[0].clinical is not None
    assert np.isnan(triton.calls[0].clinical).all()


async def test_where_a_check_is_installed_its_modality_is_not_told_as_unserved(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """Without one, radiography is told by name."""
    hand(tmp_path / "hand")
    triton = FakeTriton().script("digits", counted(5.0))
    assert set((await screened(tmp_path, manifests, triton)).results) == {"digits", "liver"}
    without = {name: one for name, one in manifests.items() if name != "digits"}
    seen = await screened(tmp_path, without, triton, checks=("liver",))
    assert seen.said("radiography") == ("not_evaluated", "no_check_installed")


def test_a_check_of_images_cannot_ask_for_organs(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """They are seen in CT."""
    path = tmp_path / "repository/digits/pipeline.toml"
    path.write_text(CHECK.replace("[inputs]", "[inputs]\norgans = true"), encoding="utf-8")
    with pytest.raises(ManifestError, match="seen in CT only"):
        load_manifests(tmp_path / "repository")


def test_a_threshold_cannot_rest_on_a_missing_measure(
    tmp_path: Path, manifests: Mapping[str, Manifest]
) -> None:
    """Nothing is positive because it is not known."""
    path = tmp_path / "repository/digits/pipeline.toml"
    path.write_text(
        CHECK
        + """
[thresholds]
id = "digits-1"
score = "count"
unit = "1"
mark = { value = 6, at = "greater", operating_point = "six" }
[thresholds.flag]
value = 6
at = "greater"
operating_point = "six"
also = [{ id = "none", when = [{ measure = "count", at = "missing" }], operating_point = "none" }]
""",
        encoding="utf-8",
    )
    with pytest.raises(ManifestError, match="'missing'"):
        load_manifests(tmp_path / "repository")
