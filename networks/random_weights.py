"""Networks whose weights were drawn and never trained: ``python -m networks.random_weights DIR``.

They exist for load and speed, in any size, and are never committed. Each file says so of itself
(`gateway.triton.onnx_labels`), and no check whose network or anatomy says so is evaluated: they are
asked by Triton's own clients alone.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from gateway.triton.onnx_labels import RANDOM, WEIGHTS
from networks.evaluate import REPOSITORY
from networks.export import ParityError
from networks.sizes import FULL, SIZES
from networks.tasks import task_class, trainable
from networks.tasks.task import Task

CARD = """# {name}

Random weights: load and speed only. Nothing was trained, and no check that depends on this network
is evaluated: it is `not_evaluated: random_weights`.

{title}

Size {size}, {parameters:,} parameters, {bytes:,} bytes of ONNX, seed {seed}.

Written by `python -m networks.random_weights DIR --size {size} --checks {check} --seed {seed}`.
"""

SECOND = "_crops"
"""Ending of the file that a detector's classifier is exported to; it is a model of its own."""


def drawn_network(check: str, size: str, seed: int = 0) -> tuple[Task, nn.Module]:
    """Build the network of a check with weights drawn from a seed, for evaluation.

    Raises
    ------
    ValueError
        When there is no such network or size.
    """
    if size not in SIZES:
        raise ValueError(f"no size {size!r}; there are {', '.join(SIZES)}")
    found = task_class(check)
    task = found(found.default_pool(), size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task, task.network().eval()


def export_drawn(task: Task, network: nn.Module, path: Path) -> list[Path]:
    """Write a drawn network, labelled so; a detector's classifier lies beside it.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    networks.export.ParityError
        When a file answers otherwise than torch.
    """
    task.export(network, path)
    second = path.with_name(f"{path.stem}{SECOND}{path.suffix}")
    files = [path, *([second] if second.exists() else [])]
    for file in files:
        label_random(file)
    return files


def label_random(path: Path) -> None:
    """Write into an ONNX file that its weights are random; what else it says stays."""
    model = onnx.load(str(path))
    told = {one.key: one.value for one in model.metadata_props} | {WEIGHTS: RANDOM}
    onnx.helper.set_model_props(model, told)
    onnx.save(model, str(path))


def write_repository(
    output: Path,
    *,
    size: str = FULL,
    checks: Collection[str] | None = None,
    seed: int = 0,
    source: Path = REPOSITORY,
) -> list[dict[str, Any]]:
    """Copy a model repository, its networks replaced by drawn ones.

    Parameters
    ----------
    output : Path
        Made; what is there already is never written over.
    checks : collection of str, optional
        Whose networks are replaced; all when absent. The others are left out.

    Returns
    -------
    list of dict
        Of each network: its name, parameters and bytes.
    """
    if output.exists() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty")
    left_out = shutil.ignore_patterns("__pycache__", "model.onnx", "figures.json", "README.md")
    shutil.copytree(source, output, ignore=left_out, dirs_exist_ok=True)
    rows = []
    for check in checks or trainable():
        task, network = drawn_network(check, size, seed)
        path = output / f"{check}_net/1/model.onnx"
        for file in export_drawn(task, network, path):
            name = f"{check}_net"
            if file != path:
                name = f"{check}{SECOND}"
                path.parents[2].joinpath(name, "1").mkdir(parents=True, exist_ok=True)
                file = file.replace(path.parents[2] / name / "1" / "model.onnx")
            count = sum(_size(one) for one in onnx.load(str(file)).graph.initializer)
            row = {"network": name, "parameters": count, "bytes": file.stat().st_size}
            title = (type(task).__doc__ or "").strip().splitlines()[0]
            (output / name / "README.md").write_text(
                CARD.format(name=name, title=title, size=size, seed=seed, check=check,
                            parameters=count, bytes=row["bytes"]),
                encoding="utf-8",
            )  # fmt: skip
            rows.append(row)
    return rows


def _size(tensor: Any) -> int:
    """Count the numbers of a weight; a shape or an index is none."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    return int(torch.Size(tensor.dims).numel()) if tensor.data_type in floats else 0


def main(arguments: list[str] | None = None) -> None:
    """Write a repository from the command line."""
    parser = argparse.ArgumentParser(prog="python -m networks.random_weights", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", choices=SIZES, default=FULL)
    parser.add_argument("--checks", default="", help="separated by commas; all by default")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    checks = [name.strip() for name in given.checks.split(",") if name.strip()] or None
    try:
        rows = write_repository(given.output, size=given.size, checks=checks, seed=given.seed)
    except (ParityError, ValueError) as error:
        raise SystemExit(str(error)) from None
    for row in rows:
        print(f"{row['network']}: {row['parameters'] / 1e6:.2f} M, {row['bytes'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
