"""What the checks that look at one box learn from, and how they are judged."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from networks.engine import Plan, averaged, train
from networks.losses import kind_loss, level_loss, patient_loss, segmentation_loss
from networks.nets.roi_net import RoiShape
from networks.phantoms.lesions.calcium.tree import TERRITORIES
from networks.phantoms.tissue import Tissue
from networks.roi_sampling import tissues_on
from networks.scenes import Box
from networks.tasks import task_class, trainable
from networks.tasks.aorta import LESION as AORTIC_LESION
from networks.tasks.aorta import LUMEN, AortaTask
from networks.tasks.aorta import WALL as AORTIC_WALL
from networks.tasks.calcium import HEART, WITHIN_MM, CalciumTask
from networks.tasks.pancreas import DUCT, LESION, PANCREAS, PancreasTask
from networks.tasks.roi import RoiTask
from networks.tasks.stomach import WALL, StomachTask
from tests.ball_case import BALL_BOX, BallPool, ball

AXES = tuple(np.arange(-24, 24.1, step, dtype=np.float32) for step in (3.0, 1.5, 1.5))


@dataclass
class BallTask(PancreasTask):
    """The pancreas task on patients of a few centimetres."""

    box = BALL_BOX
    shape = RoiShape(channels=2, classes=4, lesion=2, kinds=8, widths=(4, 6, 8, 8))

    def prepare(self) -> None:
        """Nothing is drawn beforehand."""

    def scenes(self, **variants: int) -> BallPool:  # type: ignore[override]
        """Return patients that need no drawing."""
        return BallPool()


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> BallTask:
    torch.set_num_threads(1)
    return BallTask(tmp_path_factory.mktemp("pool"))


TINY = Plan(seed=3, steps=2, accumulate=2, workers=0, bf16=False)


def test_a_box_network_trains_resumes_and_is_read_back(task: BallTask, tmp_path: Path) -> None:
    """One step, a checkpoint and one step are two steps; the log has every term of the loss."""
    whole = train(task, TINY, tmp_path / "whole", validate=False)
    first = train(task, TINY, tmp_path / "parts", validate=False, stop=1)
    second = train(task, TINY, tmp_path / "parts", validate=False)
    assert first.losses + second.losses == whole.losses
    line = json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[-1])
    assert line["loss"] == pytest.approx(line["labels"] + line["patient"] + line["kind"], abs=1e-3)
    read = averaged(task, tmp_path / "whole" / "checkpoint.pt")
    for ours, theirs in zip(read.parameters(), whole.average.parameters()):
        assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="is of pancreas"):
        averaged(StomachTask(tmp_path), tmp_path / "whole" / "checkpoint.pt")


def test_validation_and_thresholds(task: BallTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained network gets figures of the right form, and thresholds that count."""
    network = task.network().eval()
    figures = replace(task, judged=3).validate(network, TINY)
    assert set(figures["dice"]) == {"pancreas", "lesion", "duct"}
    assert 0 <= figures["auc"][0] <= 1
    assert {"easy", "medium", "hard", "kind_right"} <= set(figures)
    monkeypatch.setattr(BallTask, "flag_share", 0.05)
    told = task.calibrate(network, TINY, patients=6)
    assert (told["healthy"], told["seeds"]) == (24, [810_000, 810_006])
    for name in ("mark", "flag"):
        assert told[name]["measured"][0] <= told[name]["share"]
        assert 0 < told[name]["value"] < 1
    with pytest.raises(ValueError, match="cannot tell"):
        task.calibrate(network, TINY, patients=1)


def test_calcium_has_no_thresholds(tmp_path: Path) -> None:
    """It is a measurement, and never a false flag."""
    with pytest.raises(NotImplementedError):
        CalciumTask(tmp_path).calibrate(torch.nn.Identity(), TINY)


@pytest.mark.parametrize("check", ["pancreas", "stomach", "aorta", "calcium"])
def test_boxes_are_those_of_their_check(check: str) -> None:
    """Each is trainable by its name, looks at its own box and has a part of the flag budget."""
    assert check in trainable()
    found = task_class(check)
    assert issubclass(found, RoiTask)
    assert isinstance(found.box, Box)
    assert (found.name, found.box.check) == (check, check)
    assert 0 < found.flag_share <= 0.012


# --- labels -----------------------------------------------------------------------------------


def test_pancreas_labels() -> None:
    """Gland, duct and mass; the mass lies over the duct, other signs have no label."""
    tissues = np.full([len(axis) for axis in AXES], Tissue.PANCREAS, np.uint8)
    tissues[0] = Tissue.LIVER
    mass, confounder = ball(), ball("focal_fat", centre=(-12.0, 0.0, 0.0))
    duct = replace(ball(centre=(8.0, -2.0, 12.0)), extra={"sign": "duct"})
    fat = replace(ball(centre=(-12.0, 8.0, 8.0)), extra={"sign": "atrophy"})
    labels = PancreasTask.paint(tissues, (duct, mass, fat, confounder), AXES)
    assert set(np.unique(labels)) == {0, PANCREAS, LESION, DUCT}
    assert (labels[0] == 0).all()
    voxel_mm3 = 3 * 1.5 * 1.5
    assert (labels == LESION).sum() * voxel_mm3 == pytest.approx(mass.volume_mm3, rel=0.2)
    assert 0 < (labels == DUCT).sum() * voxel_mm3 < duct.volume_mm3


