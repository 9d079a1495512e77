"""The two thresholds of a check, set on healthy phantoms and kept beside the model.

A mark is shown to the reader, a flag makes the check positive (pipelines.md §7.3).
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from networks.metrics import Figure, bootstrap, specificity, threshold_for

FILE = "thresholds.toml"
"""In the model's folder."""

NAMES = ("mark", "flag")


def share_threshold(healthy: Sequence[float], share: float) -> dict[str, Any]:
    """Return the lowest threshold that at most a share of healthy scores reach.

    Parameters
    ----------
    healthy : sequence of float
    share : float

    Returns
    -------
    dict
        ``value``, ``at``, ``share`` and ``measured``, the share that reaches it with its interval.

    Raises
    ------
    ValueError
        When there are too few scores to tell.
    """
    value = threshold_for(healthy, share)
    below = specificity(healthy, value)
    return {
        "value": value,
        "at": "greater_or_equal",
        "share": share,
        "measured": Figure(1 - below.value, 1 - below.high, 1 - below.low).rounded(4),
    }


def count_threshold(healthy: Sequence[Sequence[float]], each: float) -> dict[str, Any]:
    """Return the lowest threshold that at most so many marks a healthy scan reach on average.

    Parameters
    ----------
    healthy : sequence of sequence of float
        Scores of the marks of each scan.
    each : float
        Marks a scan.

    Returns
    -------
    dict
        ``value``, ``at``, ``false_positives`` allowed and ``measured``, with its interval.
    """
    scores = np.sort(np.concatenate([np.asarray(x, np.float64) for x in healthy]))
    allowed = int(each * len(healthy))
    value = float(np.nextafter(scores[-allowed - 1], np.inf)) if allowed < len(scores) else 0.0
    counts = np.array([(np.asarray(x) >= value).sum() for x in healthy], np.float64)
    measured = bootstrap(lambda chosen: float(counts[chosen].mean()), len(counts))
    return {
        "value": value,
        "at": "greater_or_equal",
        "false_positives": each,
        "measured": measured.rounded(4),
    }


def write_thresholds(path: Path, told: Mapping[str, Any]) -> None:
    """Write what `networks.tasks.task.Task.calibrate` told as TOML."""
    path.write_text("\n".join(_table(told, ())).strip() + "\n", encoding="utf-8")


def read_thresholds(path: Path) -> dict[str, float]:
    """Return mark and flag; empty where there is no file, or it has none of that name."""
    if not path.exists():
        return {}
    told = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: float(told[name]["value"]) for name in NAMES if "value" in told.get(name, {})}


def set_manifest(path: Path, told: Mapping[str, Any], model: Path) -> bool:
    """Set the thresholds of a pipeline's manifest, and leave the rest of it as it is.

    Parameters
    ----------
    path : Path
        ``pipeline.toml``.
    told : mapping
        What `networks.tasks.task.Task.calibrate` told.
    model : Path
        The exported file, whose digest becomes part of the thresholds' name.

    Returns
    -------
    bool
        False where there is no manifest, or one whose thresholds are not of a probability.
    """
    if not path.exists():
        return False
    if all("values" in told.get(name, {}) for name in NAMES):
        return _set_labels(path, told, model)
    if not all("measured" in told.get(name, {}) for name in NAMES):
        return False
    text = path.read_text(encoding="utf-8")
    manifest = tomllib.loads(text)
    thresholds = manifest.get("thresholds", {})
    of_lesions = "lesion" in thresholds
    if thresholds.get("score") != told.get("score") and not of_lesions:
        return False
    text = _set(text, "thresholds", "id", f'"{_set_name(told, model)}"')
    for mark in NAMES:
        one = told[mark]
        value, low, high = one["measured"]
        unit = "of healthy scans" if "share" in one else "false marks a healthy scan"
        said = f"{value:.4g} ({low:.4g}-{high:.4g}) {unit}, on {told['healthy']} scans of phantoms"
        text = _set(text, f"thresholds.{mark}", "value", repr(one["value"]))
        text = _set(text, f"thresholds.{mark}", "operating_point", f'"{said}"')
        if of_lesions:
            text = _set(text, "thresholds.lesion", mark, repr(one["value"]))
    if "place_from" in manifest.get("recipe", {}).get("post", {}):
        # whoever is shown to the reader has a place to look at
        text = _set(text, "recipe.post", "place_from", repr(told["mark"]["value"]))
    path.write_text(text, encoding="utf-8")
    return True


def set_accepted(path: Path, accepted: bool) -> bool:
    """Say in a pipeline's manifest whether its weights reached what they are held to.

    Returns
    -------
    bool
        False where there is no manifest, or one that does not say where its weights are from.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    provenance = tomllib.loads(text).get("provenance")
    if provenance is None:
        return False
    if "accepted" not in provenance:
        text = text.replace("[provenance]\n", "[provenance]\naccepted = false\n", 1)
    path.write_text(_set(text, "provenance", "accepted", str(accepted).lower()), encoding="utf-8")
    return True


def _set_labels(path: Path, told: Mapping[str, Any], model: Path) -> bool:
    """Set mark and flag of each label of a check that tells many; those that have any, no other."""
    text = path.read_text(encoding="utf-8")
    labels = tomllib.loads(text).get("thresholds", {}).get("labels", {})
    if not labels:
        return False
    for label in labels:
        mark, flag = (told[name]["values"][label] for name in NAMES)
        text = _set(text, "thresholds.labels", label, f"{{ mark = {mark!r}, flag = {flag!r} }}")
    value, low, high = told["flag"]["measured"]
    said = (
        f"{value:.4g} ({low:.4g}-{high:.4g}) of healthy scans for all labels together,"
        f" on {told['healthy']} scans of phantoms"
    )
    text = _set(text, "thresholds.flag", "operating_point", f'"{said}"')
    each = (
        f"each label in {told['mark']['share']:.4g} of healthy scans,"
        f" on {told['healthy']} scans of phantoms"
    )
    text = _set(text, "thresholds.mark.also", "operating_point", f'"{each}"', of_list=True)
    text = _set(text, "thresholds", "id", f'"{_set_name(told, model)}"')
    path.write_text(text, encoding="utf-8")
    return True


def _set_name(told: Mapping[str, Any], model: Path) -> str:
    return f"{told['check']}-{hashlib.sha256(model.read_bytes()).hexdigest()[:8]}"


def _set(text: str, table: str, key: str, value: str, *, of_list: bool = False) -> str:
    """Set a key within a table of TOML text, or within the first of a list of tables."""
    head = rf"\[\[{re.escape(table)}\]\]" if of_list else rf"\[{re.escape(table)}\]"
    pattern = rf"(^{head}\n(?:(?!\[).*\n)*?{key} = ).*$"
    found, count = re.subn(pattern, lambda m: m.group(1) + value, text, count=1, flags=re.MULTILINE)
    if not count:
        raise ValueError(f"the manifest has no {table}.{key}")
    return found


def _table(told: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    """Return the lines of a table: its own values, then its tables."""
    lines = ["", f"[{'.'.join(names)}]"] if names else []
    lines += [
        f"{key} = {_value(value)}"
        for key, value in told.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    for key, value in told.items():
        if isinstance(value, Mapping):
            lines += _table(value, (*names, key))
    return lines


def _value(value: Any) -> str:
    if isinstance(value, str):
        plain = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{plain}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return repr(float(value)) if isinstance(value, float) else str(value)
