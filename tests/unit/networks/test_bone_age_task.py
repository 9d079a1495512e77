"""Hands as the bone age network sees them, and the file that it becomes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from networks.engine import Plan, train
from networks.evaluation.months import Baseline, Reader, features, grey
from networks.export import open_session
from networks.hand_sampling import BLOCK, UNFIT, HandSampler, fitted, spoilt_image
from networks.nets.radiograph_net import CELL
from networks.phantoms.hand import draw_hand
from networks.phantoms.hand_growth import CENTRES, draw_child
from networks.phantoms.hand_study import take
from networks.scenes import FIRST_SEED
from networks.tasks import task_class, trainable
from networks.tasks.bone_age import CANVAS, BoneAgeTask, cells

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def task() -> BoneAgeTask:
    return BoneAgeTask(pool=Path(), judged=2)


@pytest.fixture(scope="module")
def file(task: BoneAgeTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported file of untrained weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("net") / "model.onnx"
    task.export(task.network().eval(), path)
    return path


def test_the_check_is_trained_like_every_other() -> None:
    """By its name."""
    assert "bone_age" in trainable()
    assert task_class("bone_age") is BoneAgeTask


def test_the_network_is_small(task: BoneAgeTask) -> None:
    """At most half a million parameters."""
    assert sum(p.numel() for p in task.network().parameters()) < 500_000


def test_a_sample_is_the_same_for_the_same_number(task: BoneAgeTask) -> None:
    """And neighbours in a batch are different hands."""
    hands = task.hand_sampler(FIRST_SEED, seed=3)
    first, again = hands.sample(5), hands.sample(5)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.child.seed != hands.sample(6).child.seed
    assert first.child.seed == hands.sample(5 + BLOCK).child.seed
    assert 0 <= first.image.min() < first.image.max() <= 1


def test_places_lie_on_their_bones() -> None:
    """A carpal bone is brighter than the mean of the hand; mirrored, they move along."""
    hands = HandSampler(spacing_mm=0.8, percentiles=(1, 99.5), first_seed=FIRST_SEED, variants=1)
    names = list(CENTRES)
    kinds = set()
    for number in range(40):
        sample = hands.sample(number)
        if sample.kind == "unfit" or sample.child.bone_age_months < 60:
            continue
        kinds.add(sample.kind)
        row, column = sample.places[names.index("capitate")].astype(int)
        assert sample.image[row, column] > sample.image[sample.image > 0.1].mean()
        fifth, thumb = (sample.places[names.index(f"distal_{n}")][1] for n in (5, 1))
        assert (thumb < fifth) == (sample.kind == "mirrored")
    assert kinds == {"left", "mirrored"}


def test_a_canvas_holds_an_image_or_a_part_of_it() -> None:
    """The shift says where its first pixel went."""
    rng = np.random.default_rng(1)
    image = np.arange(30, dtype=np.float32).reshape(5, 6) + 1
    canvas, inside, (down, right) = fitted(image, (9, 8), rng)
    np.testing.assert_array_equal(canvas[down : down + 5, right : right + 6], image)
    assert inside.sum() == 30
    canvas, inside, (down, right) = fitted(image, (3, 8), rng)
    np.testing.assert_array_equal(canvas[:, right : right + 6], image[-down : 3 - down])
    assert inside.sum() == 18


def test_a_place_that_was_cut_off_has_no_cell() -> None:
    """Nor one beyond the image on its canvas."""
    inside = np.zeros((32, 40), np.float32)
    inside[:24, :40] = 1
    places = np.array([[0.0, 0.0], [9.0, 17.5], [-1.0, 3.0], [25.0, 3.0], [3.0, 99.0]], np.float32)
    assert cells(places, inside).tolist() == [0, 5 + 2, -1, -1, -1]


def test_it_learns_from_a_few_steps(task: BoneAgeTask, tmp_path: Path) -> None:
    """Every term of the loss is finite, and the run leaves a checkpoint."""
    state = train(task, Plan(steps=2, batch=2, workers=0), tmp_path, validate=False)
    assert all(np.isfinite(list(terms.values())).all() for terms in state.terms)
    assert set(state.terms[0]) == {"months", "places", "stages", "mirrored", "unfit"}
    assert (tmp_path / "checkpoint.pt").exists()


def test_padding_does_not_change_what_is_read(task: BoneAgeTask) -> None:
    """A batch's canvas is told from its images."""
    network = task.network().eval()
    sample = task.hand_sampler(FIRST_SEED, variants=1, usual=True).sample(0)
    high, wide = (CELL * (n // CELL) for n in sample.image.shape)
    image = torch.from_numpy(sample.image[:high, :wide])[None, None]
    canvas = torch.nn.functional.pad(image, (0, 6 * CELL, 0, 4 * CELL))
    inside = torch.zeros(1, 1, *(n // CELL for n in canvas.shape[2:]))
    inside[..., : high // CELL, : wide // CELL] = 1
    sex = torch.tensor([[1.0]])
    with torch.no_grad():
        alone, padded = network(image, sex), network(canvas, sex, inside)
    torch.testing.assert_close(padded.numbers[:, 0], alone.numbers[:, 0], atol=2e-2, rtol=0)


def test_the_file_takes_any_image_and_batch(file: Path) -> None:
    """Months are real, doubts are probabilities, and a missing sex is no NaN."""
    session = open_session(file)
    for count, shape in ((1, (200, 161)), (3, CANVAS)):
        given = {
            "volume": np.random.default_rng(0).random((count, 1, 1, *shape), np.float32),
            "clinical": np.full((count, 2), np.nan, np.float32),
        }
        scores = session.run(["scores"], given)[0]
        assert scores.shape == (count, 3)
        assert np.isfinite(scores).all()
        assert ((scores[:, 1:] >= 0) & (scores[:, 1:] <= 1)).all()


def test_the_manifest_gives_what_the_network_was_trained_on(task: BoneAgeTask) -> None:
    """Grid, window, order of clinical values and of outputs."""
    manifest = tomllib.loads((ROOT / "model_repository/bone_age/pipeline.toml").read_text("utf-8"))
    recipe = manifest["recipe"]
    assert recipe["grid"]["spacing_mm"][1:] == [task.spacing_mm] * 2
    assert recipe["channels"] == [{"percentiles": list(task.percentiles)}]
    assert recipe["post"]["values"] == list(task.values)
    assert recipe["post"]["clinical"] == manifest["inputs"]["clinical"] == list(task.clinical)


def test_judges_read_whole_radiographs(task: BoneAgeTask, file: Path) -> None:
    """Through the recipe; what is spoilt stays an image, and the baseline knows sizes."""
    child = draw_child(5, sex="F", bone_age_months=80.0)
    image = grey(take(draw_hand(child), 0.2))
    read = Reader(task, file).read(child, "left", image, 0.2)
    assert np.isfinite(read.months)
    assert read.features.shape == features(image.astype(np.float32), 0.2, "F").shape
    rng = np.random.default_rng(0)
    for how in UNFIT:
        assert spoilt_image(image, how, rng).dtype == np.int16
    two = spoilt_image(image, "two_hands", rng)
    assert two.shape[1] >= 2 * image.shape[1]


def test_the_baseline_tells_young_from_old(
    task: BoneAgeTask, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By size alone it is right within some years."""
    monkeypatch.setattr("networks.evaluation.months.TAUGHT", 40)
    by_hand = Baseline.learnt(task)
    reader = Reader(task, file)
    young, old = (
        reader.read(child, "left", grey(take(draw_hand(child), 0.2)), 0.2)
        for child in (draw_child(9, bone_age_months=20.0), draw_child(9, bone_age_months=190.0))
    )
    assert by_hand.months(old) - by_hand.months(young) > 60
