"""Compiling a repository, with a builder that needs no GPU in TensorRT's place."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from gateway.exceptions import OtherEngineError, ParityFailedError, UsageError
from gateway.runtime.backends.onnxruntime import engine
from gateway.screening.manifest_reader import load_manifests, read_manifest
from gateway.settings import ROOT
from gateway.triton.repository import describe, networks_without_weights, read_config, verify
from networks.compile.cache import PLAN, TOLD
from networks.compile.halves import halved
from networks.compile.key import Key, Machine
from networks.compile.parity import probe
from networks.compile.profile import Profile, Shapes, profile_of
from networks.compile.repository import REPORT
from networks.compile.run import Job, compile_repository, networks, plan
from tests.engine_builder import MAGIC, OnnxBuilder
from tests.tiny_nets import LIVER, PANCREAS, write_net

REPOSITORY = ROOT / "model_repository"

CHECKS = {"pancreas": PANCREAS, "liver": LIVER}


def tensors(declared: Any) -> list[tuple[str, int, list[int]]]:
    return [(t.name, t.data_type, list(t.dims)) for t in declared]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a repository of two checks as they stand, but for tiny networks and no anatomy's."""
    folder = tmp_path / "source"
    for name in ("ct_preprocess", "ct_postprocess", "anatomy", *CHECKS):
        shutil.copytree(REPOSITORY / name, folder / name)
    (folder / "anatomy_net" / "1").mkdir(parents=True)
    shutil.copy(REPOSITORY / "anatomy_net" / "config.pbtxt", folder / "anatomy_net")
    for name, text in CHECKS.items():
        (folder / f"{name}_net").mkdir()
        shutil.copy(REPOSITORY / f"{name}_net" / "config.pbtxt", folder / f"{name}_net")
        write_net(text, folder / f"{name}_net" / "1" / "model.onnx")
    return folder


@pytest.fixture
def job(tmp_path: Path, source: Path) -> Job:
    return Job(source=source, cache=tmp_path / "cache", output=tmp_path / "output")


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {row["network"]: row["outcome"] for row in report["networks"]}


def test_a_whole_repository_is_written(job: Job) -> None:
    """Engines on the GPU, tensors, queue and warm-up as before, everything else as it was."""
    report = compile_repository(job, OnnxBuilder())
    assert outcomes(report) == {"liver_net": "built", "pancreas_net": "built"}
    assert all(row["parity"]["holds"] for row in report["networks"])
    for name in ("liver_net", "pancreas_net"):
        made, before = (
            read_config(folder / name / "config.pbtxt") for folder in (job.output, job.source)
        )
        assert (made.backend, made.platform) == ("tensorrt", "tensorrt_plan")
        assert [group.kind for group in made.instance_group] == [1]  # KIND_GPU
        assert made.dynamic_batching == before.dynamic_batching
        assert made.model_warmup == before.model_warmup
        assert tensors(made.input) == tensors(before.input)
        assert tensors(made.output) == tensors(before.output)
        assert not made.optimization.execution_accelerators.cpu_execution_accelerator
        assert (job.output / name / "1" / PLAN).read_bytes().startswith(MAGIC)
    assert verify(job.output) == {}
    same = ("ct_preprocess/1/model.py", "anatomy/pipeline.toml", "pancreas_net/1/model.onnx")
    for name in same:
        assert (job.output / name).read_bytes() == (job.source / name).read_bytes()
    assert sorted(p.name for p in job.output.iterdir() if p.is_dir()) == sorted(
        p.name for p in job.source.iterdir()
    )
    assert json.loads((job.output / REPORT).read_text())["machine"]["architecture"] == "9.0"


