"""Lung-RADS v2022 of one nodule, at baseline and with a prior.

Rows where the table is silent are ours, take the more cautious side and say so here:

* a nodule that became denser (ground-glass → part-solid → solid) has a new solid part;
* a part-solid nodule that grew without its solid part is at least category 3;
* an unclear comparison may be positive, never negative: a row of category 1 or 2 is not given.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.growth import growth
from gateway.screening.rules.lung_rads_advice import ADVICE
from gateway.screening.rules.nodule import DENSITIES, Nodule, Prior, Size
from gateway.screening.rules.size_table import SizeTable

RULE = "lung_rads_2022"

CATEGORIES = ("1", "2", "3", "4A", "4B", "4X")
"""By rising suspicion; 0 stands apart."""

POSITIVE = CATEGORIES[2:]

SOLID = SizeTable(limits_mm=(6, 8, 15), limits_mm3=(113, 268, 1767), rows=("2", "3", "4A", "4B"))
"""At baseline. Mean diameter in mm, volume in mm³. Source: Lung-RADS v2022, as all below."""

SOLID_NEW = SizeTable(limits_mm=(4, 6, 8), limits_mm3=(34, 113, 268), rows=("2", "3", "4A", "4B"))

SOLID_GROWING = SizeTable(limits_mm=(8,), limits_mm3=(268,), rows=("4A", "4B"))

PART_SOLID_TOTAL = SizeTable(limits_mm=(6,), limits_mm3=(113,), rows=("small", "large"))

PART_SOLID_SOLID = SizeTable(limits_mm=(6, 8), limits_mm3=(113, 268), rows=("3", "4A", "4B"))
"""By the solid part, at baseline, of a nodule of 6 mm or more in total."""

PART_SOLID_SOLID_CHANGED = SizeTable(limits_mm=(4,), limits_mm3=(34,), rows=("4A", "4B"))
"""By the solid part, where that is new or growing."""

GROUND_GLASS = SizeTable(limits_mm=(30,), limits_mm3=(14137,), rows=("2", "3"))

JUXTAPLEURAL = SizeTable(limits_mm=(10,), limits_mm3=(524,), rows=("2", "by_size"))

STEPS = {"3": ("2", 6.0), "4A": ("3", 3.0)}
"""Category of a prior → (category of the stable nodule, months after which it steps down)."""

STEP_TOLERANCE_MONTHS = 0.5
"""Appointments slip by days; ours."""


@dataclass(frozen=True, slots=True)
class _Row:
    category: str | None
    basis: str | None = None
    missing: tuple[str, ...] = ()


def lung_rads_nodule(nodule: Nodule) -> Assessment:
    """Give the category of one nodule.

    Not outside of screening, and not where infection is likely (see `lung_rads`).

    Returns
    -------
    Assessment
        Category ``1`` to ``4X``; None where an input that decides is not known, or where the
        table has no row. Basis: ``benign``, ``baseline``, ``new``, ``growing``,
        ``slowly_growing``, ``stable``, ``juxtapleural``, ``signs`` or ``no_row``.

    References
    ----------
    * ACR Lung-RADS v2022; Christensen 2024, Chest 165:738.
    """
    row = _row(nodule)
    if nodule.suspicious and row.category in POSITIVE:
        row = _Row("4X", "signs", row.missing)
    return Assessment(
        rule=RULE,
        category=row.category,
        basis=row.basis,
        missing=row.missing,
        advice=ADVICE[row.category] if row.category else None,
    )


def rank(category: str | None) -> int:
    """Give the place of a category in `CATEGORIES`; -1 for none and for category 0."""
    return CATEGORIES.index(category) if category in CATEGORIES else -1


def _row(nodule: Nodule) -> _Row:
    if nodule.benign:
        return _Row("1", "benign")
    if nodule.kind is None:
        return _Row(None, None, ("kind",))
    if nodule.kind.startswith("airway"):
        return _airway(nodule)
    if nodule.kind.startswith("cyst"):
        return _cyst(nodule)
    if nodule.size.mean_mm is None and nodule.size.volume_mm3 is None:
        return _Row(None, None, ("diameter",))
    at_pleura = nodule.juxtapleural and nodule.kind == "solid" and nodule.prior is None
    if at_pleura and _in(JUXTAPLEURAL, nodule.size) == "2":
        return _Row("2", "juxtapleural")
    if nodule.kind == "ground_glass":
        return _ground_glass(nodule)
    return _solid(nodule) if nodule.kind == "solid" else _part_solid(nodule)


def _in(table: SizeTable, size: Size) -> str | None:
    return table.row(size.mean_tenth_mm, size.volume_whole_mm3)


def _ground_glass(nodule: Nodule) -> _Row:
    """Below 30 mm category 2 whatever it does; from there on 3, but 2 where it hardly grows."""
    category = _in(GROUND_GLASS, nodule.size)
    behaviour = _behaviour(nodule)
    if category == "2" or behaviour.basis in ("stable", "slowly_growing"):
        return _Row("2", behaviour.basis or "baseline")
    return _Row(category, behaviour.basis or "baseline", behaviour.missing)


def _solid(nodule: Nodule) -> _Row:
    behaviour = _behaviour(nodule)
    if nodule.new:
        return _Row(_in(SOLID_NEW, nodule.size), "new")
    if behaviour.basis == "growing":
        return _Row(_in(SOLID_GROWING, nodule.size), "growing")
    return _settled(nodule, _in(SOLID, nodule.size), behaviour)


def _part_solid(nodule: Nodule) -> _Row:
    small = _in(PART_SOLID_TOTAL, nodule.size) == "small"
    changed = _in(PART_SOLID_SOLID_CHANGED, nodule.solid)
    if nodule.new:
        if small:
            changed = "4B" if changed == "4B" else "3"
        return _Row(changed, "new", _solid_missing(nodule))
    behaviour = _behaviour(nodule)
    solid = _solid_behaviour(nodule)
    if solid.basis == "growing":
        return _Row(changed, "growing", _solid_missing(nodule))
    by_size = "2" if small else _in(PART_SOLID_SOLID, nodule.solid)
    if by_size is None:
        return _Row(None, None, _solid_missing(nodule))
    if behaviour.basis == "growing":
        return _Row(_higher(by_size, "3"), "growing", solid.missing)
    if solid.basis == "slowly_growing":
        behaviour = solid
    return _settled(nodule, by_size, _Row(None, behaviour.basis, behaviour.missing + solid.missing))


def _solid_missing(nodule: Nodule) -> tuple[str, ...]:
    return ("solid_diameter",) if nodule.solid.equivalent_mm is None else ()


def _settled(nodule: Nodule, by_size: str | None, behaviour: _Row) -> _Row:
    """Categorise what is neither new nor growing, by size or by what its prior was."""
    if nodule.slowly_growing or behaviour.basis == "slowly_growing":
        return _Row("4B", "slowly_growing")
    if nodule.prior is None:
        return _Row(by_size, "baseline")
    if behaviour.missing:
        return _Row(by_size if by_size in POSITIVE else None, None, behaviour.missing)
    if rank(nodule.prior.category) < rank("2"):
        return _Row(by_size, "stable", ("prior.category",) if by_size in POSITIVE else ())
    stepped = _stepped(nodule.prior)
    before = _size_category(nodule.kind, nodule.prior)
    if before is None or rank(by_size) > rank(before):
        return _Row(_higher(stepped, by_size), "stable")
    return _Row(stepped, "stable")


def _stepped(prior: Prior) -> str | None:
    """Give the category that a stable nodule has after its prior's."""
    lower, months = STEPS.get(prior.category or "", (prior.category, 0.0))
    return lower if prior.months >= months - STEP_TOLERANCE_MONTHS else prior.category


