"""A decoded volume → network-ready tensors of anatomy and all CT checks, against MONAI.

Ours is what ``ct_preprocess`` runs (and ``ct_detect`` for the tiles that it cuts), one check after
another with all cores. The peer runs in its own environment (``make peer``), twice: `Spacing` of
the whole volume, `ScaleIntensityRange`, crop, as tutorials have it; and cropped first, as somebody
in a hurry would. Both get the same int16 volume in memory and the same regions.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtests.peer import PEER_PYTHON, Peer
from loadtests.planned import Asked, Planned, planned_study
from postprocess.search import start_search
from preprocess.posts import DetectionsPost
from preprocess.window import window

GOAL = 10.0
"""design.md, "How fast it must be"."""

SLICES = 300


def run(
    *, repeats: int = 3, slices: int = SLICES, peer_python: Path = PEER_PYTHON
) -> list[dict[str, Any]]:
    """Measure both sides in turn.

    Returns
    -------
    list of dict
        Against MONAI in the usual order, and against one that crops first. `parity` is told in
        shares of a window: each of our tensors against MONAI's resampling onto the same grid.
    """
    study = planned_study(slices=slices)
    ours: list[float] = []
    peer: dict[str, list[float]] = {"spacing_first": [], "crop_first": []}
    each: dict[str, list[float]] = {asked.manifest.name: [] for asked in study.asked}
    with tempfile.TemporaryDirectory(prefix="onescan-bench-") as scratch:
        write_job(Path(scratch), study)
        with Peer("loadtests.peers.monai_tensors", scratch, python=peer_python) as other:
            for turn in range(repeats + 1):
                taken = ours_once(study)
                answers = {order: other.ask({"order": order}) for order in peer}
                if turn:  # the first turn warms both
                    ours.append(sum(taken.values()))
                    for name, seconds in taken.items():
                        each[name].append(seconds)
                    for order, answer in answers.items():
                        peer[order].append(answer["seconds"])
            parity = other.ask({"order": "compare"})["differences"]
    mine = statistics.median(ours)
    common = {
        "ours": mine,
        "unit": "s",
        "shape": list(study.volume.shape),
        "checks": {name: round(statistics.median(taken), 4) for name, taken in each.items()},
        "skipped": dict(study.skipped),
        "parity": parity,
    }
    theirs = {order: statistics.median(taken) for order, taken in peer.items()}
    return [
        {
            "name": "tensors",
            "ratio": theirs["spacing_first"] / mine,
            "goal": GOAL,
            "peer": theirs["spacing_first"],
            **common,
        },
        {
            "name": "tensors-cropped",
            "ratio": theirs["crop_first"] / mine,
            "goal": None,
            "peer": theirs["crop_first"],
            **common,
        },
    ]


def ours_once(study: Planned) -> dict[str, float]:
    """Make every tensor once, and give the seconds by pipeline."""
    taken = {}
    for asked in study.asked:
        started = time.perf_counter()
        prepared = asked.prepared(study)
        post = asked.recipe.post
        if isinstance(post, DetectionsPost):
            assert prepared.grid_geometry is not None
            search = start_search(
                prepared.grid_hu,
                prepared.grid_geometry,
                study.organs,
                channels=asked.recipe.channels,
                post=post,
            )
            for part in search.tile_parts:
                search.tiles(part)
        taken[asked.manifest.name] = time.perf_counter() - started
    return taken


def write_job(folder: Path, study: Planned) -> None:
    """Write what the peer is given, and our tensors for the comparison."""
    np.save(folder / "volume.npy", study.volume)
    checks = []
    for asked in study.asked:
        name = asked.manifest.name
        tensor, affine = unpadded(asked, study)
        np.save(folder / f"{name}.npy", tensor)
        s0, s1, *rest = asked.roi
        checks.append(
            {
                "name": name,
                "roi": [s0 + asked.slab[0], s1 + asked.slab[0], *rest],
                "spacing_mm": list(asked.recipe.grid.spacing_mm),
                "windows": [list(channel.clip_hu or ()) for channel in asked.recipe.channels],
                "grid_affine": affine.tolist(),
            }
        )
    job = {"affine": study.affine.tolist(), "checks": checks}
    (folder / "job.json").write_text(json.dumps(job))


def unpadded(
    asked: Asked, study: Planned
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Give the windowed grid of a check without padding and tiles, and its geometry."""
    prepared = asked.prepared(study)
    assert prepared.grid_geometry is not None
    if prepared.volume is None:
        hu = np.asarray(prepared.grid_hu)
        out = np.empty((len(asked.recipe.channels), *hu.shape), np.float32)
        for index, channel in enumerate(asked.recipe.channels):
            low, high = channel.ends(hu)
            window(hu, low_hu=low, high_hu=high, out=out[index])
        return out, prepared.grid_geometry
    shape = _grid_shape(asked, study)
    d, h, w = shape
    return np.asarray(prepared.volume)[0, :, :d, :h, :w].copy(), prepared.grid_geometry


def _grid_shape(asked: Asked, study: Planned) -> Sequence[int]:
    from preprocess.grid import resampled_shape

    s0, s1, r0, r1, c0, c1 = asked.roi
    spacing = np.linalg.norm(study.affine[:3, :3], axis=0)
    return resampled_shape(
        (s1 - s0, r1 - r0, c1 - c0),
        spacing_mm=spacing.tolist(),
        target_spacing_mm=asked.recipe.grid.spacing_mm,
    )
