"""Fleischner 2017: nodules found by chance in adults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.screening.manifest import URGENCIES, Text
from gateway.screening.rules.assessment import Advice, Assessment
from gateway.screening.rules.fleischner_advice import ADVICE
from gateway.screening.rules.nodule import Nodule
from gateway.screening.rules.size_table import SizeTable

RULE = "fleischner_2017"

RISKS = ("low", "high")

SOLID = SizeTable(limits_mm=(6, 9), limits_mm3=(100, 251), rows=("under_6", "6_to_8", "over_8"))
"""Mean diameter to the nearest mm, volume to the nearest mm³: < 6, 6–8, > 8 mm are < 6, < 9 and
from 9 on in whole mm; < 100, 100–250, > 250 mm³ likewise.
Source: MacMahon 2017, Radiology 284:228, table 1, as all below."""

SUBSOLID = SizeTable(limits_mm=(6,), limits_mm3=(100,), rows=("under_6", "from_6"))

SOLID_PART = SizeTable(limits_mm=(6,), rows=("solid_under_6", "solid_from_6"))
"""By the long axis of the solid part, whole mm. Source: Bankier 2017, Radiology 285:584."""


def fleischner(nodules: Sequence[Nodule], *, risk: str | None) -> Assessment:
    """Give the row of the table that decides, and what follows.

    Not in screening, below 35 years, with known cancer or immunosuppression
    (see `gateway.screening.rules.lung_rule`), nor for airway nodules and cysts.

    Parameters
    ----------
    nodules : sequence of Nodule
        All of the exam; those that are benign by calcification or fat do not count.
    risk : str or None
        ``low`` or ``high``; see `fleischner_risk`.

    Returns
    -------
    Assessment
        Category: the row, as in ``solid_single_6_to_8``. Solid and subsolid nodules are single
        or multiple each for themselves, the largest decides, and the earlier CT wins. Where
        the risk is needed and not known, the advice tells both ways. With a nodule that cannot
        be placed, a row that asks for action or None.

    Raises
    ------
    ValueError
        For another risk.

    References
    ----------
    * MacMahon 2017, Radiology 284:228.
    """
    if risk is not None and risk not in RISKS:
        raise ValueError(f"risk must be one of {', '.join(RISKS)}.")
    counted = [nodule for nodule in nodules if not nodule.benign]
    if not counted:
        return Assessment(
            rule=RULE, category="no_nodule", basis="no_nodule", advice=ADVICE["no_nodule"]["low"]
        )
    solid = [nodule for nodule in counted if nodule.kind == "solid"]
    subsolid = [nodule for nodule in counted if nodule.kind in ("part_solid", "ground_glass")]
    unplaced = [nodule for nodule in counted if nodule not in solid + subsolid or _missing(nodule)]
    missing = [name for nodule in counted for name in _missing(nodule)]
    rows = [row for row in (_solid_row(solid), _subsolid_row(subsolid)) if row is not None]
    row = min(rows, key=lambda name: _order(_advice(name, risk)), default=None)
    if row is None or (unplaced and not _advice(row, risk).asks_for_action):
        basis = "no_row" if unplaced and not missing else None
        return Assessment(rule=RULE, category=None, basis=basis, missing=_once(missing))
    if row == "part_solid_single_from_6":
        missing.append("solid_diameter")
    if risk is None and len({ADVICE[row][each].text for each in RISKS}) > 1:
        missing.append("risk")
    return Assessment(
        rule=RULE,
        category=row,
        basis="size",
        missing=_once(missing),
        advice=_advice(row, risk),
    )


def fleischner_risk(
    *,
    smoked: bool | None,
    spiculated: bool | None,
    upper_lobe: bool | None,
    emphysema_or_fibrosis: bool | None,
    family_history: bool | None,
) -> str | None:
    """Give the risk of lung cancer in the sense of the table.

    One known factor makes the risk high; only when each is known to be absent is it low.

    Parameters
    ----------
    smoked : bool or None
        Now or formerly.
    spiculated, upper_lobe : bool or None
        Of the nodule that decides.
    emphysema_or_fibrosis : bool or None
        On the scan or known.
    family_history : bool or None
        Lung cancer in a first-degree relative.

    References
    ----------
    * MacMahon 2017, risk factors. Weighing them is left to the reader there; that any one
      suffices is the cautious reading, and that of MacMahon 2005.
    """
    factors = (smoked, spiculated, upper_lobe, emphysema_or_fibrosis, family_history)
    if any(factors):
        return "high"
    return None if None in factors else "low"


def _solid_row(nodules: Sequence[Nodule]) -> str | None:
    bands = [SOLID.row(n.size.mean_whole_mm, n.size.volume_whole_mm3) for n in nodules]
    largest = max((SOLID.rows.index(band) for band in bands if band), default=None)
    if largest is None:
        return None
    if len(nodules) == 1:
        return f"solid_single_{SOLID.rows[largest]}"
    return "solid_multiple_from_6" if largest else "solid_multiple_under_6"


def _subsolid_row(nodules: Sequence[Nodule]) -> str | None:
    bands = [SUBSOLID.row(n.size.mean_whole_mm, n.size.volume_whole_mm3) for n in nodules]
    largest = max((SUBSOLID.rows.index(band) for band in bands if band), default=None)
    if largest is None:
        return None
    band = SUBSOLID.rows[largest]
    if len(nodules) > 1:
        return f"subsolid_multiple_{band}"
    only = nodules[0]
    if largest and only.kind == "part_solid":
        band = SOLID_PART.row(only.solid.long_whole_mm) or band
    return f"{only.kind}_single_{band}"


def _missing(nodule: Nodule) -> tuple[str, ...]:
    """Name what keeps a nodule from being placed."""
    if nodule.kind is None:
        return ("kind",)
    if nodule.size.mean_mm is None and nodule.size.volume_mm3 is None:
        return ("diameter",)
    return ()


def _advice(row: str, risk: str | None) -> Advice:
    """Give the advice of a row; for an unknown risk that of both, by the more cautious one."""
    by_risk: Mapping[str, Advice] = ADVICE[row]
    low, high = by_risk["low"], by_risk["high"]
    if risk is not None or low == high:
        return by_risk[risk or "low"]
    return Advice(
        urgency=min(low.urgency, high.urgency, key=URGENCIES.index),
        asks_for_action=low.asks_for_action or high.asks_for_action,
        first_ct_months=high.first_ct_months,
        text=Text(
            f"Low risk: {low.text.en} High risk: {high.text.en}",
            f"低危:{low.text.zh}高危:{high.text.zh}",
        ),
    )


def _order(advice: Advice) -> tuple[bool, float, float]:
    """Sort by what asks for action, then by the earliest CT."""
    first, last = advice.first_ct_months or (float("inf"), float("inf"))
    return (not advice.asks_for_action, first, last)


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
