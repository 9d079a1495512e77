"""Codes and numbers of a result in the words of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNITS = {
    "[hnsf'U]": " HU",
    "{count}": "",
    "{ratio}": "",
    "1": "",
    "%": " %",
    "mL": " ml",
    "mm3": " mm³",
}
"""UCUM → what people write."""

SITES = {"vertebrae": "spine", "other_bone": "bone"}
"""Labels of the anatomy network that are no words."""

SIDES = ("left", "right")


def words(code: str) -> str:
    """Write a code of a result without its underscores and unit suffixes."""
    for suffix in ("_hu", "_percent", "_mm3", "_mm", "_ml"):
        code = code.removesuffix(suffix)
    return code.replace("_", " ")


def number(value: float) -> str:
    """Write a number with three digits that mean something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def count(many: int, what: str) -> str:
    """Write how many."""
    return f"{many} {what}"


def site_words(site: str | None, side: str | None) -> str:
    """Write an organ with its side: ``left lung``, ``bone, right``, ``liver``."""
    if site is None:
        return side or "place unknown"
    for one in SIDES:
        if site.endswith(f"_{one}"):
            return f"{one} {words(site.removesuffix(f'_{one}'))}"
    name = SITES.get(site, words(site))
    return f"{name}, {side}" if site in SITES and side in SIDES else name


def place_words(lesion: Mapping[str, Any]) -> str:
    """Write organ and slice of a lesion."""
    site = site_words(lesion.get("site"), lesion.get("side"))
    return f"{site}, slice {lesion['slice_index'] + 1}"


def lesion_words(lesion: Mapping[str, Any]) -> str:
    """Write kind, size, category and score of a lesion, those that are known."""
    parts = [words(lesion["kind"])] if lesion.get("kind") else []
    long, short, mean = (lesion.get(f"{name}_diameter_mm") for name in ("long", "short", "mean"))
    if long is not None and short is not None:
        parts.append(f"{long:.0f} × {short:.0f} mm" if long >= 10 else f"{long:g} × {short:g} mm")
    elif mean is not None:
        parts.append(f"about {mean:.0f} mm")
    if lesion.get("category"):
        parts.append(str(lesion["category"]))
    if lesion.get("score") is not None:
        parts.append(f"{lesion['score']:.2f}")
    return ", ".join(parts)
