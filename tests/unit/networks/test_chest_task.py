"""The chest's network learns, gets a bank, thresholds and a file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from networks import chest_export
from networks.chest_bank import FITTED, collect, fit
from networks.chest_export import encoder_digest, export_chest
from networks.chest_judge import (
    JudgedStudy,
    WholeStudies,
    WholeStudy,
    figures,
    fit_fusion,
    judge,
    no_bank,
)
from networks.chest_study import EVALUATED
from networks.engine import Plan, averaged, read_checkpoint, train
from networks.evaluation.thresholds import FILE, write_thresholds
from networks.export import ParityError
from networks.memory_bank import BankError, MemoryBank
from networks.model_card import write_card
from networks.nets.chest_net import ChestNet
from networks.phantoms.chest_labels import LABEL_NAMES
from networks.tasks import task_class, trainable
from networks.tasks.chest import FLAG_SHARE, ChestTask, any_finding, thresholds
from preprocess.bank import Banks
from tests.chest_bank import tiny_bank, write_bank
from tests.chest_case import TinyChestPool, TinyChestTask, tiny_task

TINY = Plan(seed=3, steps=2, workers=0, bf16=False)

MASS = LABEL_NAMES.index("mass")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinyChestTask, Path]:
    """Return a task and the folder of a run of two steps."""
    torch.set_num_threads(1)
    task, folder = tiny_task(tmp_path_factory.mktemp("pool")), tmp_path_factory.mktemp("run")
    train(task, TINY, folder, validate=False)
    return task, folder


def judged(logits: np.ndarray, truth: np.ndarray, part: int = 1) -> JudgedStudy:
    """Return a study of which one part has told the logits."""
    parts = np.zeros((3, len(LABEL_NAMES)), np.float32)
    parts[part] = logits
    study = WholeStudy(np.empty((0, 0, 0), np.int16), truth.astype(np.int8), (), 1, "")
    nowhere = np.zeros(len(LABEL_NAMES), np.int64)
    return JudgedStudy(study, parts, logits.astype(np.float32), nowhere, nowhere)


def test_the_chest_can_be_trained_by_its_name() -> None:
    """It is one of the networks, and masks what has no phantom."""
    assert "chest" in trainable()
    assert task_class("chest") is ChestTask
    network = ChestTask(Path()).network()
    assert network.evaluated.tolist() == [float(asked) for asked in EVALUATED]


def test_the_chest_trains_and_resumes(trained: tuple[TinyChestTask, Path], tmp_path: Path) -> None:
    """One step, a checkpoint and one step are two steps; the log has every term of the loss."""
    task, folder = trained
    first = train(task, TINY, tmp_path, validate=False, stop=1)
    second = train(task, TINY, tmp_path, validate=False)
    line = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert line["loss"] == pytest.approx(np.mean(first.losses + second.losses), abs=1e-3)
    terms = [line[name] for name in ("contrast", "tiles", "whole", "worth")]
    assert line["loss"] == pytest.approx(sum(terms), abs=1e-3)
    assert min(terms) > 0


def test_what_is_doubtful_is_no_negative() -> None:
    """A tile is worth a look, is not, or is not known; labels never asked have no say."""
    labels = torch.zeros(3, len(LABEL_NAMES), dtype=torch.int8)
    labels[:, [not asked for asked in EVALUATED]] = -1
    labels[0, MASS], labels[1, MASS] = 1, -1
    assert any_finding(labels).tolist() == [1, -1, 0]


def test_a_bank_is_built_and_fitted(trained: tuple[TinyChestTask, Path]) -> None:
    """The bank has labelled and healthy tiles of training patients, and the checkpoint names it."""
    task, folder = trained
    network = averaged(task, folder / "checkpoint.pt")
    assert isinstance(network, ChestNet)
    bank = collect(network, task.plantings(), 4, blocks=2)  # type: ignore[arg-type]
    assert bank.counts["mass"] >= 4
    assert bank.counts["healthy"] > 10
    assert bank.encoder == encoder_digest(network)
    bank.save(folder / "bank")
    told = fit(tiny_task(task.pool), folder / "checkpoint.pt", folder / "bank", TINY)
    assert told["studies"] == 6
    assert set(told["auc"]) == {"fused", "survey", "linear", "vote"}
    assert min(told["mix"].values()) >= 0
    kept = read_checkpoint(folder / FITTED)
    assert MemoryBank.load(Path(kept["plan"]["bank"]), encoder=bank.encoder).digest == bank.digest
    fitted = averaged(task, folder / FITTED)
    assert isinstance(fitted, ChestNet)
    assert not torch.equal(fitted.offset, network.offset)
    assert encoder_digest(fitted) == bank.encoder


def test_the_chest_is_calibrated_with_its_bank_only(trained: tuple[TinyChestTask, Path]) -> None:
    """Without a bank the vote would be another one in service."""
    task, _ = trained
    with pytest.raises(ValueError, match="build the bank first"):
        task.calibrate(task.network().eval(), TINY, patients=2, scans=1)


def test_flags_keep_to_their_budget() -> None:
    """One in a hundred healthy studies is flagged for any label, marks are not above flags."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.5, 3, len(LABEL_NAMES))
    cases = []
    for number in range(400):
        truth = np.zeros(len(LABEL_NAMES))
        truth[MASS] = -(number % 2)
        cases.append(judged(-5 + scale * rng.standard_normal(len(LABEL_NAMES)), truth))
    told = thresholds(cases)
    assert told["flag"]["measured"][0] <= FLAG_SHARE
    assert told["flag"]["measured"][0] > 0
    assert set(told["flag"]["values"]) == {
        name for name, asked in zip(LABEL_NAMES, EVALUATED, strict=True) if asked
    }
    for name, flag in told["flag"]["values"].items():
        assert 0 < told["mark"]["values"][name] <= flag < 1


