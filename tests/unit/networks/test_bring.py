"""Networks of others: what is made of them, what is refused, and that nothing half-done stays."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from gateway.exceptions import NetworkCodeError, NetworkRefusedError
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT
from gateway.triton.repository import describe, read_config, verify
from networks.bring.bundle import network_arguments
from networks.bring.graph import Wrapped
from networks.bring.run import bring, read_network
from tests.brought_nets import FORMS, SPLEEN, write_bundle, write_nnunet, write_onnx_text

PIPELINE = ROOT / "tests" / "manifests" / "spleen" / "pipeline.toml"

BOX = (1, 1, 16, 32, 48)


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository of anatomy alone."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("anatomy", "anatomy_net", "ct_preprocess", "ct_postprocess"):
        shutil.copytree(ROOT / "model_repository" / name, folder / name)
    return folder


@pytest.fixture
def repository(empty_repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(empty_repository, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_onnx_text(SPLEEN, tmp_path / "brought.onnx")


def pipeline(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """Write the pipeline.toml with some lines changed."""
    text = PIPELINE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8")
    return path


def ask(model: onnx.ModelProto, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def names_of(repository: Path) -> set[str]:
    return {path.name for path in repository.iterdir()}


def image(seed: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(BOX, np.float32)


# --- what is installed


def test_an_onnx_file_becomes_a_check(repository: Path, network: Path) -> None:
    """Network, ensemble, manifest, a card with origin and licence; the repository is whole."""
    told = bring(network, PIPELINE, repository)
    assert verify(repository) == {}
    manifest = load_manifests(repository)["spleen"]
    assert manifest.can_run
    assert manifest.models == {"spleen_net": told["digest"]}
    assert (repository / "spleen" / "pipeline.toml").read_bytes() == PIPELINE.read_bytes()
    card = (repository / "spleen_net" / "README.md").read_text()
    for words in ("a hospital's own", "CC-BY-4.0", told["digest"], "brought.onnx"):
        assert words in card
    told_of = {model["name"]: model for model in describe(repository)}
    assert told_of["spleen"]["weights_origin"] == "a hospital's own"
    assert told_of["spleen"]["missing_weights"] == []


def test_logits_become_labels_heat_and_a_score(repository: Path, network: Path) -> None:
    """The likeliest class, the softmax of the lesion in 255ths, its highest mean over 3³ voxels."""
    bring(network, PIPELINE, repository)
    volume = np.full(BOX, 0.5, np.float32)
    volume[:, :, 4:8, 4:8, 4:8] = 1.0
    made = ask(onnx.load(str(repository / "spleen_net/1/model.onnx")), volume=volume)
    logits = ask(onnx.load(str(network)), image=volume)["logits"]
    chances = torch.softmax(torch.from_numpy(logits), 1)
    assert set(made) == {"labels", "lesion", "score"}
    np.testing.assert_array_equal(made["labels"], logits.argmax(1))
    assert made["labels"].dtype == made["lesion"].dtype == np.uint8
    heat = np.rint(chances[:, 2].numpy() * 255)
    assert np.abs(made["lesion"].astype(int) - heat).max() <= 1
    mean = torch.nn.functional.avg_pool3d(
        chances[:, 2:], 3, stride=1, padding=1, count_include_pad=False
    )
    np.testing.assert_allclose(made["score"], mean.amax((2, 3, 4)).numpy(), atol=1e-5)


def test_another_name_is_another_check(repository: Path, network: Path) -> None:
    """The same network twice; only the four lines that name it differ."""
    bring(network, PIPELINE, repository)
    told = bring(network, PIPELINE, repository, name="milt")
    assert told["models"] == ["milt", "milt_net"]
    before, after = (
        (repository / name / "pipeline.toml").read_text().splitlines()
        for name in ("spleen", "milt")
    )
    changed = [line for old, line in zip(before, after, strict=True) if old != line]
    assert changed == [
        'name = "milt"', 'ensemble = "milt"', 'name = "milt"', 'model = "milt_net"',
    ]  # fmt: skip
    assert verify(repository) == {}


@pytest.mark.parametrize("form", FORMS)
def test_an_nnunet_folder_answers_as_its_network_does(
    repository: Path, tmp_path: Path, form: str
) -> None:
    """Window and z-score, strides, skips: against torch, on the HU that nnU-Net would be given."""
    network = write_nnunet(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", form)
    told = bring(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres", PIPELINE, repository)
    assert "3d_fullres" in told["source"]
    assert len(told["notes"]) == 2
    volume = image()
    made = ask(onnx.load(str(repository / "spleen_net/1/model.onnx")), volume=volume)
    hu = volume * 400.0 - 160.0
    with torch.no_grad():
        logits = network(torch.from_numpy((hu - 80.0) / 40.0).float())
    agreement = (made["labels"] == logits.argmax(1).numpy()).mean()
    assert agreement > 0.999
    heat = torch.softmax(logits, 1)[:, 2].numpy() * 255
    assert np.abs(made["lesion"] - heat).max() < 1.1


def test_a_bundle_s_axes_are_turned(repository: Path, tmp_path: Path) -> None:
    """RAS: its first axis is ours to the right, its answer is turned back."""
    bundle = write_bundle(tmp_path / "bundle")
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    corner (float[n, 1, x, y, z] image) => (float[n, 3, x, y, z] logits)
    <int64[1] first = {0}, int64[1] one = {1}, int64[1] x = {2}, float scale = {50.0}>
    {
      edge = Slice(image, first, one, x)
      rest = Mul(image, scale)
      shown = Mul(edge, scale)
      lesion = Add(rest, shown)
      nothing = Neg(rest)
      logits = Concat<axis = 1>(nothing, rest, lesion)
    }
    """
    write_onnx_text(text, bundle / "models" / "model.onnx")
    bring(bundle, PIPELINE, repository)
    volume = np.zeros(BOX, np.float32)
    volume[0, 0, 2, 3, -1] = 1.0  # column to the left end: x's last; first of R is our last
    volume[0, 0, 5, 6, 0] = 1.0
    made = ask(onnx.load(str(repository / "spleen_net/1/model.onnx")), volume=volume)
    ours = np.ascontiguousarray(volume.transpose(0, 1, 4, 3, 2)[:, :, ::-1, ::-1])
    theirs = ask(onnx.load(str(bundle / "models/model.onnx")), image=ours)["logits"].argmax(1)
    np.testing.assert_array_equal(made["labels"], theirs[:, ::-1, ::-1].transpose(0, 3, 2, 1))
    assert made["labels"].max() == 2


