"""The GPU benchmark: its arithmetic, and all of its work on the CPU, in small."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gateway.settings import ROOT
from loadtests import bench, bench_gpu, gpu_work
from loadtests.gpu_figures import Kernel, Ran, by_stage, chest_figures, stream_figures
from loadtests.gpu_work import HostClock, Study, kernels

REPOSITORY = ROOT / "model_repository"

CHECKS = ("anatomy", "liver", "nodule")

SHAPE = (100, 132, 132)
"""Of which the grid of nodules still holds a tile."""


class HostEvent:
    """An event of the host's clock in place of a GPU's."""

    def __init__(self, **_: Any) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: HostEvent) -> float:
        return (other.at - self.at) * 1e3


@pytest.fixture
def host() -> Any:
    """Give the CPU in place of a GPU: NumPy for CuPy, and events of its own."""
    cuda = SimpleNamespace(Event=HostEvent, synchronize=lambda: None, _sleep=lambda _: None)
    return bench_gpu.Gpu(SimpleNamespace(cuda=cuda, __version__="2.13"), np)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a study have few tiles, and a chest few of them."""
    monkeypatch.setattr(gpu_work, "TILES", {"nodule": 2, "bone": 1})
    monkeypatch.setattr(gpu_work, "MARKS", 3)
    monkeypatch.setattr(gpu_work, "CHEST_MM", (72.0, 96.0, 96.0))


@pytest.fixture
def study(few: None) -> Study:
    return Study(
        REPOSITORY, torch=torch, xp=np, device="cpu", precision="fp32", checks=CHECKS, shape=SHAPE
    )


# --- arithmetic -----------------------------------------------------------------------------


def test_a_kernel_is_compared_with_a_plain_copy() -> None:
    """3 GB in 1 ms are 3 TB/s; of 4 that is three quarters."""
    told = Kernel("k", 3 * 10**9, [0.001, 0.0009, 0.002]).figures(4e12)
    assert told["share_of_copy"] == 0.75
    assert told["gigabytes_a_second"] == 3000.0
    assert told["met"]
    assert not Kernel("k", 2 * 10**9, [0.001]).figures(4e12)["met"]


def stream(studies: int, wall: float, seconds: float = 0.4, flop: float = 2e13) -> dict[str, Any]:
    ran = [
        Ran(number, stage, share * seconds, share * flop if stage != "upload" else 0.0)
        for number in range(studies)
        for stage, share in (("upload", 0.25), ("a_net", 0.5), ("b_net", 0.25))
    ]
    return stream_figures(ran, wall)


def test_a_stream_says_what_a_day_would_bring() -> None:
    """600 studies in 300 s are 172,800 a day; busy 240 s of them, idle a fifth."""
    told = stream(600, 300.0)
    assert told["studies_a_day"] == 172_800
    assert told["gpu_seconds_a_study"] == 0.4
    assert told["idle_share"] == 0.2
    assert told["gpu_seconds_by_stage"] == {"upload": 0.1, "a_net": 0.2, "b_net": 0.1}
    assert told["teraflop_a_study"] == 15.0
    assert told["teraflops_sustained"] == 30.0  # 600 × 15 ÷ 300
    assert told["teraflops_while_computing"] == 50.0  # 600 × 15 ÷ (600 × 0.3)
    assert not told["met"]  # idle more than 15 %


@pytest.mark.parametrize(
    ("studies", "wall", "met"), [(700, 300.0, True), (700, 299.0, False), (170, 300.0, False)]
)
def test_goals_of_a_stream(studies: int, wall: float, met: bool) -> None:
    """Five minutes, 50,000 a day, and busy 85 % of the time; all three."""
    assert stream(studies, wall)["met"] is met


def test_the_driver_knows_better_when_a_kernel_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its samples stand in place of the stages' times, which hold the host's pauses."""
    ran = [Ran(0, "a_net", 0.9, 1e12)]
    assert stream_figures(ran, 1.0)["idle_by"] == "stages"
    told = stream_figures(ran, 1.0, used_share=0.7)
    assert (told["idle_share"], told["idle_by"]) == (0.3, "driver")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '80\n90\n[N/A]\n100\n'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    used = bench_gpu.Utilisation()
    time.sleep(0.5)
    assert used.stop() == pytest.approx(0.9)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert bench_gpu.Utilisation().stop() is None


def test_a_stage_of_several_parts_is_summed_by_study() -> None:
    """A search asks a network many times."""
    ran = [Ran(0, "net", 0.1), Ran(0, "net", 0.2), Ran(1, "net", 0.5), Ran(1, "up", 0.1)]
    assert by_stage(ran) == pytest.approx({"net": 0.4, "up": 0.05})
    with pytest.raises(ValueError, match="studies and time"):
        stream_figures([], 1.0)


def test_the_chest_counts_tiles_scores_and_comparison() -> None:
    """Embedding is a network's own time: told, and not counted."""
    told = chest_figures({"tile_and_score": [0.05, 0.06, 0.9], "embed": [2.0], "compare": [0.03]})
    assert told["tile_score_compare_seconds"] == pytest.approx(0.09)
    assert told["embed_seconds"] == 2.0
    assert told["met"]


