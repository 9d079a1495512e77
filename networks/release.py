"""Release a trained network: ``python -m networks.release CHECK --checkpoint FILE``.

Exports it into the model repository, sets its thresholds on healthy phantoms, judges it on unseen
ones and writes its model card. What Triton and the gateway are told of it, config.pbtxt and the
rest of pipeline.toml, is written by hand.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from networks.engine import Plan, averaged, device_named, read_checkpoint
from networks.evaluate import CASES, OTHERS, REPOSITORY
from networks.evaluation.thresholds import (
    FILE,
    read_thresholds,
    set_accepted,
    set_manifest,
    write_thresholds,
)
from networks.model_card import reaches_aims, write_card
from networks.tasks import task_class, task_of, trainable
from networks.tasks.task import Task
from networks.version import digest

MOST_BYTES = 8_000_000
"""Of a file that is committed."""

PATIENTS = 250
"""Healthy ones, each looked at four times: 1,000 phantoms are the least by pipelines.md §7.3."""

SECOND = "_crops"
"""Ending of the file that a detector's classifier is exported to; it is a model of its own."""


def export(task: Task, checkpoint: Path, repository: Path) -> tuple[Path, torch.nn.Module]:
    """Write the files of a network into the repository.

    Returns
    -------
    Path
        The file of the network itself.
    Module
        The network.

    Raises
    ------
    networks.export.ParityError
        When a file answers otherwise than torch.
    ValueError
        When a file is too large to be committed, or what lies beside it is of another network.
    """
    path = repository / f"{task.name}_net/1/model.onnx"
    network = averaged(task, checkpoint)
    task.export(network, path)
    second = path.with_name(f"{path.stem}{SECOND}{path.suffix}")
    files = [path, *task.export_data(network, path.parents[1])]
    if second.exists():
        files.append(repository / f"{task.name}{SECOND}/1/model.onnx")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        second.replace(files[-1])
    for file in files:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"{file} has {file.stat().st_size:,} bytes; at most {MOST_BYTES:,}")
    return path, network


def stages(checkpoint: Path) -> list[dict[str, Any]]:
    """Return what the checkpoint says of its training, and those it began with, the first first."""
    kept = read_checkpoint(checkpoint)
    before = Path(kept["plan"]["start"]) if kept["plan"]["start"] else None
    own = {**kept["plan"], "step": kept["step"], "minutes_taken": kept["seconds"] / 60}
    return [*(stages(before) if before and before.exists() else []), own]


def commands(check: str, trained: list[dict[str, Any]], patients: int, cases: int) -> list[str]:
    """Return the commands that make and judge the network again."""
    lines = []
    plain = {"seed": "seed", "rate": "rate", "pool_size": "pool-size", "batch": "batch"}
    for place, stage in enumerate(trained):
        length = ("steps", stage["steps"]) if stage["steps"] else ("minutes", stage["minutes"])
        words = [f"python -m networks.train {check} --{length[0]} {length[1]:g}"]
        words += [f"--{plain[k]} {stage[k]:g}" for k in plain if k in stage]
        words += [f"--crops {stage['crops']}"] if stage.get("crops") else []
        words += [f"--start build/{check}-{place}/checkpoint.pt"] if place else []
        lines.append(" ".join([*words, f"--out build/{check}-{place + 1}"]))
    last = f"build/{check}-{len(trained)}/checkpoint.pt"
    release = f"python -m networks.release {check} --checkpoint {last} --patients {patients}"
    return [*lines, release, f"python -m networks.evaluate {check} --cases {cases} --json"]


def _samples(stage: Mapping[str, Any]) -> str:
    count = stage["batch"] * stage["accumulate"]
    return f"{count} sample{'s' * (count > 1)}"