@pytest.mark.parametrize("axes", ["SPL", "RAS", "LPS", "SAR", "ILP"])
def test_axes_there_and_back_are_none(axes: str) -> None:
    """A network that hands its input on hands ours on, whatever way its axes lie."""
    same = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        "same (float[n, 1, x, y, z] image) => (float[n, x, y, z] flat)"
        "<int64[1] one = {1}> { flat = Squeeze(image, one) }"
    )
    wrapped = Wrapped.of(same, axes)
    wrapped.take_volume("image", 1, ())
    wrapped.give("flat", "flat", TensorProto.FLOAT, ("n", "d", "h", "w"))
    volume = image()
    np.testing.assert_array_equal(ask(wrapped.finished("t"), volume=volume)["flat"], volume[:, 0])


AGE = """
<ir_version: 8, opset_import: ["" : 17]>
age (float[n, 1, d, h, w] volume, float[n, 2] clinical) => (float[n, 2] numbers)
<int64[1] one = {1}>
{
  mean = ReduceMean<axes = [2, 3, 4], keepdims = 0>(volume)
  missing = IsNaN(clinical)
  known = Cast<to = 1>(missing)
  any = ReduceSum<keepdims = 1>(known, one)
  numbers = Concat<axis = 1>(mean, any)
}
"""


