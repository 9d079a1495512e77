"""The model repository of a run: the shipped one, with a preprocessing that poison kills."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx

from gateway.settings import ROOT

SERVED = ("anatomy", "anatomy_net", "ct_preprocess", "ct_postprocess", "liver", "liver_net")
"""Enough for the check ``liver``: a run is about what fails around the networks."""

CHECK = "liver"

BLOCK_BYTES = 64 * 1024
"""Of weights that are turned over."""

POISON_HU = 3000
"""A study is poison when the first voxel of every slice is at least as dense; there is air else."""

POISONED = f'''

_unharmed_slab = _slab


def _slab(*given: Any) -> Any:
    """Map the slab, and die of poison as a network with a hole would: Triton with us."""
    import signal

    slab = _unharmed_slab(*given)
    if (slab[:, 0, 0] >= {POISON_HU}).all():
        os.kill(os.getppid(), signal.SIGKILL)
    return slab
'''


def make_repository(folder: Path) -> Path:
    """Copy what is served; what was there is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SERVED:
        shutil.copytree(ROOT / "model_repository" / name, folder / name, ignore=ignored)
    model = folder / "ct_preprocess" / "1" / "model.py"
    model.write_text(model.read_text(encoding="utf-8") + POISONED, encoding="utf-8")
    return folder


def corrupt(file: Path) -> bytes:
    """Turn over a quarter of a file in its middle, as a bad block does; gives what it was."""
    kept = file.read_bytes()
    quarter = len(kept) // 4
    bad = bytes(byte ^ 0xFF for byte in kept[quarter : 2 * quarter])
    _replace(file, kept[:quarter] + bad + kept[2 * quarter :])
    return kept


def corrupt_weights(file: Path) -> bytes:
    """Turn over a block in the middle of the largest tensor: it still loads; gives what it was."""
    kept = file.read_bytes()
    tensors = onnx.load_from_string(kept).graph.initializer
    largest = max((bytes(tensor.raw_data) for tensor in tensors), key=len)
    middle = kept.index(largest) + len(largest) // 2
    block = kept[middle : middle + BLOCK_BYTES]
    bad = bytes(byte ^ 0x20 for byte in block)
    _replace(file, kept[:middle] + bad + kept[middle + len(block) :])
    return kept


def repair(file: Path, kept: bytes) -> None:
    """Put back what `corrupt` gave."""
    _replace(file, kept)


def _replace(file: Path, data: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(data)
    os.replace(new, file)
