"""A checkpoint folder of nnU-Net v2: plans.json, dataset.json, fold_N/checkpoint_final.pth."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import onnx

from gateway.exceptions import NetworkRefusedError
from networks.bring.brought import Brought
from networks.bring.checkpoint import need_torch, read_checkpoint
from networks.bring.folder import inside, read_json
from networks.bring.torch_export import as_onnx

CONFIGURATIONS = ("3d_fullres", "3d_lowres")

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


def is_nnunet(folder: Path) -> bool:
    """Tell whether it looks like one."""
    return (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()


def read_nnunet(folder: Path, *, allow_code: bool) -> Brought:
    """Make an ONNX network of it, logits out.

    Only the plain U-Net is known here; no class is imported by a name that stands in a file.

    Raises
    ------
    NetworkRefusedError
        When the folder lacks a file, or its network is another one.
    NetworkCodeError
        When the checkpoint can run code and `allow_code` is not set.
    """
    need_torch()
    plans, dataset = read_json(folder, "plans.json"), read_json(folder, "dataset.json")
    name = _configuration(folder, plans)
    configuration = plans["configurations"][name]
    labels = _labels(dataset)
    fold, path = _checkpoint(folder)
    kept = read_checkpoint(path, allow_code=allow_code)
    if not isinstance(kept, Mapping) or not isinstance(kept.get("network_weights"), Mapping):
        raise NetworkRefusedError(f"{path.name} has no network_weights.")
    try:
        plan = _plan(configuration, len(dataset["channel_names"]), len(labels))
        clip, rescale = _intensities(configuration, plans)
        spacing = tuple(float(mm) for mm in configuration["spacing"])
        multiple = tuple(prod(stride[axis] for stride in plan.strides) for axis in range(3))
        forward = [int(axis) for axis in plans.get("transpose_forward", (0, 1, 2))]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NetworkRefusedError(
            f"plans.json of {folder} does not have the form of nnU-Net v2 ({error!r})."
        ) from None
    if forward != [0, 1, 2]:
        raise NetworkRefusedError(f"plans.json transposes the axes ({forward}), which is not read.")
    return Brought(
        model=_exported(plan, dict(kept["network_weights"]), path.name),
        source=f"an nnU-Net v2 checkpoint, {name}, {fold}/{path.name}",
        labels=labels,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        multiple=(multiple[0], multiple[1], multiple[2]),
        windows_hu=clip,
        rescale=rescale,
        notes=[
            "nnU-Net looks at patches and averages them; here its network sees the whole box at"
            " once. Judge it on your own cases.",
            "Its images must have been trained on with slices to superior, rows to posterior and"
            " columns to left, as DICOM has them; the folder does not say so.",
        ],
    )


def _configuration(folder: Path, plans: Mapping[str, Any]) -> str:
    known = plans.get("configurations")
    if not isinstance(known, Mapping):
        raise NetworkRefusedError("plans.json has no configurations.")
    named = folder.resolve().name.split("__")[-1]
    for name in (named, *CONFIGURATIONS):
        if name in known:
            if not str(name).startswith("3d"):
                break
            return str(name)
    raise NetworkRefusedError(f"{folder} has no 3D configuration.")


def _labels(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    given = dataset.get("labels")
    if not isinstance(given, Mapping) or not all(type(v) is int for v in given.values()):
        raise NetworkRefusedError("dataset.json has regions in place of labels, or no labels.")
    ordered = sorted(given, key=lambda label: int(given[label]))
    if [given[label] for label in ordered] != list(range(len(ordered))):
        raise NetworkRefusedError("The labels of dataset.json do not count from 0 on.")
    return tuple(str(label) for label in ordered)


def _checkpoint(folder: Path) -> tuple[str, Path]:
    folds = sorted(path.name for path in folder.glob("fold_*") if path.is_dir())
    for fold in folds:
        for name in CHECKPOINTS:
            if (folder / fold / name).exists():
                return fold, inside(folder, f"{fold}/{name}")
    raise NetworkRefusedError(f"{folder} has no fold with {' or '.join(CHECKPOINTS)}.")


def _plan(configuration: Mapping[str, Any], channels: int, classes: int) -> Any:
    from networks.bring.plain_unet import Plan

    if architecture := configuration.get("architecture"):
        name, shape = architecture["network_class_name"], architecture["arch_kwargs"]
        features, kernels = shape["features_per_stage"], shape["kernel_sizes"]
        strides, encoder = shape["strides"], shape.get("n_conv_per_stage")
        decoder = shape["n_conv_per_stage_decoder"]
    else:
        name, strides = configuration["UNet_class_name"], configuration["pool_op_kernel_sizes"]
        kernels, encoder = (
            configuration["conv_kernel_sizes"],
            configuration["n_conv_per_stage_encoder"],
        )
        decoder = configuration["n_conv_per_stage_decoder"]
        base, most = (
            configuration["UNet_base_num_features"],
            configuration["unet_max_num_features"],
        )
        features = [min(base * 2**stage, most) for stage in range(len(strides))]
    if str(name).rpartition(".")[2] != "PlainConvUNet":
        raise NetworkRefusedError(
            f"Its network is {str(name)[:100]!r}; of nnU-Net's only PlainConvUNet is known here."
            " Export another one as ONNX."
        )
    stages = len(features)
    if not (len(kernels) == len(strides) == stages and 2 <= stages <= 8):
        raise ValueError("stages")
    return Plan(
        channels=channels,
        classes=classes,
        features=[int(n) for n in features],
        kernels=[tuple(int(n) for n in kernel) for kernel in kernels],
        strides=[tuple(int(n) for n in stride) for stride in strides],
        encoder_convs=_each(encoder, stages),
        decoder_convs=_each(decoder, stages - 1),
    )


def _each(value: Any, count: int) -> list[int]:
    return [int(value)] * count if isinstance(value, int) else [int(n) for n in value]


def _intensities(
    configuration: Mapping[str, Any], plans: Mapping[str, Any]
) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Give what nnU-Net clips HU to, and what makes its z-scores of our 0 … 1."""
    schemes = configuration["normalization_schemes"]
    if set(schemes) != {"CTNormalization"}:
        raise NetworkRefusedError(f"Its images are normalised by {schemes}, not as CT.")
    clip, rescale = [], []
    for index in range(len(schemes)):
        known = plans["foreground_intensity_properties_per_channel"][str(index)]
        low, high = float(known["percentile_00_5"]), float(known["percentile_99_5"])
        sd = max(float(known["std"]), 1e-8)
        clip.append((low, high))
        rescale.append(((high - low) / sd, (low - float(known["mean"])) / sd))
    return tuple(clip), tuple(rescale)


def _exported(plan: Any, weights: dict[str, Any], name: str) -> onnx.ModelProto:
    from networks.bring.plain_unet import PlainUNet, own_names

    network = PlainUNet(plan)
    bare = {key.removeprefix("module.").removeprefix("_orig_mod."): v for key, v in weights.items()}
    try:
        network.load_state_dict(own_names(bare))
    except (RuntimeError, TypeError, AttributeError) as error:
        first = " ".join(str(error).split())[:200]
        raise NetworkRefusedError(
            f"The weights of {name} are of another network: {first}"
        ) from None
    size = [2 * prod(stride[axis] for stride in plan.strides) for axis in range(3)]
    return as_onnx(network, plan.channels, size)