# --- work -----------------------------------------------------------------------------------


def test_a_study_runs_on_the_cpu(study: Study) -> None:
    """Every stage is timed, its operations counted; the label map is gone through."""
    slab = np.random.default_rng(0).integers(-1000, 300, SHAPE, dtype=np.int16)
    clock = HostClock()
    told = study.run(slab, 7, clock)
    ran = clock.finish()
    assert told["voxels"] >= 0
    assert {one.study for one in ran} == {7}
    stages = by_stage(ran)
    assert set(stages) == {
        "upload", "prepare", "anatomy_net", "liver_net", "nodule_net", "nodule_crops", "label_map",
    }  # fmt: skip
    assert all(seconds > 0 for seconds in stages.values())
    flop = {one.stage: one.flop for one in ran}
    # 3³ convolutions of a box of 80 × 113 × 138 voxels at 3 mm and less
    assert flop["anatomy_net"] > 1e8
    assert flop["nodule_net"] > flop["nodule_crops"] > 0
    assert flop["upload"] == flop["label_map"] == 0


def test_kernels_name_what_they_must_move(study: Study) -> None:
    """Slab in, tensors out: each byte once."""
    slab = np.zeros(SHAPE, np.int16)
    named = kernels(np, slab, study.asked[0].recipe)
    assert set(named) == {"prepare", "erode", "components"}
    size, call = named["prepare"]
    made = call()
    assert size == slab.nbytes + made.volume.nbytes + made.grid_hu.nbytes
    for _, one in named.values():
        one()


def test_kernels_are_measured(host: Any, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a copy on the same device."""
    monkeypatch.setattr(bench_gpu, "COPY_BYTES", 2**20)
    monkeypatch.setattr(bench_gpu, "REPEATS", 3)
    told = bench_gpu.measure_kernels(host, study)
    assert [one["kernel"] for one in told] == ["prepare", "erode", "components"]
    assert all(one["share_of_copy"] > 0 for one in told)


def test_a_stream_is_decoded_beside_the_work(host: Any, few: None, tmp_path: Path) -> None:
    """Real files, decoded anew for each study; it ends when told to."""
    shape = (12, 512, 512)
    study = Study(
        REPOSITORY, torch=torch, xp=np, device="cpu", precision="fp32", checks=("anatomy",),
        shape=shape,
    )  # fmt: skip
    told = bench_gpu.measure_stream(host, study, 0.5, tmp_path)
    assert told["studies"] >= 1
    assert not told["long_enough"]
    assert not told["met"]
    assert told["j2k_cores_needed"] > 0
    assert "anatomy_net" in told["gpu_seconds_by_stage"]


def test_an_error_of_the_decoder_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not waited for for ever."""
    monkeypatch.setattr(
        "gateway.triton.shared_memory.SharedVolume.create",
        lambda *_, **__: (_ for _ in ()).throw(OSError("no room")),
    )
    decoder = bench_gpu.Decoder(tmp_path, 4)
    with pytest.raises(OSError, match="no room"):
        decoder.next()
    decoder.stop()


def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_without_a_gpu_it_says_so(
    few: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, and the chest on the CPU: no figure of a GPU."""
    without_gpu(monkeypatch)
    assert bench.main(["gpu", "--json"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line == f"loadtests.bench gpu: {json.loads(shown.out)['missing']}"
    told = json.loads(shown.out)
    assert told["gpu"] is None
    assert not {"kernels", "stream", "chest"} & set(told)
    chest = told["cpu"]["chest"]
    assert (chest["device"], chest["tiles"]) == ("cpu", 3 * 4 * 4)
    assert chest["tile_score_compare_seconds"] > 0


@pytest.mark.parametrize("met", [True, False])
def test_the_exit_code_tells_goals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], met: bool
) -> None:
    """0 when all are met, 1 when one is missed."""
    opened: Callable[[], Any] = lambda: SimpleNamespace(name="a GPU")  # noqa: E731
    monkeypatch.setattr(bench_gpu, "open_gpu", opened)
    told = {"kernels": [{"met": True}], "stream": {"met": met}, "chest": {"met": True}}
    monkeypatch.setattr(bench_gpu, "measure", lambda gpu, seconds: told)
    assert bench_gpu.main(as_json=True) == int(not met)
    assert json.loads(capsys.readouterr().out)["gpu"] == "a GPU"
