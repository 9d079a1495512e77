"""The judges of the exported networks, their thresholds and their cards."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from networks.detection import Tile
from networks.detection_run import OrganScan
from networks.engine import Plan, train
from networks.evaluate import REPOSITORY
from networks.evaluation.baseline import blobs, cross_validated, organ_features
from networks.evaluation.boxes import UnseenBoxes, confusion, dice
from networks.evaluation.calcium import HeartScan, category, plans, score
from networks.evaluation.calcium import figures as calcium_figures
from networks.evaluation.marks import MarkedScan, classifier_of, strata, study_score
from networks.evaluation.thresholds import (
    count_threshold,
    read_thresholds,
    set_manifest,
    share_threshold,
    write_thresholds,
)
from networks.evaluation.told import FIRST_TEST_SEED, plain
from networks.metrics import Figure
from networks.model_card import card, section, shortfalls, table
from networks.nets.roi_net import RoiShape
from networks.phantoms.profiles import PROFILES, UNSEEN
from networks.phantoms.region import RegionGrid
from networks.release import commands, export, main, stages
from networks.scenes import HEALTHY_SEED
from networks.tasks.calcium import CalciumTask
from networks.tasks.nodule import NoduleTask
from networks.tasks.pancreas import PancreasTask
from postprocess.detections import Peaks
from tests.ball_case import BALL_BOX, BallPool
from tests.planted import ball


@dataclass
class BallTask(PancreasTask):
    """The pancreas task on patients of a few centimetres."""

    box = BALL_BOX
    shape = RoiShape(channels=2, classes=4, lesion=2, kinds=8, widths=(4, 6, 8, 8))
    flag_share = 0.05

    def prepare(self) -> None:
        """Nothing is drawn beforehand."""

    def scenes(self, **variants: int) -> BallPool:  # type: ignore[override]
        """Return patients that need no drawing."""
        return BallPool()


@pytest.fixture(autouse=True, scope="module")
def few_bootstraps() -> Iterator[None]:
    """Intervals are those of test_metrics; here they only have to be there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("networks.metrics.BOOTSTRAPS", 50)
        yield


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for two steps, and release what came of it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("released")
    task = BallTask(folder)
    plan = Plan(seed=3, steps=2, workers=0, bf16=False)
    train(task, plan, folder / "run", validate=False)
    (folder / "pancreas").mkdir()
    (folder / "pancreas/pipeline.toml").write_text(MANIFEST)
    (folder / "pancreas_net").mkdir()
    (folder / "pancreas_net/README.md").write_text("# old\n\n## Notes\n\nKept.\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("networks.release.task_of", lambda plan, **more: task)
        main([
            "pancreas", "--checkpoint", str(folder / "run/checkpoint.pt"), "--repository",
            str(folder), "--patients", "10", "--cases", "6", "--threads", "1",
        ])  # fmt: skip
    return folder


MANIFEST = """name = "pancreas"
[thresholds]
id = "pancreas-0"
score = "probability"

[thresholds.mark]
value = 0.5
operating_point = "none"  # a remark

[thresholds.flag]
value = 0.9
operating_point = "none"
false_flag_budget = 0.003

[cost]
value = 7.0
"""


def test_a_release_leaves_model_thresholds_figures_and_card(released: Path) -> None:
    """All four lie in the model's folder, and agree on the thresholds and the digest."""
    folder = released / "pancreas_net"
    kept = read_thresholds(folder / "thresholds.toml")
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["thresholds"] == kept
    text = (folder / "README.md").read_text()
    assert figures["models"][0]["sha256"] in text
    assert "not for clinical use" in text
    assert text.endswith("## Notes\n\nKept.\n")
    assert str(released) not in text


def test_a_release_sets_the_manifest(released: Path) -> None:
    """Thresholds, their name and where they come from; the rest stays."""
    manifest = tomllib.loads((released / "pancreas/pipeline.toml").read_text())
    kept = read_thresholds(released / "pancreas_net/thresholds.toml")
    thresholds = manifest["thresholds"]
    assert {name: thresholds[name]["value"] for name in kept} == kept
    assert "40 scans of phantoms" in thresholds["flag"]["operating_point"]
    assert thresholds["id"].startswith("pancreas-")
    assert thresholds["id"] != "pancreas-0"
    assert thresholds["flag"]["false_flag_budget"] == 0.003
    assert manifest["cost"] == {"value": 7.0}


def test_figures_have_one_form(released: Path) -> None:
    """Strata of difficulty, scanner and kind, each figure with its interval; valid JSON."""
    told = json.loads((released / "pancreas_net/figures.json").read_text())
    assert set(told) == {
        "schema", "check", "models", "cohort", "thresholds", "strata", "baseline", "failures",
    }  # fmt: skip
    assert set(told["strata"]) == {"all", "difficulty", "scanner", "kind"}
    assert set(told["strata"]["scanner"]) == set(UNSEEN)
    every = told["strata"]["all"]
    assert (every["planted"], every["healthy"]) == (6, 6)
    for figure in (every["auc"], every["mark"]["sensitivity"], every["flag"]["specificity"]):
        value, low, high = figure
        assert 0 <= low <= value <= high <= 1
    assert told["strata"]["difficulty"]["easy"]["planted"] == 6
    assert told["strata"]["difficulty"]["hard"]["auc"] == [None, None, None]
    assert set(told["baseline"]["auc"]) == {"all", "easy", "medium", "hard"}


def test_a_file_too_large_is_not_released(
    released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight megabytes are the most that is committed."""
    monkeypatch.setattr("networks.release.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1,000"):
        export(BallTask(tmp_path), released / "run/checkpoint.pt", tmp_path)


def test_the_card_tells_every_stage_of_a_training(released: Path) -> None:
    """A run that began with another one's weights names both, and no path of this machine."""
    (first,) = stages(released / "run/checkpoint.pt")
    second = {**first, "start": str(released / "run/checkpoint.pt"), "crops": 4}
    lines = commands("pancreas", [first, second], 250, 120)
    assert lines[0].startswith("python -m networks.train pancreas --steps 2 --seed 3 --rate 0.001")
    assert "--crops 4 --start build/pancreas-1/checkpoint.pt" in lines[1]
    assert lines[2].endswith("--checkpoint build/pancreas-2/checkpoint.pt --patients 250")
    assert str(released) not in "".join(lines)


def test_unseen_boxes_are_scanned_on_scanners_of_their_own(tmp_path: Path) -> None:
    """Each scanner model kept from training comes in turn; the same box is the same."""
    task = BallTask(tmp_path)
    profiles = [PROFILES[name] for name in UNSEEN]
    boxes = UnseenBoxes(
        task.scenes(), task.view, FIRST_TEST_SEED, 3, (True, False), profiles=profiles
    )
    assert {boxes[n].scanner for n in range(len(boxes))} == set(UNSEEN)
    np.testing.assert_array_equal(boxes[1].hu, boxes[1].hu)
    again = UnseenBoxes(task.scenes(), task.view, HEALTHY_SEED, 2, (False,), variants=3)
    assert len(again) == 6
    assert not np.array_equal(again[0].hu, again[1].hu)


# --- counting ---------------------------------------------------------------------------------


def test_dice_from_a_table() -> None:
    """Half an overlap is a half; what the truth does not have has no Dice."""
    truth = np.array([[[0, 0, 1, 1]]], np.uint8)
    found = np.array([[[0, 1, 1, 2]]], np.uint8)
    told = dice(confusion(truth, found, 3), ("background", "a", "b"))
    assert told["a"] == 0.5
    assert math.isnan(told["b"])


def test_thresholds_come_back(tmp_path: Path) -> None:
    """What is written as TOML is read back to the last digit."""
    told = {"check": "x", "healthy": 100, "mark": share_threshold(np.arange(100) / 99, 0.05),
            "flag": share_threshold(np.arange(100) / 99, 0.01)}  # fmt: skip
    write_thresholds(tmp_path / "thresholds.toml", told)
    assert tomllib.loads((tmp_path / "thresholds.toml").read_text()) == told
    read = read_thresholds(tmp_path / "thresholds.toml")
    assert read == {"mark": told["mark"]["value"], "flag": told["flag"]["value"]}
    assert sum(np.arange(100) / 99 >= read["mark"]) == 5
    assert read_thresholds(tmp_path / "none.toml") == {}
    assert not set_manifest(tmp_path / "none.toml", told, tmp_path / "thresholds.toml")


@pytest.mark.parametrize("name", ["aorta", "pancreas", "stomach"])
def test_a_shipped_manifest_takes_the_thresholds_of_a_release(tmp_path: Path, name: str) -> None:
    """Their values, name and operating points, and the mark as what has a place; nothing else."""
    path = tmp_path / "pipeline.toml"
    text = (REPOSITORY / name / "pipeline.toml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    told = {"check": name, "score": "probability", "healthy": 100,
            "mark": share_threshold(np.arange(100) / 99, 0.05),
            "flag": share_threshold(np.arange(100) / 99, 0.01)}  # fmt: skip
    assert set_manifest(path, told, path)
    before, after = tomllib.loads(text), tomllib.loads(path.read_text(encoding="utf-8"))
    assert after["thresholds"]["mark"]["value"] == told["mark"]["value"]
    assert after["thresholds"]["flag"]["value"] == told["flag"]["value"]
    assert "on 100 scans of phantoms" in after["thresholds"]["flag"]["operating_point"]
    assert after["thresholds"]["id"].startswith(f"{name}-")
    assert after["recipe"]["post"]["place_from"] == told["mark"]["value"]
    for manifest in (before, after):
        del manifest["thresholds"], manifest["recipe"]["post"]["place_from"]
    assert before == after


def test_marks_are_counted_a_scan() -> None:
    """At half a mark a scan, two of four scans' eight marks are left."""
    scans = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    told = count_threshold(scans, 0.5)
    assert 0.7 < told["value"] <= 0.8
    assert told["measured"][0] == 0.5
    assert count_threshold(scans, 5.0)["value"] == 0


def test_nothing_to_count_is_null() -> None:
    """NaN is no JSON."""
    figure = Figure(float("nan"), 0.25, np.float64(1 / 3))
    assert plain({"a": figure, "b": np.int64(3)}) == {"a": [None, 0.25, 0.3333], "b": 3}


# --- by hand ----------------------------------------------------------------------------------


def test_regression_finds_what_can_be_told_by_a_mean() -> None:
    """Patients whose organ is brighter are told apart, noise is not."""
    rng = np.random.default_rng(1)
    ill = np.arange(200) % 2 == 1
    features = rng.normal(size=(200, 5))
    groups = np.arange(200) // 2
    blind = cross_validated(features, ill, groups)
    features[ill, 0] += 4
    seen = cross_validated(features, ill, groups)
    assert ((seen > 0) == ill).mean() > 0.95
    assert 0.35 < ((blind > 0) == ill).mean() < 0.65


def test_features_of_an_organ() -> None:
    """Mean, SD, lowest, highest HU and ml of the mask alone."""
    hu = np.full((2, 10, 10), -500, np.int16)
    organ = np.zeros(hu.shape, bool)
    organ[:, :5] = True
    hu[:, :5] = 40
    hu[0, 0, 0] = 90
    told = organ_features(hu, organ, (5.0, 2.0, 2.0))
    assert told[[0, 2, 3, 4]].tolist() == [40.5, 40, 90, 2.0]


def test_blobs_mark_balls() -> None:
    """The strongest blob is the ball, at its place and near its size; dark ones only if asked."""
    z, y, x = np.ogrid[:24, :40, :40]
    away = np.sqrt(((z - 10) * 1.5) ** 2 + (y - 22) ** 2 + (x - 15) ** 2)
    hu = np.where(away <= 5, 40, -850).astype(np.int16)
    mask = np.ones(hu.shape, bool)
    found = blobs(hu, mask, (1.5, 1.0, 1.0), (-1000, 200))
    assert found.voxels[0].tolist() == [10, 22, 15]
    assert 6 < found.diameters_mm[0] < 13
    inverted = (-810 - hu).astype(np.int16)
    assert not (blobs(inverted, mask, (1.5, 1, 1), (-1000, 200)).voxels[:1] == [10, 22, 15]).all()
    dark = blobs(inverted, mask, (1.5, 1, 1), (-1000, 200), dark=True)
    assert dark.voxels[0].tolist() == [10, 22, 15]


# --- marks ------------------------------------------------------------------------------------

GRID = RegionGrid((0.0, 0.0, 0.0), (1.5, 1.0, 1.0), (40, 60, 60))


@dataclass
class SmallNodules(NoduleTask):
    """Nodules in a box of 6 cm."""

    tile = Tile((32, 32, 32), (1.5, 1.0, 1.0))


def marked(places_mm: list[list[float]], scores: list[float], diameters: list[float],
           *, planted: bool, scanner: str = "a") -> MarkedScan:  # fmt: skip
    lesions = (
        replace(ball((15.0, 20, 20), 8, 900), kind="solid_nodule", diameter_mm=8.0),
        replace(ball((45.0, 40, 40), 4, 900), kind="solid_nodule", diameter_mm=4.0),
    )
    nothing = np.zeros((0, 0, 0), np.int16)
    scan = OrganScan(1, scanner, nothing, nothing > 0, GRID, lesions if planted else ())
    voxels = np.array(places_mm, float).reshape(-1, 3) / GRID.spacing_mm
    kinds = np.tile([1.0, 0, 0, 0], (len(scores), 1))
    peaks = Peaks(np.array(scores), voxels, np.array(diameters), kinds)
    return MarkedScan(scan, peaks, peaks if planted else None)


def test_marks_are_counted_by_size(tmp_path: Path) -> None:
    """Both nodules are marked, one mark is false, and only the large one flags."""
    task = SmallNodules(tmp_path)
    scans = [
        marked([[15, 20, 20], [45, 40, 40], [5, 5, 50]], [0.9, 0.8, 0.3], [8, 4, 9], planted=True),
        marked([[30, 30, 30], [9, 9, 9]], [0.6, 0.4], [4, 7], planted=False),
    ]
    told: Mapping[str, Any] = strata(task, scans, {"mark": 0.2, "flag": 0.5})
    large, small = (told["group"][name] for name in ("from_6_mm", "below_6_mm"))
    assert large["lesions"] == small["lesions"] == 1
    assert large["mark"]["sensitivity"].value == small["mark"]["sensitivity"].value == 1
    assert large["mark"]["false_positives"].value == 1
    assert large["mark"]["false_positives_healthy"].value == 2
    assert (large["flag"]["sensitivity"].value, small["flag"]["sensitivity"].value) == (1, 0)
    assert large["flag"]["specificity"].value == 1
    assert study_score(task, scans[1].peaks) == 0.4
    assert told["all"]["kind_right"].value == 1
    assert told["scanner"]["a"]["lesions"] == 1


def test_a_detector_is_calibrated_on_healthy_scans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marks by how many there are a scan, the flag by how many scans have one large enough."""
    asked: list[tuple[int, int, int]] = []

    def noise(task: object, first: int, patients: int, *, scans: int) -> Iterator[OrganScan]:
        asked.append((first, patients, scans))
        for n in range(patients * scans):
            hu = np.random.default_rng(n).normal(-800, 60, (32, 40, 40)).astype(np.int16)
            yield OrganScan(n, "a", hu, np.ones(hu.shape, bool), GRID, ())

    monkeypatch.setattr("networks.evaluation.marks.healthy_scans", noise)
    monkeypatch.setattr(SmallNodules, "flag_share", 0.25)
    monkeypatch.setattr(
        SmallNodules, "flaggable", classmethod(lambda cls, x: np.arange(len(x)) < 9)
    )
    task = SmallNodules(tmp_path)
    torch.manual_seed(0)
    told = task.calibrate(task.network().eval(), Plan(bf16=False), patients=2)
    assert asked == [(HEALTHY_SEED, 2, 4)]
    assert told["healthy"] == 8
    assert 0 < told["mark"]["measured"][0] <= 0.8
    assert told["flag"]["measured"][0] <= 0.25
    assert 0 < told["mark"]["value"] < 1


def test_a_classifier_lies_beside_its_detector_or_is_a_model_of_its_own(tmp_path: Path) -> None:
    """As training exports it, and as the repository holds it."""
    task, model = SmallNodules(tmp_path), tmp_path / "nodule_net/1/model.onnx"
    assert classifier_of(task, model) == tmp_path / "nodule_crops/1/model.onnx"
    model.parent.mkdir(parents=True)
    beside = model.with_name("model_crops.onnx")
    beside.touch()
    assert classifier_of(task, model) == beside


# --- calcium ----------------------------------------------------------------------------------


def test_categories() -> None:
    """None, 1 to 99, 100 to 299, 300 and more."""
    assert category(np.array([0, 0.5, 1, 99.9, 100, 299, 300])).tolist() == [0, 0, 1, 1, 2, 2, 3]


def test_planned_hearts_are_unseen() -> None:
    """A quarter each without calcium, easy, medium and hard; seeds and scanners of the test."""
    drawn = plans(40)
    assert len(drawn) == len({plan.seed for plan in drawn}) == 40
    assert min(plan.seed for plan in drawn) >= FIRST_TEST_SEED
    assert {plan.profile for plan in drawn} == set(UNSEEN)
    assert sum(plan.check is None for plan in drawn) == 10


def test_a_heart_is_scored_by_the_arteries_of_the_network(tmp_path: Path) -> None:
    """A cylinder of 400 HU in an artery counts by the rule, the same in the muscle does not."""
    grid = RegionGrid((0.0, 0.0, 0.0), (3.0, 0.75, 0.75), (8, 128, 128))
    y, x = np.ogrid[:128, :128]
    hu = np.full(grid.shape, 40, np.int16)
    hu[2:5, (y - 32) ** 2 + (x - 32) ** 2 <= 16] = 400
    hu[2:5, (y - 96) ** 2 + (x - 96) ** 2 <= 16] = 400
    labels = np.zeros((8, 96, 96), np.uint8)
    labels[:, 12:84, 12:84] = 1
    labels[:, 16:32, 16:32] = 3
    scan = HeartScan(plans(4)[0], hu, grid, labels, 300.0, "easy")

    def run(volume: np.ndarray) -> dict[str, np.ndarray]:
        padded = np.zeros((1, *volume.shape), np.uint8)
        padded[0, :8, :96, :96] = labels
        return {"labels": padded}

    told = score(CalciumTask(tmp_path), run, scan)
    pixels = int((np.hypot(*np.ogrid[-5:6, -5:6]) <= 4).sum())
    assert told.found == pytest.approx(3 * pixels * 0.75**2 * 4)
    assert told.by_hand == pytest.approx(2 * told.found)
    assert told.dice["LAD"] == 1
    figures = calcium_figures([told])
    assert figures["bias_share"].value == pytest.approx(told.found / 300 - 1)
    assert figures["category_right"].value == 1


# --- cards ------------------------------------------------------------------------------------


def test_tables_show_figures_with_their_intervals() -> None:
    """A column for every figure of any row; a dash where a row has none."""
    rows = {"easy": {"n": 3, "auc": [0.9, 0.8, 1.0]}, "hard": {"n": 2, "auc": [None] * 3,
            "mark": {"sensitivity": [0.5, 0.1, 0.9]}}}  # fmt: skip
    lines = table(rows)
    assert lines[0] == "| | n | auc | mark sensitivity |"
    assert lines[2] == "| easy | 3 | 0.900 (0.800–1.000) | – |"
    assert lines[3] == "| hard | 2 | – | 0.500 (0.100–0.900) |"


def test_what_falls_short_says_by_how_much() -> None:
    """Of the aim that is missed; the one that is reached says so."""
    told = {"check": "bone", "strata": {"all": {"froc": {"1.4": [0.8, 0.7, 0.9]}}}}
    (line,) = shortfalls(told)
    assert "missed by 0.090" in line
    told["strata"]["all"]["froc"]["1.4"][0] = 0.9
    assert "is reached" in shortfalls(told)[0]
    assert "not measured" in shortfalls({"check": "bone", "strata": {}})[0]


def test_what_a_person_wrote_is_carried_over() -> None:
    """Sections by their headings, up to the next."""
    old = "# x\n\n## Figures on real scans\n\nOnce.\nTwice.\n\n## Where it fails\n\nThere.\n"
    assert section(old, "Figures on real scans") == "Once.\nTwice."
    told = {
        "check": "liver", "cohort": {"patients": 1, "first_seed": 901_000, "planted": 1,
        "healthy": 1}, "strata": {"all": {"auc": [0.5, 0.4, 0.6], "dice": {"a": [1.0, 1.0, 1.0]}}},
        "baseline": {"method": "a rule", "auc": [0.5, 0.4, 0.6]}, "failures": [],
    }  # fmt: skip
    text = card(told, title="liver_net", description=["It."], training=["So."], thresholds=[],
                commands=["python"], date="2026-11-21", old=old)  # fmt: skip
    assert "## Figures on real scans\n\nOnce.\nTwice.\n" in text
    assert "There." not in text
    assert "| auc | 0.500 (0.400–0.600) |" in text
