"""Numbers that a network reads off an image: ``[recipe.post]`` of kind ``values``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from preprocess import fields
from preprocess.exceptions import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ValuesPost:
    """Numbers of a network become measures (`postprocess.values`)."""

    values: tuple[str, ...]
    """Names of the columns of the output ``scores``."""

    clinical: tuple[str, ...] = ()
    """Names of the columns of ``clinical``; ``inputs.clinical`` of the manifest."""

    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Value → clinical inputs without which it is not known."""

    sums: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Measure → factors of values and clinical inputs, whose sum it is; not known where one of
    them is not."""

    kind: str = "values"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> ValuesPost:
        """Read the table; raises `RecipeError`."""
        table = fields.table(value, where, {"kind", "values"}, {"clinical", "needs", "sums"})
        values = fields.names(table["values"], f"{where}.values", least=1)
        clinical = fields.names(table.get("clinical", []), f"{where}.clinical")
        needs: dict[str, tuple[str, ...]] = {}
        for name, inputs in _table(table.get("needs", {}), f"{where}.needs").items():
            _check(name, values, f"{where}.needs")
            needs[name] = fields.names(inputs, f"{where}.needs.{name}", least=1)
            for one in needs[name]:
                _check(one, clinical, f"{where}.needs.{name}")
        sums: dict[str, dict[str, float]] = {}
        for name, factors in _table(table.get("sums", {}), f"{where}.sums").items():
            sums[name] = {}
            for part, factor in _table(factors, f"{where}.sums.{name}").items():
                _check(part, (*values, *clinical), f"{where}.sums.{name}")
                sums[name][part] = fields.number(factor, f"{where}.sums.{name}.{part}")
        return cls(values=values, clinical=clinical, needs=needs, sums=sums)


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a table.")
    return value


def _check(name: str, known: tuple[str, ...], where: str) -> None:
    if name not in known:
        raise RecipeError(f"{where} names {name!r}; known are {', '.join(known) or 'none'}.")
