"""What is particular to each network: its data, its loss and its judge; one module a check."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from networks.tasks.task import Task

CHECKS = (
    "anatomy",
    "pancreas",
    "stomach",
    "liver",
    "bone",
    "aorta",
    "nodule",
    "calcium",
    "chest",
    "bone_age",
)
"""All networks; each has a module of its name here, whose `TASK` is its `Task`."""


def trainable() -> tuple[str, ...]:
    """Return the checks whose module is there."""
    return tuple(check for check in CHECKS if find_spec(f"{__name__}.{check}"))


def task_class(check: str) -> type[Task]:
    """Return the task of a check.

    Raises
    ------
    ValueError
        When there is none.
    """
    if check not in trainable():
        raise ValueError(f"no network {check!r}; there are {', '.join(trainable())}")
    found: type[Task] = import_module(f"{__name__}.{check}").TASK
    return found


def task_of(plan: dict[str, Any], **more: Any) -> Task:
    """Rebuild the task that a checkpoint was trained with, from the plan recorded in it."""
    found = task_class(plan["check"])
    return found(**{name: plan[name] for name in found.option_names() if name in plan}, **more)
