"""A MONAI bundle: configs/metadata.json, configs/inference.json and models/model.*."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx

from gateway.exceptions import NetworkCodeError, NetworkRefusedError
from networks.bring.brought import Brought
from networks.bring.checkpoint import need_torch, read_checkpoint
from networks.bring.folder import inside, read_json
from networks.bring.onnx_file import read_onnx
from networks.bring.torch_export import as_onnx

ONNX, WEIGHTS, SCRIPT = "models/model.onnx", "models/model.pt", "models/model.ts"

METADATA = "configs/metadata.json"

INFERENCE = ("configs/inference.json", "configs/train.json")

NETS = "monai.networks.nets"
"""Where a network_def may name a class, and nowhere else."""

PROBE_VOXELS = (32, 32, 32)
"""Divided by five halvings."""


def is_bundle(folder: Path) -> bool:
    """Tell whether it looks like one."""
    return (folder / METADATA).is_file()


def read_bundle(folder: Path, *, allow_code: bool) -> Brought:
    """Take its network: the ONNX file, else weights and a network of MONAI's, else TorchScript.

    Raises
    ------
    NetworkRefusedError
        When the folder lacks a file, or MONAI is needed and not installed.
    NetworkCodeError
        When only files are there that can run code, and `allow_code` is not set.
    """
    metadata = read_json(folder, METADATA)
    config: dict[str, Any] = {}
    for name in INFERENCE:
        if not config and (folder / name).is_file():
            config = read_json(folder, name)
    channels, labels = _format(metadata)
    if (folder / ONNX).exists():
        model, what = read_onnx(inside(folder, ONNX)), ONNX
    elif (folder / WEIGHTS).exists():
        model, what = _from_weights(folder, config, channels, allow_code=allow_code), WEIGHTS
    elif (folder / SCRIPT).exists():
        if not allow_code:
            raise NetworkCodeError(
                f"The bundle has its network as {SCRIPT} alone, which is a program; --allow-code"
                " takes it all the same, if you trust where it is from."
            )
        torch, path = need_torch(), str(inside(folder, SCRIPT))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and what bundles have
            module = torch.jit.load(path, map_location="cpu")
        model, what = as_onnx(module, channels, PROBE_VOXELS), SCRIPT
    else:
        raise NetworkRefusedError(f"{folder} has none of {ONNX}, {WEIGHTS} and {SCRIPT}.")
    axes = _axes(config)
    notes = [
        "Windows and spacing of the bundle's own transforms must be those of [recipe]; they are"
        " not compared."
    ]
    if axes is None:
        notes.append("The bundle does not say how its axes lie; slices, rows, columns are taken.")
    return Brought(
        model=model,
        source=f"the MONAI bundle {str(metadata.get('name', folder.name))[:80]}"
        f" {str(metadata.get('version', ''))[:20]}, {what}",
        labels=labels,
        axes=axes or "SPL",
        notes=notes,
    )


def _format(metadata: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """Give channels in and names of the classes, as ``network_data_format`` has them."""
    try:
        form = metadata["network_data_format"]
        image = form["inputs"]["image"]
        (output,) = form["outputs"].values()
        named = output.get("channel_def") or {}
        labels = tuple(str(named[str(index)]) for index in range(len(named)))
        return int(image["num_channels"]), labels
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NetworkRefusedError(
            f"{METADATA} has no network_data_format of one image and one prediction."
        ) from None


def _axes(config: Mapping[str, Any]) -> str | None:
    """Find the axis codes of ``Orientationd`` among the transforms."""
    for value in _walk(config):
        if str(value.get("_target_", "")).rpartition(".")[2] in ("Orientationd", "Orientation"):
            codes = str(value.get("axcodes", ""))
            if re.fullmatch("[LRAPSI]{3}", codes):
                return codes
            raise NetworkRefusedError(f"The bundle orients its images to {codes[:20]!r}.")
    return None


def _walk(value: Any) -> Any:
    if isinstance(value, Mapping):
        yield value
        for one in value.values():
            yield from _walk(one)
    elif isinstance(value, list):
        for one in value:
            yield from _walk(one)


def network_arguments(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read ``network_def`` as data: a class of MONAI's networks and plain arguments.

    Raises
    ------
    NetworkCodeError
        When it names anything else, or has an expression.
    """
    given = config.get("network_def", config.get("network"))
    if not isinstance(given, Mapping) or "_target_" not in given:
        raise NetworkRefusedError("The bundle's inference.json has no network_def with _target_.")
    target = str(given["_target_"])
    name = target.removeprefix(f"{NETS}.")
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]*", name):
        raise NetworkCodeError(f"network_def names {target[:100]!r}, which is no class of {NETS}.")
    arguments = {key: value for key, value in given.items() if not key.startswith("_")}
    for text in _texts(arguments):
        if text.startswith(("$", "@", "%")):
            raise NetworkCodeError(
                f"network_def has the expression {text[:60]!r}; only plain values are read."
            )
    return name, arguments


def _texts(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if str(key).startswith("_"):
                yield "$" + str(key)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _from_weights(
    folder: Path, config: Mapping[str, Any], channels: int, *, allow_code: bool
) -> onnx.ModelProto:
    name, arguments = network_arguments(config)
    kept = read_checkpoint(inside(folder, WEIGHTS), allow_code=allow_code)
    if isinstance(kept, Mapping) and isinstance(kept.get("model"), Mapping):
        kept = kept["model"]
    if not isinstance(kept, Mapping):
        raise NetworkRefusedError(f"{WEIGHTS} holds no weights by name.")
    try:
        kind = getattr(import_module(NETS), name)
    except (ImportError, AttributeError):
        raise NetworkRefusedError(
            f"Weights of {NETS}.{name} need MONAI, which is not installed here or does not have"
            f" it; export the bundle's network as {ONNX}."
        ) from None
    try:
        network = kind(**arguments)
        network.load_state_dict(dict(kept))
    except Exception as error:  # whatever a network says of wrong arguments or weights
        first = " ".join(str(error).split())[:200]
        raise NetworkRefusedError(f"{WEIGHTS} is not of {NETS}.{name}: {first}") from None
    return as_onnx(network, channels, PROBE_VOXELS)