def _size_category(kind: str | None, prior: Prior) -> str | None:
    """Give the category that the prior's size alone would have."""
    if kind == "solid":
        return _in(SOLID, prior.size)
    total = _in(PART_SOLID_TOTAL, prior.size)
    return "2" if total == "small" else total and _in(PART_SOLID_SOLID, prior.solid)


def _behaviour(nodule: Nodule) -> _Row:
    """Say in `basis` what the whole nodule did since its prior; None where there is none."""
    prior = nodule.prior
    if nodule.new:
        return _Row(None, "new")
    if prior is None:
        return _Row(None, "slowly_growing" if nodule.slowly_growing else None)
    if nodule.kind == "solid" and _denser(nodule.kind, prior.kind):
        return _Row(None, "growing")
    return _compared(nodule.size, prior.size, prior.months, "prior.diameter")


def _solid_behaviour(nodule: Nodule) -> _Row:
    """Say the same of the solid part of a part-solid nodule."""
    prior = nodule.prior
    if prior is None:
        return _Row(None)
    if prior.kind == "ground_glass":
        return _Row(None, "growing")
    return _compared(nodule.solid, prior.solid, prior.months, "prior.solid_diameter")


def _compared(now: Size, before: Size, months: float, name: str) -> _Row:
    if now.equivalent_mm is None or before.equivalent_mm is None:
        return _Row(None, None, (name,))
    return _Row(None, growth(now.equivalent_mm, before.equivalent_mm, months=months))


def _denser(now: str, before: str | None) -> bool:
    return before in DENSITIES and DENSITIES.index(now) > DENSITIES.index(before)


def _airway(nodule: Nodule) -> _Row:
    """Segmental or more proximal: 4A, and 4B when it persists. Subsegmental: 2, not growing."""
    behaviour = _behaviour(nodule)
    basis = behaviour.basis or "baseline"
    if nodule.kind == "airway_segmental":
        return _Row("4A", basis) if nodule.prior is None else _Row("4B", basis)
    if behaviour.missing:
        return _Row(None, None, behaviour.missing)
    if basis in ("growing", "slowly_growing"):
        return _Row(None, "no_row")
    return _Row("2", basis)


def _cyst(nodule: Nodule) -> _Row:
    """Thick-walled or multilocular: 4A, 4B when wall, locules or a multilocular one grow."""
    behaviour = _behaviour(nodule)
    basis = behaviour.basis or "baseline"
    if nodule.wall_growing or nodule.denser_or_more_locules:
        return _Row("4B", "growing")
    if nodule.prior is None or basis == "new":
        return _Row("4A", basis)
    if nodule.kind == "cyst_multilocular" and nodule.prior.kind not in (None, nodule.kind):
        return _Row("4A", "new")
    if basis in ("growing", "slowly_growing"):
        return _Row("4B" if nodule.kind == "cyst_multilocular" else "3", basis)
    if behaviour.missing or rank(nodule.prior.category) < 0:
        return _Row("4A", None, behaviour.missing or ("prior.category",))
    return _Row(_stepped(nodule.prior), "stable")


def _higher(one: str | None, other: str | None) -> str | None:
    return max(one, other, key=rank)
