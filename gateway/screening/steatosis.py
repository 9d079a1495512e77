"""Steatosis of the liver from a native CT, as pure arithmetic.

The line PDFF % = (65.9 - HU) / 1.72 holds at 120 kVp; the grades by PDFF are
S0 < 6.4, S1 < 17.4, S2 < 22.1, S3 (Tang 2013), kept in the manifest of the liver check.
"""

from __future__ import annotations

from collections.abc import Mapping

HU_WITHOUT_FAT = 65.9
"""HU of a liver without fat at 120 kVp."""

HU_PER_PERCENT = 1.72
"""HU lost per percent of proton-density fat fraction at 120 kVp."""


def pdff_percent(
    liver_hu: float,
    *,
    hu_without_fat: float = HU_WITHOUT_FAT,
    hu_per_percent: float = HU_PER_PERCENT,
) -> float:
    """Estimate the fat fraction from the liver's median HU at 120 kVp.

    Not for contrast-enhanced scans, other tube voltages or a liver above 75 HU.

    Returns
    -------
    float
        Percent, between 0 and 100: a liver denser than one without fat has none.
    """
    return min(max((hu_without_fat - liver_hu) / hu_per_percent, 0.0), 100.0)


def steatosis(
    liver_hu: float | None,
    spleen_hu: float | None,
    parameters: Mapping[str, float],
) -> dict[str, float | None]:
    """Measure steatosis.

    Parameters
    ----------
    liver_hu, spleen_hu : float or None
        Medians of the eroded organs, HU; None for a spleen that was not seen.
    parameters : mapping
        ``hu_without_fat`` and ``hu_per_percent`` of the manifest.

    Returns
    -------
    dict
        ``liver_hu``, ``spleen_hu``, ``liver_spleen_ratio``, ``liver_spleen_difference_hu``,
        ``pdff_percent``; None where it cannot be computed. No ratio to a spleen at or
        below 0 HU, which is no spleen tissue.
    """
    both = liver_hu is not None and spleen_hu is not None
    return {
        "liver_hu": liver_hu,
        "spleen_hu": spleen_hu,
        "liver_spleen_ratio": (
            liver_hu / spleen_hu if both and spleen_hu > 0 else None  # type: ignore[operator]
        ),
        "liver_spleen_difference_hu": (
            liver_hu - spleen_hu if both else None  # type: ignore[operator]
        ),
        "pdff_percent": None if liver_hu is None else pdff_percent(liver_hu, **parameters),
    }