def test_fusion_follows_the_part_that_knows() -> None:
    """Where only the vote tells labels apart, the vote has the weight."""
    rng = np.random.default_rng(1)
    cases = []
    for _ in range(60):
        truth = (rng.random(len(LABEL_NAMES)) < 0.1).astype(np.int8)
        case = judged(6 * truth - 3 + rng.standard_normal(len(LABEL_NAMES)), truth, part=2)
        case.parts[:2] = rng.standard_normal((2, len(LABEL_NAMES)))
        cases.append(case)
    mix, offset = fit_fusion(cases)
    assert mix[2] > 5 * mix[:2].max()
    assert bool(torch.isfinite(offset).all())
    assert figures(cases)["auc"]["vote"] > 0.95


def test_every_scan_of_a_study_is_another(trained: tuple[TinyChestTask, Path]) -> None:
    """A healthy patient is scanned several times, the same way each time that it is asked for."""
    task, folder = trained
    pool = TinyChestPool()
    studies = WholeStudies(pool, [5], scans=2)  # type: ignore[arg-type]
    assert len(studies) == 6
    assert not np.array_equal(studies[0].hu[:16, :16, :16], studies[1].hu[:16, :16, :16])
    assert np.array_equal(studies[1].hu, studies[1].hu)
    network = averaged(task, folder / "checkpoint.pt")
    assert isinstance(network, ChestNet)
    found = list(judge(network, no_bank(), studies, workers=0, device="cpu"))
    assert found[0].study.truth[MASS] == 1
    assert figures(found)["studies"] == 6


def test_the_file_answers_as_torch(trained: tuple[TinyChestTask, Path], tmp_path: Path) -> None:
    """It is held to torch on two shapes and names the encoder that its bank must be of."""
    task, folder = trained
    network = averaged(task, folder / "checkpoint.pt")
    assert isinstance(network, ChestNet)
    path = tmp_path / "chest.onnx"
    task.export(network, path)
    assert path.stat().st_size < 8e6
    props = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert props["encoder"] == encoder_digest(network)
    assert props["labels"].split(",") == list(LABEL_NAMES)


def test_a_release_brings_the_bank_of_its_own_network(tmp_path: Path) -> None:
    """Into the model's folder, where it is served from; another network's is refused."""
    network = ChestTask(tmp_path).network()
    task = ChestTask(tmp_path, bank=str(tmp_path / "bank"))
    bank = write_bank(tmp_path / "bank", tiny_bank(encoder=encoder_digest(network)))
    task.export_data(network, tmp_path / "chest_net")
    assert Banks(tmp_path).get("chest_net", LABEL_NAMES).digest == bank.digest
    write_bank(tmp_path / "bank", tiny_bank())
    with pytest.raises(BankError, match="is of encoder"):
        task.export_data(network, tmp_path / "chest_net")


def test_a_file_that_differs_is_refused(
    trained: tuple[TinyChestTask, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of other weights does not pass."""
    task, folder = trained
    network = averaged(task, folder / "checkpoint.pt")
    assert isinstance(network, ChestNet)
    written = chest_export.write_onnx

    def wrong(module: torch.nn.Module, *args: object, **given: object) -> None:
        written(module, *args, **given)  # type: ignore[arg-type]
        network.head.bias.data += 1

    monkeypatch.setattr(chest_export, "write_onnx", wrong)
    monkeypatch.setattr(chest_export, "SHAPES", chest_export.SHAPES[:1])
    with pytest.raises(ParityError, match="differs by"):
        export_chest(network, tmp_path / "chest.onnx")


def test_a_released_chest_is_judged_with_its_bank(
    trained: tuple[TinyChestTask, Path], tmp_path: Path
) -> None:
    """By label, difficulty and scanner, beside quantiles of HU, and the card tells it."""
    task, folder = trained
    network = averaged(task, folder / "checkpoint.pt")
    assert isinstance(network, ChestNet)
    model = tmp_path / "chest_net/1/model.onnx"
    model.parent.mkdir(parents=True)
    export_chest(network, model)
    bank = write_bank(tmp_path / "chest_net", tiny_bank(encoder=encoder_digest(network)))
    each = {name: 0.0 for name, asked in zip(LABEL_NAMES, EVALUATED, strict=True) if asked}
    write_thresholds(
        tmp_path / "chest_net" / FILE,
        {"mark": {"values": each}, "flag": {"values": dict.fromkeys(each, 1.1)}},
    )
    told = task.evaluate(model, {}, cases=3)
    assert told["cohort"]["planted"] == 7, "one patient of three has a fatty liver"
    assert told["cohort"]["healthy"] == 2
    assert told["bank"]["digest"] == bank.digest
    every = told["strata"]["all"]
    labels = {"mass", "bulla", "steatosis"}
    assert every["labels"] == len(labels)
    assert every["mark"]["sensitivity"][0] == 1
    assert every["flag"]["sensitivity"][0] == 0
    assert every["mark"]["healthy_with_any"][0] == 1
    assert set(told["strata"]["label"]) == labels
    assert len(told["strata"]["scanner"]) == 3
    assert 0 <= told["baseline"]["auc"][0] <= 1
    text = write_card(
        tmp_path / "chest_net", told=told, description=[], training=[], thresholds=[],
        commands=[], date="2026-11-21",
    ).read_text()  # fmt: skip
    assert "7 planted and 2 healthy scans" in text
    assert "| mass |" in text
    assert "quantiles of the box" in text
