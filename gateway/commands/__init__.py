"""One module a command; each has NAME, HELP, add_arguments and run."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Protocol

from gateway.commands import (
    archive,
    audit,
    backup,
    calibrate,
    demo,
    dimse,
    inspect,
    keys,
    listen,
    migrate,
    models,
    ops,
    partners,
    phantom,
    pool,
    restore,
    screen,
    serve,
    tenants,
    triton,
    up,
    worker,
)
from gateway.settings import Settings


class Command(Protocol):
    """What a command module offers."""

    NAME: str
    HELP: str

    @property
    def add_arguments(self) -> Callable[[argparse.ArgumentParser], None]:
        """Declare the command's arguments."""

    @property
    def run(self) -> Callable[[argparse.Namespace, Settings], int]:
        """Run the command and give its exit code."""


COMMANDS: tuple[Command, ...] = (
    up,
    screen,
    inspect,
    phantom,
    demo,
    models,
    partners,
    tenants,
    keys,
    listen,
    audit,
    ops,
    pool,
    backup,
    restore,
    calibrate,
    serve,
    dimse,
    archive,
    worker,
    triton,
    migrate,
)
