"""Networks as others bring them: an ONNX file, an nnU-Net v2 folder, a MONAI bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import parser

from networks.bring.plain_unet import PlainUNet, Plan

SPLEEN = """
<ir_version: 8, opset_import: ["" : 17]>
spleen (float[batch, 1, x, y, z] image) => (float[batch, 3, x, y, z] logits)
<float tissue = {0.4}, float stone = {0.9}, float steep = {80.0}, float steeper = {400.0}>
{
  soft = Sub(image, tissue)
  organ = Mul(soft, steep)
  background = Neg(organ)
  dense = Sub(image, stone)
  lesion = Mul(dense, steeper)
  logits = Concat<axis = 1>(background, organ, lesion)
}
"""
"""Logits of background, of the spleen (from 0 HU on) and of a lesion (from 220 HU on)."""


def write_onnx_text(text: str, path: Path) -> Path:
    """Write a network of a few lines as an ONNX file."""
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


PLAN = Plan(
    channels=1, classes=3, features=(4, 8, 8), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), encoder_convs=(2, 2, 2), decoder_convs=(2, 2),
)  # fmt: skip

FORMS = ("architecture", "older")
"""Of plans.json: of nnU-Net from 2.5 on, and before."""


def write_nnunet(folder: Path, form: str = FORMS[0], **extra: Any) -> PlainUNet:
    """Write a folder as nnU-Net v2 leaves it, weights drawn from a seed; give its network."""
    torch.manual_seed(3)
    network = PlainUNet(PLAN).eval()
    shape = {
        "features_per_stage": list(PLAN.features), "kernel_sizes": PLAN.kernels,
        "strides": PLAN.strides, "n_conv_per_stage": list(PLAN.encoder_convs),
        "n_conv_per_stage_decoder": list(PLAN.decoder_convs),
    }  # fmt: skip
    if form == "architecture":
        name = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
        described: dict[str, Any] = {
            "architecture": {"network_class_name": name, "arch_kwargs": shape}
        }
    else:
        described = {
            "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4,
            "unet_max_num_features": 8, "conv_kernel_sizes": PLAN.kernels,
            "pool_op_kernel_sizes": PLAN.strides,
            "n_conv_per_stage_encoder": list(PLAN.encoder_convs),
            "n_conv_per_stage_decoder": list(PLAN.decoder_convs),
        }  # fmt: skip
    plans = {
        "configurations": {
            "3d_fullres": {
                "spacing": [3.0, 1.5, 1.5], "normalization_schemes": ["CTNormalization"],
                **described,
            }
        },
        "transpose_forward": [0, 1, 2],
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 80.0, "std": 40.0, "percentile_00_5": -160.0, "percentile_99_5": 240.0}
        },
    }  # fmt: skip
    dataset = {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "spleen": 1, "lesion": 2},
    }  # fmt: skip
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    weights = dict(network.state_dict())
    for key in list(weights):  # as nnU-Net stores what it registers twice
        if key.startswith("encoder."):
            weights[f"decoder.{key}"] = weights[key]
        weights[key.replace(".conv.", ".all_modules.0.")] = weights[key]
    kept = {
        "network_weights": weights, "trainer_name": "nnUNetTrainer", "current_epoch": 1000,
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25), np.int64(3)]},
        "_best_ema": np.float64(0.5), **extra,
    }  # fmt: skip
    torch.save(kept, folder / "fold_0" / "checkpoint_final.pth")
    return network


def write_bundle(folder: Path, network_def: Any = None, axes: str | None = "RAS") -> Path:
    """Write the descriptions of a MONAI bundle, without a network."""
    metadata = {
        "name": "Spleen CT", "version": "0.5.9",
        "network_data_format": {
            "inputs": {"image": {"num_channels": 1, "spatial_shape": ["*", "*", "*"]}},
            "outputs": {
                "pred": {"channel_def": {"0": "background", "1": "spleen", "2": "lesion"}}
            },
        },
    }  # fmt: skip
    transforms = [{"_target_": "LoadImaged", "keys": "image"}]
    if axes:
        transforms.append({"_target_": "Orientationd", "keys": "image", "axcodes": axes})
    inference = {
        "network_def": network_def or {"_target_": "monai.networks.nets.UNet"},
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
    }
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder
