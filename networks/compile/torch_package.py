"""Open a package of PyTorch; lies beside ``model.py`` in Triton's repository too.

Standard library and PyTorch only, and torch-tensorrt where a package holds its engines.
"""

from __future__ import annotations

import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

Run = Callable[..., Sequence[Any]]
"""Tensors in → tensors out, on the package's device."""

COMPILED = "aotinductor"
"""Part of the names in a package that was compiled ahead of time."""

ENGINE = b"torch.ops.tensorrt."
"""What an exported program calls that has parts in TensorRT."""

MOST_GRAPHS = 8
"""Shapes whose launches are kept: each holds its tensors on the GPU."""


def is_compiled(path: Path) -> bool:
    """Tell whether a package was compiled ahead of time; else it is an exported program."""
    with zipfile.ZipFile(path) as package:
        return any(COMPILED in name for name in package.namelist())


def holds_engines(path: Path) -> bool:
    """Tell whether parts of an exported program are TensorRT's, which torch-tensorrt runs."""
    with zipfile.ZipFile(path) as package:
        programs = [name for name in package.namelist() if name.endswith(".json")]
        return any(ENGINE in package.read(name) for name in programs)


def load_package(path: Path, device: str) -> Run:
    """Load a package onto a device, such as ``cpu`` and ``cuda:0``."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, on what it finds in itself
        if is_compiled(path):
            number = torch.device(device).index or 0
            run: Run = torch._inductor.aoti_load_package(
                str(path), device_index=-1 if device == "cpu" else number
            )
            return run
        if holds_engines(path):
            import_module("torch_tensorrt")  # registers its operators
        return torch.export.load(path).module().to(device)


class Graphs:
    """Launch all kernels of a network at once, by a CUDA graph for each shape.

    Parameters
    ----------
    run : callable
        Of `load_package`, on a GPU.
    most : int
        Shapes that are kept; the least recently used goes.
    """

    def __init__(self, run: Run, most: int = MOST_GRAPHS) -> None:
        self._run, self._most = run, most
        self._kept: OrderedDict[tuple[Any, ...], tuple[Any, Sequence[Any], Sequence[Any]]] = (
            OrderedDict()
        )

    def __call__(self, *inputs: Any) -> Sequence[Any]:
        """Run on copies of the inputs; the outputs are copies too."""
        key = tuple((tuple(one.shape), one.dtype) for one in inputs)
        if key not in self._kept:
            self._kept[key] = self._captured(inputs)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        graph, places, outputs = self._kept[key]
        for place, one in zip(places, inputs):
            place.copy_(one)
        graph.replay()
        return [one.clone() for one in outputs]

    def _captured(self, inputs: Sequence[Any]) -> tuple[Any, Sequence[Any], Sequence[Any]]:
        import torch

        places = [one.clone() for one in inputs]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # kernels are chosen and memory is taken before it counts
            for _ in range(3):
                self._run(*places)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self._run(*places)
        return graph, places, outputs
