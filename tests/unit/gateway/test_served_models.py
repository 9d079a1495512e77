"""Which models of a repository Triton is told to load."""

from __future__ import annotations

from pathlib import Path

from gateway.runtime.triton_command import served_models

NET = 'name: "{name}"\nbackend: "onnxruntime"\n'
ENSEMBLE = """name: "{name}"
platform: "ensemble"
ensemble_scheduling {{ step [ {{ model_name: "{net}" model_version: 1 }} ] }}
"""


def write(repository: Path, name: str, config: str, *, weights: bool = False) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)
    if weights:
        (repository / name / "1" / "model.onnx").write_bytes(b"weights")


def test_a_network_without_weights_takes_its_ensemble_with_it(tmp_path: Path) -> None:
    """And nothing else: the other checks are served."""
    for net, weights in (("bone_net", False), ("liver_net", True)):
        write(tmp_path, net, NET.format(name=net), weights=weights)
        name = net.removesuffix("_net")
        write(tmp_path, name, ENSEMBLE.format(name=name, net=net))
    (tmp_path / "rule").mkdir()
    assert served_models(tmp_path) == ["liver", "liver_net"]