def test_volumes_stay_on_the_gpu_where_that_is_asked_for(job: Job) -> None:
    """Instances of array code by their kind, one each, so without levels; tensors as before."""
    asked = replace(job, arrays="gpu")
    report = compile_repository(asked, OnnxBuilder())
    assert report["arrays"] == "gpu"
    for name in ("ct_preprocess", "ct_postprocess"):
        made, before = (
            read_config(folder / name / "config.pbtxt") for folder in (job.output, job.source)
        )
        assert [(g.kind, g.count) for g in made.instance_group] == [(1, 1)]  # KIND_GPU
        assert made.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value == "no"
        assert made.backend == "python"
        assert made.HasField("dynamic_batching")
        assert not made.dynamic_batching.priority_levels
        assert tensors(made.input) == tensors(before.input)
        assert tensors(made.output) == tensors(before.output)
    compile_repository(job, OnnxBuilder())
    same = (job.output / "ct_preprocess" / "config.pbtxt").read_bytes()
    assert same == (job.source / "ct_preprocess" / "config.pbtxt").read_bytes()


def test_results_stay_traced_to_the_same_weights(job: Job) -> None:
    """The digest in provenance is that of model.onnx, on CPU and GPU alike."""
    compile_repository(job, OnnxBuilder())
    before, after = (load_manifests(folder)["pancreas"] for folder in (job.source, job.output))
    assert after.models == before.models
    assert after.has_weights
    told = {model["name"]: model for model in describe(job.output)}
    assert told["pancreas_net"]["backend"] == "tensorrt"
    assert told["pancreas_net"]["missing_weights"] == []


def test_a_second_run_finds_its_engines(job: Job) -> None:
    """And builds nothing; the key beside an engine can be read."""
    compile_repository(job, OnnxBuilder())
    again = OnnxBuilder()
    assert outcomes(compile_repository(job, again)) == {
        "liver_net": "cached", "pancreas_net": "cached",
    }  # fmt: skip
    assert again.built == []
    told = json.loads((job.output / "pancreas_net" / TOLD).read_text())
    assert told["key"]["machine"] == {"architecture": "9.0", "tensorrt": "11.0.0"}
    assert told["key"]["profile"]["shapes"]["volume"]["least"] == [1, 2, 16, 16, 16]


@pytest.mark.parametrize(
    ("architecture", "tensorrt", "precision"),
    [("8.9", "11.0.0", "fp16"), ("9.0", "11.1.0", "fp16"), ("9.0", "11.0.0", "fp32")],
)
def test_an_engine_is_of_its_machine_and_profile(
    job: Job, architecture: str, tensorrt: str, precision: str
) -> None:
    """Whatever of the key differs asks for another engine."""
    compile_repository(job, OnnxBuilder())
    other = OnnxBuilder(architecture, tensorrt)
    changed = Job(source=job.source, cache=job.cache, output=job.output, precision=precision)
    compile_repository(changed, other)
    assert other.built == [precision] * 2


def test_a_key_is_of_the_model_s_bytes_and_every_shape() -> None:
    """Any change has another digest; the order of inputs has not."""
    shapes = {"a": Shapes((1,), (2,), (3,)), "b": Shapes((1,), (1,), (1,))}
    turned = dict(reversed(shapes.items()))
    machine = Machine("9.0", "11.0.0")
    digest = Key(machine, "f" * 64, Profile(shapes, "fp16", 1)).digest()
    assert Key(machine, "f" * 64, Profile(turned, "fp16", 1)).digest() == digest
    wider = {**shapes, "a": Shapes((1,), (2,), (4,))}
    others = [
        Key(machine, "e" * 64, Profile(shapes, "fp16", 1)),
        Key(machine, "f" * 64, Profile(wider, "fp16", 1)),
        Key(machine, "f" * 64, Profile(shapes, "fp16", 2)),
    ]
    assert len({digest, *(key.digest() for key in others)}) == 4


def test_fp16_that_does_not_hold_becomes_fp32(job: Job) -> None:
    """Said in the report, and not tried again."""
    builder = OnnxBuilder(wrong={"fp16": 1})
    for expected in (["fp16", "fp32"] * 2, ["fp16", "fp32"] * 2):
        report = compile_repository(job, builder)
        assert {row["precision"] for row in report["networks"]} == {"fp32"}
        assert all("fp16 does not hold" in row["why"] for row in report["networks"])
        assert builder.built == expected
    assert verify(job.output) == {}


