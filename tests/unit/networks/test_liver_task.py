"""What the liver network learns from, how it is judged, and what its file gives."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from networks.engine import Plan, averaged, train
from networks.evaluation.liver import given
from networks.evaluation.thresholds import FILE, write_thresholds
from networks.export import ParityError, open_session
from networks.liver_figures import (
    MODALITIES,
    Judged,
    fib4_auc,
    figures,
    grade_scores,
    graded,
    rule_percent,
    youden_cut,
)
from networks.liver_sampling import LIVER, SPLEEN, LiverSample, LiverView, organ_shares, paint
from networks.liver_scenes import BOX, LiverPool, draw_fat, grade_of, merged, with_fat
from networks.nets.ordinal import MULTIPLE, LiverNet, OrdinalHead, ordinal_loss, organ_loss
from networks.phantoms.hu import LIVER_HU_AT_ZERO_FAT, LIVER_HU_PER_PERCENT, TissueHu, liver_hu
from networks.phantoms.lesion import FineGrid
from networks.phantoms.patient import draw_patient
from networks.phantoms.tissue import TISSUE_COUNT, Tissue
from networks.roi_sampling import RoiSample, View
from networks.scene_file import Case, Variant
from networks.tasks import task_class
from networks.tasks.liver import VALUES, LiverTask
from preprocess.tokens import LENGTH, tokens
from tests.ball_case import ball

NAMES = tuple(value.name for value in VALUES)

FATS = (3.0, 20.0, 30.0)

STAGES = 5


@dataclass
class BlockPool(LiverPool):
    """Patients of a few centimetres: a block of liver beside one of spleen, drawn at once."""

    def __init__(self, folder: Path, *, healthy: bool = False) -> None:
        super().__init__(folder, healthy=healthy)

    def draw(self, seed: int) -> tuple[Case, dict[str, Any]]:
        rng = np.random.default_rng(seed)
        tissues = np.full((16, 20, 28), Tissue.VISCERAL_FAT, np.uint8)
        tissues[3:13, 3:17, 2:17] = Tissue.LIVER
        tissues[3:13, 10:17, 21:26] = Tissue.SPLEEN
        patient = replace(draw_patient(rng), pdff_percent=FATS[0])
        mean = np.full(TISSUE_COUNT, -100, np.float32)
        mean[[Tissue.LIVER, Tissue.SPLEEN]] = liver_hu(FATS[0]), 47
        size = np.asarray(tissues.shape)
        hu = gaussian_filter(mean[tissues], 0.5, mode="nearest")
        stage = 0 if self.healthy else seed % STAGES
        case = Case(
            seed=seed,
            hu=hu,
            tissues=tissues,
            origin_mm=np.zeros(3),
            spacing_mm=5.0,
            organ_mm=np.stack([np.array([2.5, 2.5, 1.5]), np.array([12.5, 16.5, 25.5])]) * 5,
            extent_mm=np.stack([np.full(3, -0.5), size - 0.5]) * 5,
            size=0.4,
            table=TissueHu(mean, np.ones_like(mean)),
            variants=tuple(Variant(stage > 0, ()) for _ in FATS),
        )
        fats = FATS[:1] if self.healthy else FATS
        told = {"patient": patient.as_dict(), "stage": stage, "fat_percent": list(fats)}
        return replace(case, variants=case.variants[: len(fats)]), told


@dataclass
class BlockTask(LiverTask):
    """The liver task on such patients."""

    def prepare(self) -> None:
        """Nothing is drawn beforehand."""

    def view(self, *, healthy: bool = False) -> LiverView:
        return replace(super().view(), pool=BlockPool(self.pool, healthy=healthy))


TINY = Plan(seed=3, steps=2, accumulate=2, workers=0, bf16=False)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> BlockTask:
    torch.set_num_threads(1)
    return BlockTask(tmp_path_factory.mktemp("pool"), pool_first=5, pool_size=5, judged=5)


# --- samples ----------------------------------------------------------------------------------


def test_a_sample_has_the_fat_it_says(task: BlockTask) -> None:
    """The rule on the labelled liver finds the fat fraction, but for scanner and shift."""
    for number, fat in enumerate(FATS):
        drawn = task.view().sample(1, np.random.default_rng(number), number=number, varied=False)
        assert (drawn.pdff_percent, drawn.steatosis) == (fat, grade_of(fat))
        assert drawn.fibrosis == 1
        assert abs(rule_percent(drawn.box.hu, drawn.box.labels) - fat) < 5
        assert (drawn.box.labels == SPLEEN).any()
        assert all(size % MULTIPLE == 0 for size in drawn.box.hu.shape)


def test_a_sample_is_that_of_its_numbers(task: BlockTask) -> None:
    """The same seed and generator give the same box, values and report."""
    first, second = (task.view().sample(2, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.box.hu, second.box.hu)
    assert np.array_equal(first.clinical, second.clinical, equal_nan=True)
    assert np.array_equal(first.tokens, second.tokens)


def test_training_holds_back_values_and_reports(task: BlockTask) -> None:
    """More is missing in training than in life, and each value is there at times."""
    view = task.view()
    drawn = {
        varied: [view.sample(1, np.random.default_rng(n), varied=varied) for n in range(60)]
        for varied in (False, True)
    }
    known = {k: np.isfinite([x.clinical for x in v]).mean(axis=0) for k, v in drawn.items()}
    assert (known[True] < known[False]).all()
    assert (known[True] > 0.15).all()
    texts = {k: np.mean([x.tokens.any() for x in v]) for k, v in drawn.items()}
    assert 0.3 < texts[True] < texts[False] < 0.9


def test_fat_changes_the_liver_and_nothing_else(tmp_path: Path) -> None:
    """Of a case, HU and table change as painting with that fat would change them."""
    case, _ = BlockPool(tmp_path).draw(0)
    fatty = with_fat(case, 3.0, 30.0)
    change = fatty.hu - case.hu
    assert change[8, 10, 9] == pytest.approx(27 * LIVER_HU_PER_PERCENT, abs=0.01)
    assert np.abs(change[:, :, 20:]).max() < 0.01
    assert fatty.table.mean[Tissue.LIVER] == pytest.approx(liver_hu(30.0), abs=0.01)
    assert case.table.mean[Tissue.LIVER] == pytest.approx(liver_hu(3.0), abs=0.01)


def test_fat_is_drawn_within_its_grade() -> None:
    """From every grade, and only from it."""
    rng = np.random.default_rng(0)
    for grade in range(4):
        assert {grade_of(draw_fat(rng, grade)) for _ in range(50)} == {grade}


def test_patches_on_one_grid_are_added_up() -> None:
    """Findings become one patch of their sum; what lies elsewhere, or is none, stays alone."""
    first = ball()
    second = replace(first, extra={"sign": "texture"})
    beside = ball(centre=(9.0, 0.0, 0.0))
    moved = FineGrid((1.0, 0.0, 0.0), first.grid.spacing_mm, first.grid.shape)
    beside, decoy = replace(beside, grid=moved), replace(first, is_finding=False)
    one, two, three = merged([first, second, beside, decoy])
    assert np.allclose(one.delta_hu, 2 * first.delta_hu)
    assert one.extra == first.extra
    assert np.array_equal(two.delta_hu, beside.delta_hu)
    assert not three.is_finding


def test_labels_and_shares() -> None:
    """Vessels are liver; the shares of a block of 2 × 2 × 2 add up to 8."""
    tissues = np.full((4, 4, 4), Tissue.VISCERAL_FAT, np.uint8)
    tissues[0], tissues[1], tissues[2, 0, 0] = Tissue.LIVER, Tissue.LIVER_VESSEL, Tissue.SPLEEN
    labels = paint(tissues, (), (np.arange(4.0),) * 3)
    shares = organ_shares(labels)
    assert (shares.sum(axis=0) == 8).all()
    assert (shares[1, 0] == 8).all()
    assert shares[2, 1, 0, 0] == 1


# --- training, figures, thresholds ------------------------------------------------------------


def test_the_network_trains_and_is_read_back(task: BlockTask, tmp_path: Path) -> None:
    """The log has every term of the loss; the averaged weights come back."""
    state = train(task, TINY, tmp_path, validate=False)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    terms = line["steatosis"] + line["fibrosis"] + line["organs"]
    assert line["loss"] == pytest.approx(terms, abs=1e-3)
    read = averaged(task, tmp_path / "checkpoint.pt")
    for ours, theirs in zip(read.parameters(), state.average.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert task_class("liver") is LiverTask
    assert BOX.organs == ("liver", "spleen")


def test_hu_of_a_liver_is_learnt_at_once(task: BlockTask) -> None:
    """A few steps on one batch lower the loss of steatosis: mean HU reaches the head."""
    torch.manual_seed(0)
    network = task.network()
    sampler = task.sampler(4)
    batches = [
        {name: value[None] for name, value in sampler.draw(number).items()} for number in range(3)
    ]
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    lost = []
    for _ in range(12):
        optimiser.zero_grad()
        terms = [task.loss(task.forward(network, batch), batch, 0.0) for batch in batches]
        loss = torch.stack([sum(term.values()) for term in terms]).mean()  # type: ignore[arg-type]
        loss.backward()
        optimiser.step()
        lost.append(float(torch.stack([term["steatosis"] for term in terms]).mean().detach()))
    assert lost[-1] < 0.7 * lost[0]


def test_validation_and_thresholds(task: BlockTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of every modality stand side by side; thresholds flag no more than their share."""
    torch.manual_seed(0)
    network = task.network().eval()
    told = task.validate(network, TINY)
    for target in ("steatosis", "fibrosis"):
        assert {"image", "image_serum", "image_serum_text"} <= set(told[target])
    assert told["steatosis"]["rule_on_true_mask"]["kappa"][0] > 0.5
    assert 0 <= told["fibrosis"]["fib4"]["auc"][0] <= 1
    monkeypatch.setattr("networks.tasks.liver.FLAG_SHARE", 0.2)
    monkeypatch.setattr("networks.tasks.liver.MARK_SHARE", 0.2)
    found = task.calibrate(network, TINY, patients=5)
    assert (found["healthy"], found["others"], found["seeds"]) == (20, 20, [810_000, 810_005])
    for target in ("steatosis", "fibrosis"):
        assert 0 < found[target]["flag"]["value"] <= {"steatosis": 3, "fibrosis": 4}[target]
        for at in found[target]["at_flag"].values():
            assert at["healthy_flagged"][0] <= 0.1 + 1e-6
        assert set(found[target]["at_published"]) == set(found[target]["at_flag"])
    json.dumps(found)


