"""A checkpoint of PyTorch, read as tensors: a pickle can run whatever it likes, these cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.exceptions import NetworkCodeError, NetworkRefusedError


def need_torch() -> Any:
    """Import PyTorch.

    Raises
    ------
    NetworkRefusedError
        When it is not installed.
    """
    try:
        import torch
    except ImportError:
        raise NetworkRefusedError(
            "Checkpoints of PyTorch need PyTorch, which is not installed here: pip install"
            " onescan[train], or bring the network as an ONNX file."
        ) from None
    return torch


def read_checkpoint(path: Path, *, allow_code: bool) -> Any:
    """Read a checkpoint onto the CPU.

    Numbers of NumPy, which training tools write beside the weights, are data too.

    Raises
    ------
    NetworkCodeError
        When it holds anything but tensors, numbers, texts and containers.
    """
    torch = need_torch()
    if allow_code:
        return torch.load(path, map_location="cpu", weights_only=False)
    try:
        with torch.serialization.safe_globals(_numbers()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises pickle's errors, its own and whatever a damaged zip gives
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise NetworkCodeError(
                f"{path.name} holds objects that run code when they are loaded; --allow-code loads"
                " it all the same, if you trust where it is from."
            ) from None
        raise NetworkRefusedError(
            f"{path.name} is not a checkpoint of PyTorch: {type(error).__name__}."
        ) from None


def _numbers() -> list[Any]:
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    kinds = {
        type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)
    }
    return [scalar, np.dtype, *kinds]
