"""Read a Triton model repository as it lies on disk, with no server."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


def read_config(path: Path) -> Any:
    """Parse a ``config.pbtxt`` by Triton's own protobuf.

    Raises
    ------
    google.protobuf.text_format.ParseError
        When the text is not a ModelConfig.
    """
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def model_digest(path: Path) -> str:
    """Give the sha256 of a model file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_files(repository: Path, models: Iterable[str]) -> dict[Path, str]:
    """Give the sha256 of every file of weights that these models may load, by path."""
    paths = [path for name in models for path in (repository / name).glob("[1-9]*/model.*")]
    return {path: model_digest(path) for path in sorted(paths) if path.suffix != ".py"}


def describe(repository: Path) -> list[dict[str, Any]]:
    """List the repository's models: name, backend, versions, digest, pipeline, weights.

    ``missing_weights`` names the networks without which a model is not served: itself, or those
    of its pipeline.
    """
    models = []
    waiting = networks_without_weights(repository)
    for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
        config = folder / "config.pbtxt"
        pipeline = _pipeline(folder)
        files = sorted(folder.glob("*/model.onnx"))
        backend = "rule"
        if config.is_file():
            parsed = read_config(config)
            backend = parsed.backend or parsed.platform
        models.append(
            {
                "name": folder.name,
                "backend": backend,
                "versions": sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()),
                "digest": model_digest(files[-1]) if files else None,
                "pipeline_version": pipeline.get("version"),
                "weights_origin": pipeline.get("provenance", {}).get("origin"),
                "missing_weights": sorted({folder.name, *_networks(pipeline)} & waiting),
            }
        )
    return models


NETWORK_FILES = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}
"""Backend → the file that it loads."""

PACKAGE = "model.pt2"
"""Of PyTorch, which the Python backend runs: a network that was compiled for the target torch."""

ENGINE = "engine.json"
"""Beside an engine: what it was made for, and of what."""


def networks_without_weights(repository: Path) -> set[str]:
    """Name the networks whose ``model.onnx`` or engine is not here.

    They are not served, their checks are not evaluated, and everything else is as it is.
    """
    return {
        path.parent.name
        for path in repository.glob("*/config.pbtxt")
        if (file := _network_file(path)) is not None and not any(path.parent.glob(f"[1-9]*/{file}"))
    }


def _network_file(config: Path) -> str | None:
    """Name the file of weights that a model loads; None for one that is no network."""
    backend = read_config(config).backend
    if backend == "python" and config.with_name(ENGINE).is_file():
        return PACKAGE
    return NETWORK_FILES.get(backend)


def verify(repository: Path) -> dict[str, list[str]]:
    """Find what would keep the repository from loading; a network may wait for its weights.

    Returns
    -------
    dict
        Model name → sentences; empty when all is whole.
    """
    problems: dict[str, list[str]] = {}
    for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
        found = list(_problems(folder, repository))
        if found:
            problems[folder.name] = found
    return problems


def _problems(folder: Path, repository: Path) -> list[str]:
    found: list[str] = []
    config_path = folder / "config.pbtxt"
    if not config_path.is_file():
        if not (folder / "pipeline.toml").is_file():
            found.append("has neither config.pbtxt nor pipeline.toml")
        return found
    try:
        config = read_config(config_path)
    except text_format.ParseError as error:
        return [f"config.pbtxt does not parse: {error}"]
    if config.name != folder.name:
        found.append(f"config.pbtxt names it {config.name!r}")
    versions = [path for path in folder.iterdir() if path.name.isdigit()]
    if not versions:
        found.append("has no version folder")
    for step in config.ensemble_scheduling.step:
        if not (repository / step.model_name).is_dir():
            found.append(f"its step {step.model_name!r} is not in the repository")
    if config.backend == "onnxruntime":
        for file in config_path.parent.glob("[1-9]*/model.onnx"):
            found += _onnx_problems(file, config)
    if config.backend == "tensorrt":
        for file in config_path.parent.glob("[1-9]*/model.plan"):
            found += _engine_problems(file)
    if config.backend == "python":
        for file in config_path.parent.glob(f"[1-9]*/{PACKAGE}"):
            found += _engine_problems(file)
        found += [
            f"{version.name}/model.py is missing"
            for version in versions
            if not (version / "model.py").is_file()
        ]
    return found


def _engine_problems(path: Path) -> list[str]:
    """Hold an engine to what is told of it; whether the GPU takes it is Triton's to say."""
    version = path.parent.name
    try:
        told = json.loads((path.parents[1] / ENGINE).read_text(encoding="utf-8"))
        plan, model = str(told["plan"]), str(told["key"]["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return [f"has no {ENGINE} that tells of {version}/{path.name}"]
    found = []
    if model_digest(path) != plan:
        found.append(f"{version}/{path.name} is not the engine that {ENGINE} tells of")
    weights = path.with_name("model.onnx")
    if weights.is_file() and model_digest(weights) != model:
        found.append(f"{version}/{path.name} is not the engine of {version}/model.onnx")
    return found


def _onnx_problems(path: Path, config: Any) -> list[str]:
    import onnx

    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:
        # onnx raises protobuf's, its own and OS errors; whatever it is, the file is not whole.
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [f"{path.parent.name}/model.onnx is not a valid ONNX file: {first}"]
    inputs = {value.name for value in model.graph.input}
    outputs = {value.name for value in model.graph.output}
    return [
        f"config.pbtxt names the {kind} {name!r}, which model.onnx does not have"
        for kind, names, have in (
            ("input", [tensor.name for tensor in config.input], inputs),
            ("output", [tensor.name for tensor in config.output], outputs),
        )
        for name in names
        if name not in have
    ]


def networks_of(folder: Path) -> list[str]:
    """Name the networks whose weights a check's results are traced to; none without a manifest."""
    return _networks(_pipeline(folder))


def _networks(pipeline: dict[str, Any]) -> list[str]:
    named = pipeline.get("provenance", {}).get("model", [])
    return [named] if isinstance(named, str) else list(named)


def _pipeline(folder: Path) -> dict[str, Any]:
    path = folder / "pipeline.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
