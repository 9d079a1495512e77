"""Every network call of one study as served on this CPU, against plain ONNX Runtime.

Ours is the engine of the embedded server's backend with what ``config.pbtxt`` names (OpenVINO, in
bf16 where the processor has it and parity holds); the peer is ONNX Runtime on the same files, the
same inputs and as many threads. Inputs are those of a phantom study: regions and tiles as planned.
A network whose own outputs leave the bounds of parity on them misses the goal, however quick it is.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.runtime.backends.onnxruntime import engine
from gateway.triton.repository import read_config
from loadtests.kept import has_amx
from loadtests.planned import REPOSITORY, Asked, Planned, planned_study
from postprocess.search import start_search
from preprocess.bank import Banks
from preprocess.chest_post import ChestPost
from preprocess.posts import DetectionsPost
from preprocess.tokens import report_tokens

GOAL_WITH_AMX = 3.0
GOAL_WITHOUT = 1.8
"""design.md, "How fast it must be"."""

SLICES = 300

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sides:
    """One network, loaded both ways."""

    ours: engine.Engine
    peer: engine.Engine

    @classmethod
    def load(cls, network: str) -> Sides:
        """Load it as its configuration says, and in ONNX Runtime; all cores each."""
        config = read_config(REPOSITORY / network / "config.pbtxt")
        accelerators = config.optimization.execution_accelerators.cpu_execution_accelerator
        path = REPOSITORY / network / "1" / "model.onnx"
        return cls(
            ours=engine.load(path, openvino=any(one.name == "openvino" for one in accelerators)),
            peer=engine.load(path, openvino=False),
        )


@dataclass
class Figures:
    """What was measured of one network."""

    calls: int
    description: str
    ours: list[float]
    peer: list[float]
    holds: bool
    parity: str

    def to_json(self) -> dict[str, Any]:
        """Give medians of seconds a study, and the ratio."""
        ours, peer = statistics.median(self.ours), statistics.median(self.peer)
        return {
            "calls": self.calls,
            "ours": round(ours, 4),
            "peer": round(peer, 4),
            "ratio": round(peer / ours, 2),
            "runs_in": self.description,
            "parity_holds": self.holds,
            "parity": self.parity,
        }


def run(*, repeats: int = 3, slices: int = SLICES) -> dict[str, Any]:
    """Measure both sides of each network in turn.

    Returns
    -------
    dict
        ``name, ratio, goal, ours, peer, unit, met``: seconds of all calls of a study, and
        `networks`: the same for each.
    """
    study = planned_study(slices=slices)
    figures: dict[str, Figures] = {}
    for asked in study.asked:
        for network, calls in network_calls(asked, study).items():
            figures[network] = measure(network, calls, repeats)
    told = {network: one.to_json() for network, one in figures.items()}
    return {**summed(told), "slices": slices, "skipped": dict(study.skipped), "networks": told}


def summed(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Add the networks up to one result."""
    ours = sum(one["ours"] for one in networks.values())
    peer = sum(one["peer"] for one in networks.values())
    goal = GOAL_WITH_AMX if has_amx() else GOAL_WITHOUT
    holds = all(one["parity_holds"] for one in networks.values())
    return {
        "name": "inference",
        "ratio": peer / ours,
        "goal": goal,
        "ours": ours,
        "peer": peer,
        "unit": "s",
        "met": holds and peer / ours >= goal,
        "parity_holds": holds,
    }


def measure(network: str, calls: Sequence[Arrays], repeats: int) -> Figures:
    """Run all calls of a study in both runtimes in turn, after one turn that compares them."""
    sides = Sides.load(network)
    served = {one.name for one in read_config(REPOSITORY / network / "config.pbtxt").output}
    holds, said = True, ""
    for inputs in calls:
        expected = {n: array for n, array in sides.peer.run(inputs).items() if n in served}
        one_holds, measured = engine.parity(expected, sides.ours.run(inputs))
        if not said or (holds and not one_holds):
            said = measured
        holds &= one_holds
    ours, peer = [], []
    for _ in range(repeats):
        ours.append(_seconds(sides.ours, calls))
        peer.append(_seconds(sides.peer, calls))
    return Figures(len(calls), sides.ours.description, ours, peer, bool(holds), said)


def network_calls(asked: Asked, study: Planned) -> dict[str, list[Arrays]]:
    """Give by network the inputs that one study brings to a pipeline's networks."""
    post = asked.recipe.post
    if isinstance(post, DetectionsPost):
        return _search_calls(asked, study, post)
    config = read_config(REPOSITORY / str(asked.manifest.ensemble) / "config.pbtxt")
    [step] = [
        step
        for step in config.ensemble_scheduling.step
        if read_config(REPOSITORY / step.model_name / "config.pbtxt").backend == "onnxruntime"
    ]
    made: Arrays = {"volume": np.asarray(asked.prepared(study).volume)}
    if "clinical" in step.input_map:
        made["clinical"] = np.full((1, len(asked.manifest.clinical)), np.nan, np.float32)
    if "tokens" in step.input_map:
        made["tokens"] = report_tokens(b"")
    if isinstance(post, ChestPost):
        bank = Banks(REPOSITORY, None).get(post.bank, post.labels)
        made |= {"bank": bank.embedded, "bank_labels": bank.labels}
    return {step.model_name: [{name: made[name] for name in step.input_map}]}


def _search_calls(asked: Asked, study: Planned, post: DetectionsPost) -> dict[str, list[Arrays]]:
    """Give the detector's chunks of tiles, and the classifier's crops of what that marks."""
    prepared = asked.prepared(study)
    assert prepared.grid_geometry is not None
    search = start_search(
        prepared.grid_hu,
        prepared.grid_geometry,
        study.organs,
        channels=asked.recipe.channels,
        post=post,
    )
    tiles = [{"volume": np.asarray(search.tiles(part))} for part in search.tile_parts]
    detector = Sides.load(post.detector).ours
    peaks = search.candidates([detector.run(one)["peaks"] for one in tiles])
    crops = [{"crops": np.asarray(search.crops(peaks, part))} for part in search.crop_parts(peaks)]
    calls = {post.detector: tiles}
    return calls | {post.classifier: crops} if crops else calls


def _seconds(side: engine.Engine, calls: Sequence[Arrays]) -> float:
    started = time.perf_counter()
    for inputs in calls:
        side.run(inputs)
    return time.perf_counter() - started
