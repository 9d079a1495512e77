"""What a worker runs: its pool's name, checks and lanes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.exceptions import UsageError
from gateway.screening.manifest import Manifest
from gateway.settings import WorkerSettings
from gateway.store.queue import LANES


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The pool of a worker, as its settings say."""

    name: str
    checks: tuple[str, ...]
    """Those that it runs."""

    lanes: tuple[str, ...]
    """Those that it takes from, the most urgent first."""

    restricted: bool
    """Whether jobs that ask for other checks are left to other pools.

    Where no check is named every job is taken, so that an order for a check that has gone from
    the repository ends with a reason instead of waiting for ever.
    """

    @classmethod
    def of(cls, settings: WorkerSettings, manifests: Mapping[str, Manifest]) -> Pool:
        """Read the settings.

        Raises
        ------
        UsageError
            When they name a check that is not installed or a lane that does not exist.
        """
        installed = [m.name for m in manifests.values() if m.is_check]
        return cls(
            name=settings.pool,
            checks=_names("ONESCAN_WORKER__CHECKS", settings.checks, installed),
            lanes=_names("ONESCAN_WORKER__LANES", settings.lanes, LANES),
            restricted=bool(settings.checks.strip(", ")),
        )


def _names(setting: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    asked = {name for part in text.split(",") if (name := part.strip())}
    if unknown := sorted(asked - set(known)):
        raise UsageError(f"{setting} holds {unknown[0]!r}; there are {', '.join(known)}.")
    return tuple(name for name in known if not asked or name in asked)
