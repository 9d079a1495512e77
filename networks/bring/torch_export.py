"""A module of PyTorch as ONNX, held to PyTorch's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from gateway.exceptions import NetworkRefusedError

AXES = {0: "n", 2: "d", 3: "h", 4: "w"}

MOST_ERROR = 1e-3
"""Largest ‖difference‖ ÷ ‖PyTorch's answer‖; both compute in fp32."""


def as_onnx(module: Any, channels: int, voxels: Sequence[int]) -> onnx.ModelProto:
    """Write a network of logits with free axes.

    Parameters
    ----------
    module : torch.nn.Module
        (N, channels, D, H, W) → logits (N, classes, D, H, W).
    channels : int
    voxels : three int
        Of the example that is followed through it; another size is compared.

    Raises
    ------
    NetworkRefusedError
        When it cannot be written, or what is written answers otherwise.
    """
    import torch

    from networks.export import open_session, write_onnx

    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            write_onnx(
                module,
                path,
                inputs={"volume": torch.zeros(1, channels, *voxels)},
                outputs=("logits",),
                dynamic={"volume": AXES, "logits": AXES},
            )
            generator = torch.Generator().manual_seed(0)
            volume = torch.rand(1, channels, *(2 * size for size in voxels), generator=generator)
            with torch.no_grad():
                expected = module.eval()(volume).numpy()
            (given,) = open_session(path).run(["logits"], {"volume": volume.numpy()})
        except Exception as error:  # the exporter's own are many, and so are the module's
            first = " ".join(str(error).split())[:200]
            raise NetworkRefusedError(f"The network cannot be written as ONNX: {first}") from None
        if given.shape != expected.shape:
            raise NetworkRefusedError("Written as ONNX, the network gives another shape.")
        error = float(np.linalg.norm(given - expected) / (np.linalg.norm(expected) or 1.0))
        if not error <= MOST_ERROR:
            raise NetworkRefusedError(
                f"Written as ONNX, the network answers otherwise than in PyTorch, by {error:.2g}."
            )
        return onnx.load(str(path))