def _judged(steatosis: int, fibrosis: int, clinical: dict[str, float], score: float) -> Judged:
    hu = np.full((8, 8, 8), LIVER_HU_AT_ZERO_FAT + LIVER_HU_PER_PERCENT * 10 * steatosis, np.int16)
    box = RoiSample(hu, np.full(hu.shape, LIVER, np.uint8), 0.0, "", "", 1, "scanner")
    values = np.array([clinical.get(name, np.nan) for name in NAMES], np.float32)
    sample = LiverSample(box, values, tokens(""), steatosis, fibrosis, 10.0 * steatosis)
    scores = dict.fromkeys(("image", "image_serum", "image_serum_text"), (score, score))
    return Judged(sample, scores)


def test_figures_count_what_was_said() -> None:
    """A perfect score has kappa and AUC of 1; FIB-4 is taken where its values are known."""
    blood = {"age_years": 60.0, "ast": 60.0, "alt": 36.0, "platelets": 100.0}
    cases = [
        _judged(n % 4, n % 4, {**blood, "ast": 20.0 + 20 * (n % 4)} if n % 3 else {}, n % 4)
        for n in range(12)
    ]
    told = figures(cases, NAMES)
    for target in ("steatosis", "fibrosis"):
        assert told[target]["image"]["kappa"][0] == 1
        assert told[target]["image"]["auc"][0] == 1
    assert fib4_auc(cases, NAMES).value == 1
    wrong = graded(np.array([0, 1, 2, 3]), [3.0, 2.0, 1.0, 0.0], 4)
    assert wrong["kappa"][0] < -0.9


def test_grades_pass_into_each_other_at_the_cuts() -> None:
    """At a cut the score of the rule lies between two grades."""
    assert grade_scores([6.4, 17.4, 22.1]) == [0.5, 1.5, 2.5]
    assert youden_cut([0.1, 0.2, 0.8, 0.9], [False, False, True, True]) == 0.8
    assert np.isnan(youden_cut([0.1, 0.2], [False, False]))


# --- network ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> LiverNet:
    torch.manual_seed(1)
    return LiverNet(2, VALUES).eval()


def test_what_is_missing_says_nothing(network: LiverNet) -> None:
    """No value and no report add exactly nothing, and NaN never reaches the answer."""
    clinical = torch.full((2, len(VALUES)), float("nan"))
    words = torch.zeros(2, LENGTH, dtype=torch.int64)
    with torch.no_grad():
        assert float(network.values(clinical).abs().max()) == 0
        assert float(network.text(words).abs().max()) == 0
        clinical[0, 2] = 40.0
        answer = network(torch.rand(2, 2, 16, 16, 24), clinical, words)
    assert all(bool(x.isfinite().all()) for x in (answer.steatosis, answer.fibrosis))


def test_probabilities_fall_with_the_grade(network: LiverNet) -> None:
    """P(grade > k) never rises with k, whatever the weights."""
    head = OrdinalHead(8, 5)
    torch.nn.init.normal_(head.steps, std=3.0)
    logits = head(torch.randn(64, 8) * 5)
    assert logits.shape == (64, 4)
    assert bool((logits.diff(dim=1) <= 0).all())


