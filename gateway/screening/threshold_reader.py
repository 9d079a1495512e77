"""The table ``thresholds`` of ``pipeline.toml`` → `Thresholds`."""

from __future__ import annotations

from gateway.screening.thresholds import (
    COMPARISONS,
    MISSING,
    Alternative,
    Condition,
    LabelThresholds,
    LesionThresholds,
    Threshold,
    Thresholds,
)
from gateway.toml_table import TomlTable

_COMPARISONS = tuple(COMPARISONS)


def read_thresholds(table: TomlTable | None) -> Thresholds | None:
    """Read the table ``thresholds`` of a manifest."""
    if table is None:
        return None
    thresholds = Thresholds(
        id=table.text("id"),
        score=table.text("score"),
        unit=table.text("unit"),
        mark=_threshold(table.table("mark")),
        flag=_threshold(table.table("flag")),
        lesion=_lesion_thresholds(table.optional_table("lesion")),
        labels=_label_thresholds(table.optional_table("labels")),
    )
    table.done()
    return thresholds


def _lesion_thresholds(table: TomlTable | None) -> LesionThresholds | None:
    if table is None:
        return None
    thresholds = LesionThresholds(
        score=table.text("score", default="score"),
        mark=table.number("mark"),
        flag=table.number("flag"),
    )
    table.done()
    return thresholds


def _label_thresholds(table: TomlTable | None) -> dict[str, LabelThresholds]:
    if table is None:
        return {}
    labels = {}
    for name in table.names():
        item = table.table(name)
        labels[name] = LabelThresholds(mark=item.number("mark"), flag=item.number("flag"))
        item.done()
        if not 0 < labels[name].mark <= labels[name].flag < 1:
            table.refuse(f"{name} must have 0 < mark <= flag < 1")
    table.done()
    return labels


def _threshold(table: TomlTable) -> Threshold:
    threshold = Threshold(
        value=table.number("value"),
        at=table.text("at", one_of=_COMPARISONS),
        operating_point=table.text("operating_point"),
        false_flag_budget=table.optional_number("false_flag_budget"),
        also=tuple(_alternative(item) for item in table.tables("also")),
    )
    table.done()
    return threshold


def _alternative(table: TomlTable) -> Alternative:
    other = Alternative(
        id=table.text("id"),
        when=read_conditions(table),
        operating_point=table.text("operating_point"),
    )
    table.done()
    return other


def read_conditions(table: TomlTable, *, missing: bool = False) -> tuple[Condition, ...]:
    """Read ``when``: at least one condition.

    Parameters
    ----------
    missing : bool
        Whether a condition may be that a measure is missing.
    """
    known = (*_COMPARISONS, MISSING) if missing else _COMPARISONS
    conditions = []
    for item in table.tables("when"):
        measure, at = item.text("measure"), item.text("at", one_of=known)
        value = 0.0 if at == MISSING else item.number("value")
        item.done()
        conditions.append(Condition(measure=measure, at=at, value=value))
    if not conditions:
        table.refuse("when holds no condition")
    return tuple(conditions)
