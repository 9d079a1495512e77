"""Compile what a pool's checks need, and write the repository that its Triton serves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from gateway.exceptions import ParityFailedError, UsageError
from gateway.runtime.triton_command import served_models
from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.triton.repository import model_digest, networks_of, read_config
from networks.compile.builder import Builder, UnsupportedNetworkError
from networks.compile.cache import TOLD, Cache, Entry, check_engine
from networks.compile.config import arrays_config
from networks.compile.halves import halved
from networks.compile.key import Key
from networks.compile.lock import one_at_a_time
from networks.compile.parity import compare
from networks.compile.profile import PRECISIONS, Profile, profile_of
from networks.compile.repository import Change, check_places, write_repository

MOST_BATCH = 1024

ARRAYS = ("cpu", "gpu")

ARRAY_MODELS = ("ct_preprocess", "ct_detect", "ct_postprocess")
"""Whose code runs on NumPy and on CuPy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked for."""

    source: Path
    cache: Path
    output: Path
    precision: str = "fp16"
    max_batch: int = 8
    checks: Collection[str] | None = None
    """Only the networks of these and the anatomy's; None is all."""

    arrays: str = "cpu"
    """One of `ARRAYS`: where preprocessing and postprocessing keep volumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that is to be compiled."""

    name: str
    model: Path
    config: Any
    profile: Profile

    def in_precision(self, precision: str) -> Profile:
        """Give its profile in another precision."""
        return Profile(self.profile.shapes, precision, self.profile.max_batch)


def networks(job: Job) -> list[Network]:
    """List the networks of a job, with what each is compiled for.

    Raises
    ------
    UsageError
        For a precision, batch or check that is not known.
    """
    if job.precision not in PRECISIONS:
        raise UsageError(f"--precision {job.precision!r} is not one of {', '.join(PRECISIONS)}.")
    if not 1 <= job.max_batch <= MOST_BATCH:
        raise UsageError(f"--max-batch must be 1 to {MOST_BATCH}, not {job.max_batch}.")
    check_places(job.source, job.output)
    manifests = load_manifests(job.source)
    unknown = sorted(set(job.checks or ()) - {n for n, m in manifests.items() if m.is_check})
    if unknown:
        raise UsageError(f"ONESCAN_WORKER__CHECKS holds {unknown[0]!r}, which is no check here.")
    asked_by = _asked_by(job.source, manifests)
    found = []
    for name in served_models(job.source, job.checks):
        folder = job.source / name
        if not (folder / "config.pbtxt").is_file():
            continue
        config = read_config(folder / "config.pbtxt")
        models = sorted(folder.glob("[1-9]*/model.onnx"), key=lambda path: int(path.parent.name))
        made = config.backend == "tensorrt" or (folder / TOLD).is_file()
        if not (config.backend == "onnxruntime" or made) or not models:
            continue
        profile = profile_of(
            config, asked_by.get(name), precision=job.precision, max_batch=job.max_batch
        )
        found.append(Network(name=name, model=models[-1], config=config, profile=profile))
    return found


