"""Agreement of two raters over named states: Cohen's kappa, with its n."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

Z_95 = 1.959964
"""Quantile of the normal distribution for a two-sided 95 % interval."""


def agreement(table: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Give ``n``, ``agreed``, ``kappa``, ``low`` and ``high``.

    Parameters
    ----------
    table : mapping
        (what one says, what the other says) → how often.

    Notes
    -----
    Kappa is null where nothing was rated, or where chance alone would agree always. The interval
    is that of the large-sample standard error sqrt(p (1 − p) / (n (1 − e)²)), cut at ±1.

    References
    ----------
    Cohen, Educ Psychol Meas 1960;20:37.
    """
    n = sum(table.values())
    agreed = sum(count for (one, other), count in table.items() if one == other)
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for (one, other), count in table.items():
        rows[one] += count
        columns[other] += count
    chance = sum(rows[word] * columns[word] for word in rows)  # times n², so that it is exact
    told: dict[str, Any] = {"n": n, "agreed": agreed, "kappa": None, "low": None, "high": None}
    if n == 0 or chance == n * n:
        return told
    expected, seen = chance / n**2, agreed / n
    kappa = (seen - expected) / (1 - expected)
    told["kappa"] = round(kappa, 4)
    if n > 1:
        error = math.sqrt(seen * (1 - seen) / n) / (1 - expected)
        told["low"] = round(max(-1.0, kappa - Z_95 * error), 4)
        told["high"] = round(min(1.0, kappa + Z_95 * error), 4)
    return told