def test_a_good_engine_is_not_replaced_by_a_wrong_one(job: Job) -> None:
    """Neither in the output nor in the cache; new weights with a wrong engine change nothing."""
    compile_repository(job, OnnxBuilder())
    before = {p: p.read_bytes() for p in sorted(job.output.rglob("*")) if p.is_file()}
    path = job.source / "pancreas_net" / "1" / "model.onnx"
    path.unlink()  # the output's is linked to it
    write_net(PANCREAS.replace("{0.55}", "{0.56}"), path)
    with pytest.raises(ParityFailedError, match="pancreas_net answers otherwise"):
        compile_repository(job, OnnxBuilder(wrong={"fp16": 1, "fp32": 1}))
    assert {p: p.read_bytes() for p in sorted(job.output.rglob("*")) if p.is_file()} == before
    plans = {p.parent.name for p in job.cache.glob(f"*/{PLAN}")}
    failed = [p for p in job.cache.glob(f"*/{TOLD}") if p.parent.name not in plans]
    assert len(plans) == 2
    assert [json.loads(p.read_text())["parity"]["holds"] for p in failed] == [False, False]


def test_a_network_that_tensorrt_does_not_know_stays_with_onnx_runtime(job: Job) -> None:
    """On the GPU, and the report says why."""
    report = compile_repository(job, OnnxBuilder(unsupported=True))
    assert set(outcomes(report).values()) == {"onnxruntime"}
    assert "Weird" in report["networks"][0]["why"]
    made = read_config(job.output / "pancreas_net" / "config.pbtxt")
    assert (made.backend, made.instance_group[0].kind) == ("onnxruntime", 1)
    assert verify(job.output) == {}


def test_an_engine_of_another_machine_is_refused(job: Job) -> None:
    """Copied under this machine's name, or in the repository that is read."""
    compile_repository(job, OnnxBuilder())
    mine = next(path.parent for path in job.cache.glob(f"*/{TOLD}"))
    told = json.loads((mine / TOLD).read_text())
    told["key"]["machine"]["architecture"] = "8.0"
    (mine / TOLD).write_text(json.dumps(told))
    with pytest.raises(OtherEngineError, match=r"for compute capability 8\.0 with TensorRT 11"):
        compile_repository(job, OnnxBuilder())
    shutil.rmtree(job.cache)
    again = Job(source=job.output, cache=job.cache, output=job.output.parent / "elsewhere")
    report = compile_repository(again, OnnxBuilder())
    assert set(outcomes(report).values()) == {"kept"}
    with pytest.raises(OtherEngineError, match=r"here is compute capability 10\.0"):
        compile_repository(again, OnnxBuilder("10.0"))


def test_a_damaged_engine_is_made_again(job: Job) -> None:
    """Found by its digest; what a killed compiler left goes too."""
    compile_repository(job, OnnxBuilder())
    for plan_file in job.cache.glob(f"*/{PLAN}"):
        plan_file.write_bytes(b"half")
        (job.cache / f".{plan_file.parent.name}-1").mkdir()
    builder = OnnxBuilder()
    compile_repository(job, builder)
    assert len(builder.built) == 2
    assert not list(job.cache.glob(".*"))


def test_verify_tells_an_engine_that_does_not_belong(job: Job) -> None:
    """Other weights beside it, a file that was changed, none at all."""
    compile_repository(job, OnnxBuilder())
    plan_file = job.output / "pancreas_net" / "1" / PLAN
    weights = job.output / "liver_net" / "1" / "model.onnx"
    plan_file.write_bytes(b"half")
    weights.write_bytes(weights.read_bytes() + b" ")
    problems = verify(job.output)
    assert problems["pancreas_net"] == ["1/model.plan is not the engine that engine.json tells of"]
    assert problems["liver_net"] == ["1/model.plan is not the engine of 1/model.onnx"]
    plan_file.unlink()
    assert "pancreas_net" in networks_without_weights(job.output)