def compile_repository(
    job: Job, builder: Builder, *, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Compile the networks that the cache lacks, and write the repository.

    Nothing of the output is changed before every engine has proved itself.

    Parameters
    ----------
    job : Job
    builder : Builder
        Of the machine that will serve.
    tell : callable
        Takes a line on what goes on.

    Returns
    -------
    dict
        The report: machine, and of each network its outcome, precision, parity and seconds.

    Raises
    ------
    ParityFailedError
        When a network answers otherwise than ONNX Runtime even in fp32; engines and output are
        as they were.
    OtherEngineError
        When the source or the cache holds an engine of another machine under this one's name.
    """
    cache = Cache(job.cache)
    changes: dict[str, Change] = {}
    rows = []
    for network in networks(job):
        started = time.monotonic()
        if network.config.backend != "onnxruntime":
            _check_made(network, builder)
            rows.append({"network": network.name, "outcome": "kept"})
            continue
        row, change = _one(network, builder, cache, tell)
        changes[network.name] = change
        rows.append(
            {"network": network.name, **row, "seconds": round(time.monotonic() - started, 3)}
        )
        tell(f"{network.name}: {_said(rows[-1])}")
    if job.arrays == "gpu":
        for name in ARRAY_MODELS:
            path = job.source / name / "config.pbtxt"
            if path.is_file():
                changes[name] = Change(arrays_config(read_config(path)))
    report = {"machine": builder.machine.told(), "networks": rows, "arrays": job.arrays}
    write_repository(job.source, job.output, changes, report, tell=tell)
    return report


def plan(job: Job, builder: Builder | None) -> dict[str, Any]:
    """Say what would be compiled; without a machine the engines have no names yet."""
    cache = job.cache
    rows = []
    for network in networks(job):
        row: dict[str, Any] = {"network": network.name, **network.profile.told()}
        if builder is not None:
            key = Key(builder.machine, model_digest(network.model), network.profile)
            found = Cache(cache).find(key) if cache.is_dir() else None
            row |= {"digest": key.digest(), "cached": found is not None}
        rows.append(row)
    machine = None if builder is None else builder.machine.told()
    return {"machine": machine, "networks": rows}


def _one(
    network: Network, builder: Builder, cache: Cache, tell: Callable[[str], None]
) -> tuple[dict[str, Any], Change]:
    """Find or make the engine of a network: in fp32 where fp16 does not hold."""
    failed = ""
    wanted = network.profile.precision
    for precision in PRECISIONS[PRECISIONS.index(wanted) :]:
        profile = network.in_precision(precision)
        key = Key(builder.machine, model_digest(network.model), profile)
        with one_at_a_time(cache.lock(key), tell=tell):
            found = cache.find(key)
            outcome = "built" if found is None else "cached"
            try:
                entry = found or _build(network, builder, cache, key)
            except UnsupportedNetworkError as error:
                why = str(error)
                config = builder.left_alone(network.config)
                return {"outcome": "onnxruntime", "why": why}, Change(config)
        parity = entry.told["parity"]
        if entry.plan is not None:
            row = {"outcome": outcome, "precision": precision, "digest": key.digest()}
            if precision != wanted:
                row["why"] = failed
            if way := builder.way(entry.plan):
                row["way"] = way
            change = Change(
                builder.config(network.config, profile.max_batch, network.model),
                entry.plan, entry.told, builder.plan_file, builder.files,
            )  # fmt: skip
            return {**row, "parity": parity}, change
        failed = f"{precision} does not hold: {parity['measured']}"
        tell(f"{network.name}: {failed}")
    raise ParityFailedError(
        f"The engine of {network.name} answers otherwise than ONNX Runtime, and replaces nothing:"
        f" {failed}."
    )


def _build(network: Network, builder: Builder, cache: Cache, key: Key) -> Entry:
    typed = onnx.load(str(network.model))
    if key.profile.precision == "fp16":
        try:
            typed = halved(typed)
        except Exception as error:  # the conversion raises whatever it meets
            first = " ".join(str(error).split())[:200]
            return cache.keep(key, None, {"holds": False, "measured": f"not written: {first}"})
    made = builder.build(typed.SerializeToString(), key.profile)
    parity = compare(network.model, lambda inputs: builder.run(made, inputs), key.profile)
    return cache.keep(key, made if parity["holds"] else None, parity)


def _check_made(network: Network, builder: Builder) -> None:
    """Hold an engine that the source has already to this machine."""
    path = network.model.parents[1] / TOLD
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = None
    check_engine(told, builder.machine, str(path.parent))


def _asked_by(source: Path, manifests: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Name the pipeline of each network; a shared one is the first's."""
    found: dict[str, Manifest] = {}
    for name, manifest in manifests.items():
        for network in networks_of(source / name):
            found.setdefault(network, manifest)
    return found


def _said(row: Mapping[str, Any]) -> str:
    words = [str(row.get(k, "")) for k in ("outcome", "way", "precision")] + [f"{row['seconds']} s"]
    if "parity" in row:
        words.append(row["parity"]["measured"])
    if "why" in row:
        words.append(row["why"])
    return ", ".join(word for word in words if word)
