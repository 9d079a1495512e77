"""C-Lung-RADS: nodules found in Chinese lung cancer screening."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice, Assessment
from gateway.screening.rules.nodule import Nodule
from gateway.screening.rules.size_table import SizeTable

RULE = "c_lung_rads"

CATEGORIES = ("0", "1", "2", "3", "4")
"""By rising risk."""

POSITIVE = CATEGORIES[2:]

SOLID = SizeTable(limits_mm=(6, 10, 18), rows=("1", "2", "3", "4"))
"""Mean diameter, mm. Source: Nature Medicine 2024;30:3184, table 1, as all below."""

GROUND_GLASS = SizeTable(limits_mm=(6, 20), rows=("1", "2", "3"))

PART_SOLID_TOTAL = SizeTable(limits_mm=(6,), rows=("1", "by_solid_part"))

PART_SOLID_SOLID = SizeTable(limits_mm=(6, 10), rows=("2", "3", "4"))
"""By the solid part, of a nodule of 6 mm or more in total."""

RAISING_PROBABILITY = 0.5
"""Of malignancy, by the multidimensional model: categories 2 and 3 become 4 from here on."""

ADVICE = {
    "0": Advice(
        urgency="note",
        first_ct_months=(12, 12),
        text=Text(
            "C-Lung-RADS 0, negative: annual low-dose CT in 12 months.",
            "C-Lung-RADS 0类(阴性):12个月后年度低剂量CT筛查。",
        ),
    ),
    "1": Advice(
        urgency="note",
        first_ct_months=(12, 12),
        text=Text(
            "C-Lung-RADS 1, low risk: annual low-dose CT in 12 months.",
            "C-Lung-RADS 1类(低危):12个月后年度低剂量CT筛查。",
        ),
    ),
    "2": Advice(
        urgency="follow_up",
        asks_for_action=True,
        first_ct_months=(6, 6),
        text=Text(
            "C-Lung-RADS 2, intermediate risk: CT in 6 months.",
            "C-Lung-RADS 2类(中危):6个月后复查CT。",
        ),
    ),
    "3": Advice(
        urgency="follow_up",
        asks_for_action=True,
        first_ct_months=(3, 3),
        text=Text(
            "C-Lung-RADS 3, high risk: CT in 3 months; high-resolution CT or PET/CT may be "
            "considered.",
            "C-Lung-RADS 3类(高危):3个月后复查CT,可考虑高分辨率CT或PET/CT。",
        ),
    ),
    "4": Advice(
        urgency="urgent",
        asks_for_action=True,
        text=Text(
            "C-Lung-RADS 4, very high risk: clinical assessment at once; diagnostic CT, PET/CT "
            "for a solid nodule or solid part of 8 mm or more, tissue sampling.",
            "C-Lung-RADS 4类(极高危):建议立即临床评估,行诊断性CT,"
            "实性结节或实性成分≥ 8 mm时行PET/CT,必要时活检。",
        ),
    ),
}
"""Category → what follows, in our words. Source: ibid., column of management."""


def c_lung_rads_nodule(nodule: Nodule) -> Assessment:
    """Give the category of one nodule.

    The rule knows solid, part-solid and ground-glass nodules by their mean diameters to 0.1 mm
    (the paper names no rounding; it is what the reader is shown), no volumes and no priors.

    Returns
    -------
    Assessment
        Category ``0`` to ``4``, None where an input that decides is not known or the rule has
        no row for the kind. A category 2 or 3 without a malignancy probability stands, and
        names it as missing.

    References
    ----------
    * Nature Medicine 2024;30:3184, table 1.
    """
    if nodule.benign_calcification:
        return _assessment("0", "benign")
    if nodule.kind is None:
        return _assessment(None, None, "kind")
    size, solid = nodule.size.mean_tenth_mm, nodule.solid.mean_tenth_mm
    if nodule.kind == "solid":
        category, missing = SOLID.row(size), "diameter"
    elif nodule.kind == "ground_glass":
        category, missing = GROUND_GLASS.row(size), "diameter"
    elif nodule.kind == "part_solid":
        category, missing = PART_SOLID_TOTAL.row(size), "diameter"
        if category == "by_solid_part":
            category, missing = PART_SOLID_SOLID.row(solid), "solid_diameter"
    else:
        return _assessment(None, "no_row")
    if category is None:
        return _assessment(None, None, missing)
    if category in ("2", "3"):
        probability = nodule.malignancy_probability
        if probability is None:
            return _assessment(category, "size", "malignancy_probability")
        if probability >= RAISING_PROBABILITY:
            return _assessment("4", "probability")
    return _assessment(category, "size")


def c_lung_rads(nodules: Sequence[Nodule]) -> Assessment:
    """Give the category of an exam, which is that of its riskiest nodule.

    Returns
    -------
    Assessment
        Category 0 without a nodule. With a nodule of unknown category, category 2 or more or
        None, never 0 or 1.
    """
    if not nodules:
        return _assessment("0", "no_nodule")
    assessed = [c_lung_rads_nodule(nodule) for nodule in nodules]
    known = [one for one in assessed if one.category is not None]
    worst = max(known, key=lambda one: one.category or "", default=None)
    missing = tuple(dict.fromkeys(name for one in assessed for name in one.missing))
    if worst is None or (len(known) < len(assessed) and worst.category not in POSITIVE):
        unclear = next(one for one in assessed if one.category is None)
        return _assessment(None, unclear.basis, *missing)
    return _assessment(worst.category, worst.basis, *missing)


def _assessment(category: str | None, basis: str | None, *missing: str) -> Assessment:
    return Assessment(
        rule=RULE,
        category=category,
        basis=basis,
        missing=missing,
        advice=ADVICE[category] if category else None,
    )