def test_losses_know_what_is_unknown() -> None:
    """The right grade costs less than a wrong one; an unknown one costs nothing."""
    sure = torch.tensor([[6.0, 6.0, -6.0]])
    right, near, far = (float(ordinal_loss(sure, torch.tensor([grade]))) for grade in (2, 1, 0))
    assert right < near < far
    assert float(ordinal_loss(sure, torch.tensor([-1]))) == 0
    shares = torch.zeros(1, 3, 2, 2, 2)
    shares[:, 1] = 1
    assert float(organ_loss(shares * 20 - 10, shares)) < 1e-6


def test_the_file_answers_as_torch(
    task: BlockTask, network: LiverNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any batch and box, with and without a chart; scores are the sums of the probabilities."""
    path = tmp_path / "model.onnx"
    task.export(network, path)
    assert path.stat().st_size < 8e6
    rng = np.random.default_rng(0)
    given = {
        "volume": rng.random((3, 2, 16, 24, 32), np.float32),
        "clinical": np.full((3, len(VALUES)), np.nan, np.float32),
        "tokens": np.zeros((3, LENGTH), np.int64),
    }
    given["tokens"][1] = tokens("Diffusely decreased attenuation of the liver. 脂肪肝。")
    steatosis, fibrosis, scores = open_session(path, 1).run(
        ["steatosis", "fibrosis", "scores"], given
    )
    assert (steatosis.shape, fibrosis.shape, scores.shape) == ((3, 3), (3, 4), (3, 2))
    assert np.allclose(scores, np.stack([steatosis.sum(1), fibrosis.sum(1)], 1), atol=1e-5)
    assert (np.diff(steatosis) <= 0).all()
    monkeypatch.setattr("networks.tasks.liver.SCORE_TOLERANCE", -1.0)
    with pytest.raises(ParityError, match="steatosis"):
        task.export(network, path)


def test_an_exported_file_is_judged_on_unseen_scanners(
    task: BlockTask, network: LiverNet, tmp_path: Path
) -> None:
    """Figures of every modality by scanner and difficulty, at the cuts beside the file."""
    model = tmp_path / "liver_net" / "1" / "model.onnx"
    task.export(network, model)
    at = {"value": 1.25, "at": "greater_or_equal"}
    write_thresholds(tmp_path / "liver_net" / FILE, {"steatosis": {"flag": at}, "healthy": 3})
    told = task.evaluate(model, {}, cases=5)
    assert told["cohort"]["grades"]["fibrosis"] == dict.fromkeys("01234", 2)
    assert told["thresholds"] == {"steatosis_flag": 1.25}
    assert len(told["strata"]["scanner"]) == 3
    every = told["strata"]["all"]
    for modality in MODALITIES:
        assert len(every["steatosis"][modality]["flag"]["sensitivity"]) == 3
        assert "flag" not in every["fibrosis"][modality]
    assert set(told["baseline"]["auc"]) == {"steatosis", "fibrosis"}
    scores = [case["score"] for case in told["failures"]]
    assert all(0 <= score <= 4 for score in scores)
    json.dumps(told, allow_nan=False)


def test_less_is_given_by_modality(task: BlockTask) -> None:
    """The image alone has neither values nor words; the text comes last."""
    sample = _judged(1, 1, {"ast": 30.0}, 1.0).sample
    sample = replace(sample, tokens=tokens("liver"))
    held = [
        (bool(np.isfinite(clinical).any()), bool(words.any()))
        for clinical, words in (given(sample, modality) for modality in MODALITIES)
    ]
    assert held == [(False, False), (True, False), (True, True)]


def test_a_view_lays_the_grid_of_the_manifest(task: BlockTask) -> None:
    """3 mm voxels, of liver and spleen with 9 mm around them."""
    view = task.view().view
    assert isinstance(view, View)
    assert view.spacing_mm == (3.0, 3.0, 3.0)
    assert view.box.margin_mm == (9.0, 9.0, 9.0)
