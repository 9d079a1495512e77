"""Judge an exported network: ``python -m networks.evaluate CHECK [--model FILE] --json``.

Figures on phantoms tell whether training worked, and nothing about patients.
The real scans are looked at once for each released model, by the anatomy network alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from networks.evaluation import anatomy
from networks.evaluation.thresholds import FILE, read_thresholds
from networks.reference import read_real_cases
from networks.tasks import task_class, trainable

REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"

CASES = {"anatomy": 30, "nodule": 40, "bone": 40}
"""Patients looked at by default; `OTHERS` for the checks that look at one box."""

OTHERS = 120


def model_of(check: str) -> Path:
    """Return where the exported file of a check lies in the repository."""
    return REPOSITORY / f"{check}_net/1/model.onnx"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    described = argparse.ArgumentParser(prog="python -m networks.evaluate", description=__doc__)
    described.add_argument("check", choices=trainable())
    described.add_argument("--model", type=Path, help="the repository's by default")
    described.add_argument("--cases", "--phantoms", type=int, help="unseen patients")
    described.add_argument("--thresholds", type=Path, help=f"{FILE} in the model's folder")
    described.add_argument("--pool", type=Path, help="folder in which patients are kept")
    described.add_argument("--workers", type=int, default=0, help="processes that scan")
    described.add_argument("--threads", type=int, default=2)
    described.add_argument("--real", type=Path, help="folder of the real scans; anatomy only")
    described.add_argument("--json", action="store_true", help="print one object and nothing else")
    return described


def evaluate(given: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of a check.

    Raises
    ------
    FileNotFoundError
        When there is no such model.
    """
    model = given.model or model_of(given.check)
    if not model.exists():
        raise FileNotFoundError(f"there is no {model}; train and release the check first")
    cases = CASES.get(given.check, OTHERS) if given.cases is None else given.cases
    if given.check == "anatomy":
        return anatomy.evaluate(model, cases, read_real_cases(given.real) if given.real else [])
    found = task_class(given.check)
    kept = given.thresholds or model.parent.parent / FILE
    task = found(pool=given.pool or found.default_pool())
    return task.evaluate(model, read_thresholds(kept), cases=cases, workers=given.workers)


def show(told: Mapping[str, Any], indent: str = "") -> None:
    """Print figures for reading, a line each."""
    for name, value in told.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        else:
            print(f"{indent}{name:24s} {value}")


def main(arguments: list[str] | None = None) -> None:
    """Evaluate from the command line."""
    given = parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    try:
        told = evaluate(given)
    except (FileNotFoundError, NotImplementedError) as error:
        raise SystemExit(str(error)) from None
    if given.json:
        print(json.dumps(told))
    else:
        show(told)


if __name__ == "__main__":
    main()
