"""Growth between two CTs by Lung-RADS v2022."""

from __future__ import annotations

GROWTH_MM = 1.5
"""Mean diameter, mm: more than this within `GROWTH_MONTHS` is growth.
Source: Lung-RADS v2022, note on growth. Its "> 2 mm³" is the volume of a sphere of 1.5 mm and
no difference of volumes that CT could tell, so volumes are compared as diameters."""

GROWTH_MONTHS = 12.0
"""Months in which `GROWTH_MM` counts."""


def growth(now_mm: float, before_mm: float, *, months: float) -> str:
    """Compare two mean diameters.

    Parameters
    ----------
    now_mm, before_mm : float
        Mean diameters to 0.1 mm.
    months : float
        Between the two CTs, above 0.

    Returns
    -------
    str
        ``growing``; ``slowly_growing``, when more than `GROWTH_MM` were gained over more than
        12 months, but less a year; ``stable``, which a smaller nodule is too.
    """
    gained_mm = round(now_mm - before_mm, 1)
    if gained_mm > GROWTH_MM * max(months / GROWTH_MONTHS, 1.0):
        return "growing"
    return "slowly_growing" if gained_mm > GROWTH_MM else "stable"