def training(check: str, trained: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the card on training."""
    lines = [
        f"- {stage['step']:,} steps of {_samples(stage)} in"
        f" {stage['minutes_taken']:.0f} minutes, AdamW {stage['rate']:g}, on {stage['device']}"
        f"{' in bfloat16 autocast' if stage['bf16'] else ''};"
        f" {stage.get('pool_size', 0)} patients, seeds from 100,000 on."
        for stage in trained
    ]
    version = digest("networks.phantoms.anatomy", f"networks.phantoms.lesions.{check}")
    lines.append("- Ten scanner models; three are kept for the figures below.")
    lines.append(f"- Digest of the code that draws patients and lesions: {version}.")
    if any(stage["minutes"] for stage in trained):
        lines.append(
            "- The length was given in minutes: the learning rate followed the clock, and the run"
            " does not repeat bit by bit; `--steps` does."
        )
    return lines


def describe(task: Task, network: torch.nn.Module, files: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the card on the network."""
    count = sum(x.numel() for x in network.parameters())
    lines = [f"{(type(task).__doc__ or '').strip().splitlines()[0]}", ""]
    lines.append(f"{count / 1e6:.2f} million parameters, ONNX opset 17:")
    lines += [f"- `{x['file']}`, {x['bytes'] / 1e6:.1f} MB, SHA-256 `{x['sha256']}`" for x in files]
    windows = getattr(task, "windows_hu", ())
    if windows:
        said = ", ".join(f"{low:g}…{high:g}" for low, high in windows)
        lines.append(f"- Input channels: HU clipped to {said}, each scaled to 0…1.")
    if getattr(task, "labels", ()):
        lines.append(f"- Labels: {', '.join(task.labels)}.")  # type: ignore[attr-defined]
    if getattr(task, "kinds", ()):
        lines.append(f"- Kinds: {', '.join(task.kinds)}.")  # type: ignore[attr-defined]
    lines.append("- Tensors, axes and units: `config.pbtxt`.")
    return lines


def said_thresholds(told: Mapping[str, Any]) -> list[str]:
    """Return the lines of the card on the thresholds."""
    lines = []
    for name in ("mark", "flag"):
        if "measured" in told.get(name, {}):
            one = told[name]
            value, low, high = one["measured"]
            what = "of healthy scans" if "share" in one else "false marks a healthy scan"
            each = f"{one['value']:.6g}" if "value" in one else "each label's own"
            lines.append(
                f"- {name}: {each}, reached by {value:.4g} ({low:.4g}–{high:.4g})"
                f" {what}; at most {one.get('share', one.get('false_positives')):g}."
            )
    if "patients" in told and "seeds" in told:
        first, last = told["seeds"]
        lines.append(
            f"- Set on {told['healthy']:,} scans of {told['patients']:,} healthy patients, seeds"
            f" {first:,}–{last - 1:,}, on the ten scanner models of training, most of them with a"
            " confounder."
        )
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Release from the command line."""
    parser = argparse.ArgumentParser(prog="python -m networks.release", description=__doc__)
    by_hand = ("anatomy", "bone_age")  # whose cards are written by hand
    choices = [check for check in trainable() if check not in by_hand]
    parser.add_argument("check", choices=choices)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--repository", type=Path, default=REPOSITORY)
    parser.add_argument(
        "--patients", type=int, default=PATIENTS,
        help=f"healthy ones that set the thresholds; {PATIENTS} by default, 0: keep them",
    )  # fmt: skip
    parser.add_argument("--cases", type=int, help="unseen patients; 0: no figures, no card")
    parser.add_argument("--pool", type=Path, help="folder in which patients are kept")
    parser.add_argument("--workers", type=int, default=0, help="processes that scan")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    task = task_of(
        read_checkpoint(given.checkpoint)["plan"],
        pool=given.pool or task_class(given.check).default_pool(),
    )
    try:
        model, network = export(task, given.checkpoint, given.repository)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    folder = model.parent.parent
    print(f"{model}: {model.stat().st_size:,} bytes, as torch answers")
    told: dict[str, Any] = {}
    if given.patients:
        # not in bfloat16: the thresholds are those of the exported file
        plan = Plan(workers=given.workers, bf16=False, device=device_named(given.device))
        try:
            told = task.calibrate(network.to(plan.device), plan, given.patients)
        except NotImplementedError as error:
            print(error)
        else:
            write_thresholds(folder / FILE, told)
            set_manifest(given.repository / task.name / "pipeline.toml", told, model)
            print(f"{folder / FILE}: written")
    cases = CASES.get(given.check, OTHERS) if given.cases is None else given.cases
    if not cases:
        return
    thresholds = read_thresholds(folder / FILE)
    figures = task.evaluate(model, thresholds, cases=cases, workers=given.workers)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    trained = stages(given.checkpoint)
    told = told or read_told(folder / FILE)
    set_accepted(given.repository / task.name / "pipeline.toml", reaches_aims(figures))
    path = write_card(
        folder,
        told=figures,
        description=describe(task, network, figures["models"]),
        training=training(given.check, trained),
        thresholds=said_thresholds(told),
        commands=commands(given.check, trained, told.get("patients", given.patients), cases),
        date=datetime.date.today().isoformat(),
    )
    print(f"{path}: written")


def read_told(path: Path) -> dict[str, Any]:
    """Return all that the file of thresholds holds; empty where there is none."""
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


if __name__ == "__main__":
    main()
