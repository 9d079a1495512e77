"""Findings of the chest by tiles: ``[recipe.post]`` of kind ``chest``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from preprocess import fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ChestPost:
    """Probabilities of labels and the tile that says each most (`postprocess.chest`)."""

    labels: tuple[str, ...]
    """Names of the columns of the network's ``probabilities`` and of the bank's labels."""

    tile: int
    """Edge of a tile, voxels of the grid."""

    bank: str
    """Model beside which the memory bank lies."""

    kind: str = "chest"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> ChestPost:
        """Read the table; raises `RecipeError`."""
        table = fields.table(value, where, {"kind", "labels", "tile", "bank"})
        return cls(
            labels=fields.names(table["labels"], f"{where}.labels", least=1),
            tile=fields.whole(table["tile"], f"{where}.tile", least=1, most=1024),
            bank=fields.text(table["bank"], f"{where}.bank"),
        )