def test_numbers_and_clinical_values(repository: Path, tmp_path: Path) -> None:
    """A table of another name is the scores; clinical values reach the network, missing as NaN."""
    text = PIPELINE.read_text(encoding="utf-8")
    post = text[text.index("[recipe.post]") : text.index("[thresholds]")]
    changed = (
        '[recipe.post]\nkind = "values"\nvalues = ["density", "unknown"]\n'
        'clinical = ["age_years", "sex"]\n\n'
        '[[measures]]\nname = "density"\nunit = "1"\n\n'
    )
    told = bring(
        write_onnx_text(AGE, tmp_path / "age.onnx"),
        pipeline(
            tmp_path,
            (post, changed),
            ("clinical = []", 'clinical = ["age_years", "sex"]'),
            ('scores = ["probability"]', 'scores = ["density", "unknown"]'),
            ('score = "probability"', 'score = "density"'),
        ),
        repository,
    )
    assert "unknown 2" in told["phantom"]
    assert verify(repository) == {}
    config = read_config(repository / "spleen" / "config.pbtxt")
    steps = {step.model_name: step for step in config.ensemble_scheduling.step}
    assert dict(steps["spleen_net"].input_map) == {"volume": "volume", "clinical": "clinical"}
    assert dict(steps["spleen_net"].output_map) == {"scores": "scores"}
    assert "CLINICAL" in {tensor.name for tensor in config.input}


def test_torchscript_is_taken_when_asked_for(repository: Path, tmp_path: Path) -> None:
    """A program, so by name only."""
    bundle = write_bundle(tmp_path / "bundle")

    class Net(torch.nn.Module):
        def forward(self, volume: torch.Tensor) -> torch.Tensor:
            return torch.cat((0.5 - volume, volume, 3 * volume - 2), 1) * 40

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and what bundles are made of
        torch.jit.save(torch.jit.script(Net()), str(bundle / "models" / "model.ts"))
    with pytest.raises(NetworkCodeError, match=r"model\.ts alone, which is a program"):
        bring(bundle, PIPELINE, repository)
    told = bring(bundle, PIPELINE, repository, allow_code=True)
    assert told["source"].endswith("models/model.ts")


# --- what is refused as a file