def test_stomach_labels() -> None:
    """Wall, content and tumour."""
    tissues = np.full([len(axis) for axis in AXES], Tissue.STOMACH_WALL, np.uint8)
    tissues[:, :, 8:] = Tissue.STOMACH_GAS
    labels = StomachTask.paint(tissues, (ball(),), AXES)
    assert labels[0, 0, 0] == WALL
    assert set(np.unique(labels)) == {1, 2, 3}


def test_aorta_labels() -> None:
    """The outermost voxels are wall, an aneurysm is aorta, a haematoma is the lesion."""
    axes = (np.arange(-24, 25, 2, dtype=np.float32),) * 3
    tissues = np.full((25, 25, 25), Tissue.MEDIASTINAL_FAT, np.uint8)
    tissues[:, 8:17, 8:17] = Tissue.AORTA
    part = [replace(ball(), extra={"part": name}) for name in ("haematoma", "aneurysm")]
    labels = AortaTask.paint(tissues, (part[0],), axes)
    assert labels[0, 12, 12] == LUMEN
    assert labels[3, 8, 12] == AORTIC_WALL
    assert labels[16, 11, 15] == AORTIC_LESION
    wide = AortaTask.paint(tissues, (part[1],), axes)
    assert AORTIC_LESION not in wide
    assert (wide > 0).sum() >= (tissues == Tissue.AORTA).sum()


def test_calcium_territories_follow_their_arteries() -> None:
    """A voxel within reach belongs to the nearer artery; the rest of the heart is heart."""
    axes = (np.arange(0, 31, 3.0), np.arange(0, 40.0), np.arange(0, 40.0))
    tissues = np.full([len(axis) for axis in axes], Tissue.MYOCARDIUM, np.uint8)
    trees = []
    for territory, x in (("LAD", 10.0), ("RCA", 18.0)):
        course = [[x, 20.0, float(z)] for z in range(0, 31, 2)]  # x, y, z
        extra = {"territory": territory, "course_lps_mm": course, "radius_mm": [1.5] * len(course)}
        trees.append(replace(ball("coronary_tree"), check="calcium", extra=extra))
    labels = CalciumTask.paint(tissues, tuple(trees), axes)
    lad, rca = (HEART + 1 + TERRITORIES.index(name) for name in ("LAD", "RCA"))
    row = labels[5, 20]
    reach = 1.5 + WITHIN_MM
    assert [int(v) for v in row[[2, 10, 13, 15, 18]]] == [HEART, lad, lad, rca, rca]
    assert (row == lad).sum() + (row == rca).sum() == int(8 + 2 * np.floor(reach)) + 1


def test_tissues_are_the_nearest() -> None:
    """A grid that lies on the scene's voxels gives the scene's tissues."""
    case = BallPool().get(3)
    axes = tuple(
        (low + case.spacing_mm * np.arange(4)).astype(np.float32) for low in case.origin_mm
    )
    np.testing.assert_array_equal(tissues_on(case, axes), case.tissues[:4, :4, :4])


# --- losses -----------------------------------------------------------------------------------


def test_level_loss_is_the_anatomy_networks_on_its_levels() -> None:
    """With the anatomy network's strides both say the same."""
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (1, 16, 16, 16), dtype=torch.uint8)
    levels = [torch.randn(1, 3, size, size, size) for size in (16, 4, 2)]
    weights = torch.tensor([1.0, 2.0, 3.0])
    assert float(level_loss(levels, labels, weights)) == pytest.approx(
        float(segmentation_loss(levels, labels, weights)), rel=1e-5
    )


def test_unknown_patients_and_kinds_have_no_say() -> None:
    """A box whose lesion was cut off, and one without a lesion, add nothing to their term."""
    logits = torch.tensor([5.0, -5.0], requires_grad=True)
    assert float(patient_loss(logits, torch.tensor([-1.0, -1.0])).detach()) == 0
    one = patient_loss(logits, torch.tensor([1.0, -1.0]))
    assert float(one.detach()) == pytest.approx(np.log1p(np.exp(-5)), rel=1e-4)
    kinds = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    assert float(kind_loss(kinds, torch.tensor([-1, -1]))) == 0
    assert float(kind_loss(kinds, torch.tensor([0, -1]))) < 1e-3
    assert float(kind_loss(kinds, torch.tensor([1, -1]))) > 8
