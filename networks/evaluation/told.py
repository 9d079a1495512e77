"""The one form in which every judge tells its figures.

``strata`` holds the same figures for ``all`` and for each difficulty, scanner model or group; a
figure is [value, lowest, highest] with the 95 % interval, and null where there is nothing to count.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from networks.metrics import Figure, bootstrap
from networks.phantoms.profiles import PROFILES, ScannerProfile
from networks.pool import UNSEEN_SEED

SCHEMA = 1
"""Counted up when the form changes."""

FIRST_TEST_SEED = UNSEEN_SEED + 1000
"""Patients that only the judges look at."""

DIGITS = 4

MOST_FAILURES = 12
"""Cases told by name."""


def unseen_profiles() -> tuple[ScannerProfile, ...]:
    """Return the scanner models that are kept from training."""
    return tuple(profile for profile in PROFILES.values() if profile.unseen)


def mean(values: Iterable[float], digits: int = DIGITS) -> Figure:
    """Return a mean with its interval, by resampling; NaNs are left out."""
    held = np.array([value for value in values if not math.isnan(value)])
    if not held.size:
        return Figure(math.nan, math.nan, math.nan)
    return bootstrap(lambda chosen: float(held[chosen].mean()), held.size)


def told(
    check: str,
    models: Sequence[Path],
    *,
    cohort: Mapping[str, Any],
    thresholds: Mapping[str, float],
    strata: Mapping[str, Any],
    baseline: Mapping[str, Any],
    failures: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return the figures of a check in their form, of plain values only.

    Parameters
    ----------
    models : sequence of Path
        The exported files.
    cohort : mapping
        What was looked at.
    strata, baseline : mapping
        Figures of the check, and those of something made by hand.
    failures : sequence of mapping
        Cases that went wrong, the worst first.
    """
    form: dict[str, Any] = plain({
        "schema": SCHEMA,
        "check": check,
        "models": [
            {
                "file": f"{path.parent.parent.name}/{path.parent.name}/{path.name}",
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in models
        ],
        "cohort": {"first_seed": FIRST_TEST_SEED, **cohort},
        "strata": dict(strata),
        "baseline": dict(baseline),
        "failures": list(failures)[:MOST_FAILURES],
        **more,
    })  # fmt: skip
    return form | {"thresholds": dict(thresholds)}  # not rounded: scores crowd near 0 and 1


def plain(value: Any) -> Any:
    """Turn figures and NumPy's numbers into what JSON knows; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.generic, float)):
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, float):
            return round(number, DIGITS) if math.isfinite(number) else None
        return number
    return value