class Evil:
    """Runs code when it is unpickled, as any object may."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_runs_code_is_refused_and_not_run(
    repository: Path, tmp_path: Path
) -> None:
    """Unless it is asked for by name."""
    witness = tmp_path / "witness"
    write_nnunet(tmp_path / "nn", trick=Evil(witness))
    with pytest.raises(NetworkCodeError, match="run code when they are loaded; --allow-code"):
        bring(tmp_path / "nn", PIPELINE, repository)
    assert not witness.exists()
    bring(tmp_path / "nn", PIPELINE, repository, allow_code=True)
    assert witness.exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """In a sentence of its own."""
    write_nnunet(tmp_path / "nn")
    (tmp_path / "nn" / "fold_0" / "checkpoint_final.pth").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(NetworkRefusedError, match="is not a checkpoint"):
        read_network(tmp_path / "nn")


def test_weights_in_another_file_are_refused(tmp_path: Path, network: Path) -> None:
    """Their paths may lead anywhere; nothing of them is opened."""
    model = onnx.load(str(network))
    weight = helper.make_tensor("big", TensorProto.FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    model.graph.initializer.append(weight)
    (tmp_path / "external.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkRefusedError, match="keeps 'big' in another file"):
        read_network(tmp_path / "external.onnx")
    constant = helper.make_node("Constant", [], ["c"], value=weight)
    del model.graph.initializer[-1]
    model.graph.node.insert(0, constant)
    (tmp_path / "external.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkRefusedError, match="keeps 'big' in another file"):
        read_network(tmp_path / "external.onnx")


def test_operators_of_other_domains_are_refused(tmp_path: Path, network: Path) -> None:
    """They would be libraries to load; in a branch too."""
    model = onnx.load(str(network))
    model.opset_import.append(helper.make_opsetid("com.hospital", 1))
    custom = helper.make_node("Secret", ["image"], ["made"], domain="com.hospital")
    info = helper.make_tensor_value_info("made", TensorProto.FLOAT, [1])
    branch = helper.make_graph([custom], "b", [], [info])
    flag = helper.make_node("Constant", [], ["yes"], value_int=1)
    model.graph.node.extend(
        [flag, helper.make_node("If", ["yes"], ["x"], then_branch=branch, else_branch=branch)]
    )
    (tmp_path / "custom.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(NetworkRefusedError, match=r"'Secret' of 'com\.hospital'"):
        read_network(tmp_path / "custom.onnx")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.onnx", b"no network", "is not an ONNX file"),
        ("net.onnx", b"", "is not a valid ONNX file"),
        ("net.pt", b"", "is no .onnx file"),
    ],
)
def test_what_is_no_network_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NetworkRefusedError, match=said):
        read_network(tmp_path / name)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, network: Path) -> None:
    """Whatever it leads to."""
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "models" / "model.onnx").symlink_to(network)
    with pytest.raises(NetworkRefusedError, match=r"models/model\.onnx leads out of"):
        read_network(bundle)


@pytest.mark.parametrize(
    "network_def",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "monai.networks.nets.UNet", "channels": "$__import__('os').listdir()"},
        {"_target_": "monai.networks.nets.UNet", "channels": [4, "@channels"]},
        {"_target_": "monai.networks.nets.UNet", "act": {"_target_": "os.system"}},
        {"_target_": "monai.networks.nets.flexible_unet.os.system"},
    ],
)
def test_a_network_def_is_data(network_def: dict[str, Any]) -> None:
    """A class of MONAI's networks and plain values; nothing is evaluated or imported by name."""
    with pytest.raises(NetworkCodeError):
        network_arguments({"network_def": network_def})


def test_a_network_def_of_plain_values_is_read() -> None:
    assert network_arguments(
        {"network_def": {"_target_": "UNet", "spatial_dims": 3, "channels": [4, 8]}}
    ) == ("UNet", {"spatial_dims": 3, "channels": [4, 8]})


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    """And says what was looked for."""
    with pytest.raises(NetworkRefusedError, match=r"configs/metadata\.json.*plans\.json"):
        read_network(tmp_path)


