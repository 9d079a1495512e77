"""Export a trained network: ``python -m networks.export CHECKPOINT MODEL.onnx``.

Or one that was never trained: ``python -m networks.export CHECK MODEL.onnx --random --size full``.

A file takes the windows of the manifest's recipe and gives one byte a voxel and a few scores, so
that the server moves no floats of every class. Each is held to torch's own answers.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.sizes import SIZES, SMALL
from networks.unet import UNet

if TYPE_CHECKING:
    import onnxruntime

OPSET = 17

LEAST_AGREEMENT = 0.999
"""Share of voxels on which the exported file must give torch's label."""


class ParityError(ValueError):
    """An exported file answers otherwise than torch."""


class Labeller(nn.Module):
    """A U-Net followed by the choice of the likeliest class."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, 2, D, H, W) float windows to (N, D, H, W) uint8 labels."""
        return self.network(volume).argmax(1).to(torch.uint8)


def export_network(network: UNet, path: Path) -> None:
    """Write a labelling network as ONNX with dynamic batch and grid.

    Parameters
    ----------
    network : UNet
        In evaluation mode.
    path : Path
        The file; its folder is made.

    Raises
    ------
    onnx.checker.ValidationError
        When the file is not valid ONNX.
    """
    grid = {0: "n", 2: "d", 3: "h", 4: "w"}
    write_onnx(
        Labeller(network),
        path,
        inputs={"volume": torch.zeros(1, 2, 32, 48, 64)},
        outputs=("labels",),
        dynamic={"volume": grid, "labels": {0: "n", 1: "d", 2: "h", 3: "w"}},
    )


def write_onnx(
    module: nn.Module,
    path: Path,
    *,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Write a module as ONNX, opset 17.

    Parameters
    ----------
    module : Module
        Takes the inputs in order and returns the outputs in order.
    path : Path
        The file; its folder is made.
    inputs : mapping
        Name → example tensor.
    outputs : sequence of str
    dynamic : mapping
        Tensor name → axis → name of its size.

    Raises
    ------
    onnx.checker.ValidationError
        When the file is not valid ONNX.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # the tracing exporter is deprecated; the other one needs onnxscript
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(axes) for name, axes in dynamic.items()},
            dynamo=False,
        )
    onnx.checker.check_model(str(path), full_check=True)


def open_session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    """Open an exported file on the CPU."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at its import; else it reports to its maker
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def smooth_volume(seed: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Draw a smooth (1, 2, D, H, W) volume in [0, 1] to compare runtimes on."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 2, *(size // 8 for size in shape)), np.float32))
    fine = nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)
    return fine.numpy()


def agreement(network: UNet, path: Path, shape: tuple[int, int, int] = (64, 80, 96)) -> float:
    """Share of voxels to which the file gives the label that torch gives."""
    volume = smooth_volume(0, shape)
    with torch.no_grad():
        ours = Labeller(network)(torch.from_numpy(volume)).numpy()
    theirs = open_session(path).run(["labels"], {"volume": volume})[0]
    return float((ours == theirs).mean())


def main(arguments: list[str] | None = None) -> None:
    """Export from the command line; fail when the file disagrees with torch."""
    from networks.engine import averaged, read_checkpoint
    from networks.tasks import task_class, task_of

    parser = argparse.ArgumentParser(prog="python -m networks.export", description=__doc__)
    parser.add_argument("checkpoint", help="file of a training; with --random a check")
    parser.add_argument("model", type=Path)
    parser.add_argument(
        "--random", action="store_true", help="draw the weights: for load and speed alone"
    )
    parser.add_argument("--size", choices=SIZES, default=SMALL, help="of a random network")
    parser.add_argument("--seed", type=int, default=0, help="of random weights")
    given = parser.parse_args(arguments)
    if given.random:
        _export_random(given.checkpoint, given.size, given.seed, given.model)
        return
    if given.size != SMALL:
        parser.error("--size is that of the training; another one is given with --random only")
    given.checkpoint = Path(given.checkpoint)
    plan = read_checkpoint(given.checkpoint)["plan"]
    task = task_of(plan, pool=task_class(plan["check"]).default_pool())
    try:
        task.export(averaged(task, given.checkpoint), given.model)
    except ParityError as error:
        raise SystemExit(f"{given.model}: {error}") from None
    print(
        f"{given.model}: {task.name}, {given.model.stat().st_size / 1e6:.1f} MB, as torch answers"
    )


def _export_random(check: str, size: str, seed: int, path: Path) -> None:
    from networks.random_weights import drawn_network, export_drawn

    try:
        task, network = drawn_network(check, size, seed)
        export_drawn(task, network, path)
    except ValueError as error:
        raise SystemExit(f"{path}: {error}") from None
    count = sum(x.numel() for x in network.parameters())
    print(
        f"{path}: {check} {size}, {count:,} parameters, random weights: load and speed only, as"
        " torch answers"
    )


if __name__ == "__main__":
    main()
