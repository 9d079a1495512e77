"""What an hour of a GPU costs, by its type."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gateway.cluster.pools import Gpu
from gateway.exceptions import UsageError


class Prices:
    """EUR per GPU-hour, by GPU type or resource.

    Parameters
    ----------
    pairs : iterable of str
        ``TYPE=EUR`` each; a later one goes before an earlier one of the same type.

    Raises
    ------
    UsageError
        When one is no pair, or no price.
    """

    def __init__(self, pairs: Iterable[str]) -> None:
        self._prices: dict[str, float] = {}
        for pair in pairs:
            kind, sign, text = (part.strip() for part in pair.rpartition("="))
            try:
                price = float(text)
            except ValueError:
                price = math.nan
            if not kind or not sign or not math.isfinite(price) or price < 0:
                raise UsageError(f"{pair!r} is no price; write TYPE=EUR, such as H200=3.20.")
            self._prices[kind.lower()] = price

    def of(self, gpu: Gpu | None, model: str | None = None) -> float | None:
        """Find the price of one GPU (or slice) of a pool.

        Parameters
        ----------
        gpu : Gpu or None
            What the pool asks for.
        model : str, optional
            What its pods were given, where that is known.

        Returns
        -------
        float or None
            Of the resource's own name, such as ``nvidia.com/mig-1g.18gb``; else of the longest
            type that is a part of the GPU's, whatever the case. A whole GPU's price is not that
            of a slice, so slices have it by their resource only.
        """
        if gpu is None:
            return None
        if (price := self._prices.get(gpu.resource.lower())) is not None:
            return price
        if "/mig-" in gpu.resource:
            return None
        names = [name.lower() for name in (gpu.type, model) if name]
        fitting = [kind for kind in self._prices if any(kind in name for name in names)]
        return self._prices[max(fitting, key=len)] if fitting else None


def pairs_of(text: str) -> list[str]:
    """Split a setting: pairs with a comma between."""
    return [pair for part in text.split(",") if (pair := part.strip())]