def test_a_residual_network_is_named(tmp_path: Path) -> None:
    """Nothing is imported by the name in the file."""
    write_nnunet(tmp_path / "nn")
    plans = json.loads((tmp_path / "nn" / "plans.json").read_text())
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    architecture["network_class_name"] = "os.system"
    (tmp_path / "nn" / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(NetworkRefusedError, match=r"Its network is 'os\.system'"):
        read_network(tmp_path / "nn")


# --- what is refused by the contract; nothing is left behind


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([('name = "spleen"', 'name = "../spleen"')], "is no name of a check"),
        ([("spacing_mm = [3.0", "spacing = [3.0")], "spacing_mm"),
        ([('model = "spleen_net"', 'model = "liver_net"')], "it must be 'spleen_net'"),
        ([('licence = "CC-BY-4.0"', "")], r"provenance\.licence is missing"),
        ([('organs = ["spleen"]', 'organs = ["milt"]')], "'milt' is no organ of anatomy"),
        ([('ensemble = "spleen"', 'ensemble = "liver"')], "ensemble is 'liver'"),
        ([('modality = ["CT"]', 'modality = ["CT", "MR"]')], "modality must be CT"),
        (
            [('"spleen", "lesion"]\nlesion', '"spleen", "bleed", "lesion"]\nlesion')],
            "is not float logits of the 4 labels|logits of its labels",
        ),
        ([('"volume_ml"', '"weight_g"')], "names the measure 'weight_g'; there are"),
        ([('scores = ["probability"]', 'scores = ["probability", "b"]')], "gives 1 scores"),
        (
            [("clip_hu = [-160.0, 240.0]", "clip_hu = [0.0, 1.0]\n\n[[recipe.channels]]\n"
              "clip_hu = [2.0, 3.0]")],
            "has 1 channels; the recipe has 2",
        ),
        ([("clinical = []", 'clinical = ["age_years"]')], "The manifest sends clinical"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_manifest_that_does_not_fit_changes_nothing(
    repository: Path, network: Path, tmp_path: Path, changes: list[tuple[str, str]], said: str
) -> None:
    before = names_of(repository)
    with pytest.raises(NetworkRefusedError, match=said):
        bring(network, pipeline(tmp_path, *changes), repository)
    assert names_of(repository) == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("[3.0, 1.5, 1.5]", "[3.0, 1.0, 1.0]")], "trained at a spacing"),
        ([("multiple = 16", "multiple = 6")], r"axes divide by \[2, 4, 4\]"),
        ([("clip_hu = [-160.0, 240.0]", "clip_hu = [-100.0, 240.0]")], r"clipped to \[-160, 240\]"),
        ([('"spleen", "lesion"]\nlesion', '"milt", "lesion"]\nlesion'),
          ('organ = ["spleen"', 'organ = ["milt"')], "labels are background, spleen, lesion"),
    ],
)  # fmt: skip
def test_a_recipe_is_that_of_the_training(
    repository: Path, tmp_path: Path, changes: list[tuple[str, str]], said: str
) -> None:
    """As far as the folder says what it was."""
    write_nnunet(tmp_path / "nn")
    with pytest.raises(NetworkRefusedError, match=said):
        bring(tmp_path / "nn", pipeline(tmp_path, *changes), repository)


HEAD = "spleen (float[batch, 1, x, y, z] image) => (float[batch, 3, x, y, z] logits)"

FLAT = """
<ir_version: 8, opset_import: ["" : 17]>
flat (float[n, x, y, z] image) => (float[n, x, y, z] logits) { logits = Neg(image) }
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SPLEEN.replace(HEAD, HEAD.replace("x, y, z", "96, 96, 96")),
            r"'image', float \(\?, 1, 96, 96, 96\), has fixed axes",
        ),
        (FLAT, r"'image', float \(\?, \?, \?, \?\), is not float \(N, channels, D, H, W\)"),
        (
            SPLEEN.replace(HEAD, HEAD.replace(" image)", " image, float[batch, 1] age)")),
            "'image', 'age'; it must have one volume",
        ),
    ],
    ids=["fixed", "flat", "two"],
)
def test_a_network_of_another_form_is_refused(
    repository: Path, tmp_path: Path, text: str, said: str
) -> None:
    """With what it has and what is asked for."""
    with pytest.raises(NetworkRefusedError, match=said):
        bring(write_onnx_text(text, tmp_path / "other.onnx"), PIPELINE, repository)


def test_what_is_there_is_not_written_over(repository: Path, network: Path) -> None:
    """Neither a check nor a network that somebody put there."""
    bring(network, PIPELINE, repository)
    before = (repository / "spleen_net/1/model.onnx").stat().st_ino
    with pytest.raises(NetworkRefusedError, match="has 'spleen_net' already"):
        bring(network, PIPELINE, repository)
    assert (repository / "spleen_net/1/model.onnx").stat().st_ino == before


def test_a_failure_at_the_last_step_takes_all_back(
    repository: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full as the check itself is moved into its place."""
    before = names_of(repository)
    rename = Path.rename

    def full(self: Path, target: Path) -> Path:
        if target == repository / "spleen":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        bring(network, PIPELINE, repository)
    assert names_of(repository) == before
