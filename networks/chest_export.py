"""Write the chest's network as ONNX, and hold the file to torch's answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from torch import Tensor

from networks.export import ParityError, open_session, write_onnx
from networks.nets.chest_net import NEIGHBOURS, ChestFile, ChestNet
from networks.nets.tile_encoder import EMBEDDED
from networks.phantoms.chest_labels import LABEL_NAMES

INPUTS = ("volume", "bank", "bank_labels")

TOLERANCE = 2e-3
"""Largest difference of a probability, of log odds and of a part of a vector."""

SHAPES = ((2, 1, 48, 64, 80), (1, 1, 112, 112, 96))
"""Boxes with fewer tiles than are kept, and with more."""


def encoder_digest(network: ChestNet) -> str:
    """Return the SHA-256 of what an embedding depends on: the tile encoder and the survey."""
    text = hashlib.sha256()
    for module in (network.surveyor, network.encoder):
        for name, value in sorted(module.state_dict().items()):
            array = value.detach().cpu().numpy()
            text.update(f"{name}{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return text.hexdigest()


def export_chest(network: ChestNet, path: Path) -> None:
    """Write the network with dynamic batch, box and bank.

    The file's metadata has the digest of the encoder, which a bank must name as well.

    Raises
    ------
    networks.export.ParityError
        When the file answers otherwise than torch.
    """
    file = ChestFile(network).eval()
    write_onnx(
        file,
        path,
        inputs=dict(zip(INPUTS, given((1, 1, 32, 48, 64), 24), strict=True)),
        outputs=ChestFile.OUTPUTS,
        dynamic={
            "volume": {0: "n", 2: "d", 3: "h", 4: "w"},
            "bank": {0: "b"},
            "bank_labels": {0: "b"},
            **{name: {0: "n"} for name in ChestFile.OUTPUTS},
        },
    )
    written = onnx.load(str(path))
    onnx.helper.set_model_props(
        written, {"encoder": encoder_digest(network), "labels": ",".join(LABEL_NAMES)}
    )
    onnx.save(written, str(path))
    for shape in SHAPES:
        hold_to_torch(file, path, shape)


def given(shape: tuple[int, ...], tiles: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a smooth volume, and a bank of some tiles."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], *(size // 8 for size in shape[2:]), generator=rng)
    volume = functional.interpolate(coarse, size=shape[2:], mode="trilinear", align_corners=False)
    vectors = functional.normalize(torch.randn(tiles, EMBEDDED, generator=rng), dim=1)
    labels = torch.rand(tiles, len(LABEL_NAMES), generator=rng) < 0.05
    return volume, vectors.half(), labels.to(torch.uint8)


def hold_to_torch(file: ChestFile, path: Path, shape: tuple[int, ...]) -> None:
    """Compare a file with torch on one volume.

    Tiles of one worth may come in another order; what is told of each tile is compared by tile,
    and at the end of what is kept a few may be others.
    """
    inputs = given(shape, 10 * NEIGHBOURS, seed=1)
    with torch.no_grad():
        ours = dict(zip(ChestFile.OUTPUTS, (x.numpy() for x in file(*inputs)), strict=True))
    feed = {name: x.numpy() for name, x in zip(INPUTS, inputs, strict=True)}
    theirs = dict(
        zip(ChestFile.OUTPUTS, open_session(path).run(list(ChestFile.OUTPUTS), feed), strict=True)
    )
    for name, mine in ours.items():
        other = theirs[name]
        if mine.dtype != other.dtype or mine.shape != other.shape:
            raise ParityError(f"{name} is {other.dtype} {other.shape}")
        if mine.dtype == np.float32 and name != "embedded":
            apart = float(np.abs(mine - other).max())
            if not apart <= TOLERANCE:
                raise ParityError(f"{name} differs by {apart:.4f}")
    for n, (mine, other) in enumerate(zip(ours["kept"], theirs["kept"], strict=True)):
        there = ours["worth"][n] > 0
        both, first, second = np.intersect1d(mine[there], other, return_indices=True)
        if len(both) < 0.98 * there.sum():
            raise ParityError(f"kept has only {len(both)} of {there.sum()} tiles")
        rows = np.flatnonzero(there)[first]
        apart = float(np.abs(ours["embedded"][n][rows] - theirs["embedded"][n][second]).max())
        if not apart <= TOLERANCE:
            raise ParityError(f"embedded differs by {apart:.4f}")