def test_only_the_checks_of_the_pool_are_compiled(job: Job) -> None:
    """The rest is there as it was, for its manifests are read."""
    some = Job(source=job.source, cache=job.cache, output=job.output, checks=["liver"])
    assert outcomes(compile_repository(some, OnnxBuilder())) == {"liver_net": "built"}
    assert read_config(job.output / "pancreas_net" / "config.pbtxt").backend == "onnxruntime"
    with pytest.raises(UsageError, match="holds 'knee'"):
        networks(Job(source=job.source, cache=job.cache, output=job.output, checks=["knee"]))


def test_what_the_source_no_longer_has_goes(job: Job) -> None:
    """Of what an earlier run wrote; a folder of somebody else's stays."""
    compile_repository(job, OnnxBuilder())
    (job.output / "theirs").mkdir()
    shutil.rmtree(job.source / "pancreas")
    shutil.rmtree(job.source / "pancreas_net")
    compile_repository(job, OnnxBuilder())
    assert not (job.output / "pancreas_net").exists()
    assert (job.output / "theirs").is_dir()
    assert not list(job.output.glob(".staging-*"))


@pytest.mark.parametrize("place", ["source", "source/inner"])
def test_the_source_is_never_written_into(job: Job, place: str) -> None:
    """A repository in itself would grow for ever."""
    inside = Job(source=job.source, cache=job.cache, output=job.source.parent / place)
    with pytest.raises(UsageError, match="lies in the repository"):
        compile_repository(inside, OnnxBuilder())


def test_a_plan_without_a_machine_names_no_engines(job: Job) -> None:
    """With one it says which are there."""
    (first, _) = plan(job, None)["networks"]
    assert "digest" not in first
    assert [row["cached"] for row in plan(job, OnnxBuilder())["networks"]] == [False, False]
    compile_repository(job, OnnxBuilder())
    assert [row["cached"] for row in plan(job, OnnxBuilder())["networks"]] == [True, True]


def test_shapes_are_those_of_grid_and_box() -> None:
    """Multiples of the recipe's, batches no larger than the network takes; bank rows are free."""
    manifests = load_manifests(REPOSITORY)

    def of(check: str, network: str = "", precision: str = "fp16") -> Profile:
        config = read_config(REPOSITORY / (network or f"{check}_net") / "config.pbtxt")
        return profile_of(config, manifests[check], precision=precision, max_batch=8)

    volume = of("pancreas").shapes["volume"]
    assert volume.least == (1, 2, 16, 16, 16)
    assert all(n % 16 == 0 for n in (*volume.usual[2:], *volume.most[2:]))
    assert volume.most[2] * 3.0 >= 800
    tiles = of("bone")
    assert tiles.max_batch == 4
    assert tiles.shapes["volume"].usual == (4, 2, 64, 96, 96)
    assert of("bone", "bone_crops").max_batch == 8
    assert of("chest").shapes["bank"].most == (65536, 64)
    assert of("bone_age").precision == "fp32"


def test_halved_networks_answer_as_before() -> None:
    """Real ones, inputs with missing values; types outside stay, weights are half as large."""
    for name in ("liver_net", "stomach_net"):
        path = REPOSITORY / name / "1" / "model.onnx"
        made = halved(onnx.load(str(path)))
        assert made.ByteSize() < 0.6 * path.stat().st_size
        outside = [(v.name, v.type.tensor_type.elem_type) for v in made.graph.input]
        original = onnx.load(str(path)).graph.input
        assert outside == [(v.name, v.type.tensor_type.elem_type) for v in original]
        manifest = read_manifest(REPOSITORY / name.removesuffix("_net") / "pipeline.toml")
        config = read_config(REPOSITORY / name / "config.pbtxt")
        profile = profile_of(config, manifest, precision="fp16", max_batch=1)
        small = {n: (*s.least[:2], *(max(k, 32) for k in s.least[2:])) for n, s in
                 profile.shapes.items()}  # fmt: skip
        inputs = probe(path, small)
        builder = OnnxBuilder()
        half = builder.run(builder.build(made.SerializeToString(), profile), inputs)
        holds, measured = engine.parity(engine.load(path, openvino=False).run(inputs), half)
        assert holds, measured
