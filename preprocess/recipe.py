"""The recipe: what is done to a volume before and after its network, as data with a digest.

It is the ``[recipe]`` table of a pipeline's manifest and travels as JSON in ``RECIPE``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from preprocess import fields
from preprocess.arrays import Array
from preprocess.exceptions import RecipeError
from preprocess.grid import check_spacing
from preprocess.posts import Post, read_post
from preprocess.window import ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRecipe:
    """The grid that a network sees."""

    spacing_mm: tuple[float, float, float]
    """mm, axis order."""

    multiple: int = 1
    """Voxels; each axis is padded to a multiple of it."""

    minimum: int = 1
    """Voxels; and to at least this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One window of the input: by HU, or by percentiles for images without HU."""

    clip_hu: tuple[float, float] | None = None
    """HU that become 0 and 1."""

    percentiles: tuple[float, float] | None = None
    """Percentiles of the values on the grid that become 0 and 1."""

    def ends(self, values: Array) -> tuple[float, float]:
        """Give what becomes 0 and 1 of some values."""
        if self.clip_hu is not None:
            return self.clip_hu
        return ends_at(values, self.percentiles or (0.0, 100.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRecipe:
    """The scan's own pixels, for a rule that a network's grid would falsify."""

    increment_mm: float
    """Slices that lie at half of this or closer are averaged to this increment, mm; others stay
    as they are. Rows and columns always stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Grid, windows and postprocessing of one pipeline."""

    name: str
    grid: GridRecipe
    channels: tuple[Channel, ...]
    post: Post
    scan: ScanRecipe | None = None

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Read a recipe from JSON.

        Raises
        ------
        RecipeError
            When it is not JSON, has an unknown key, lacks one, or a value is out of range;
            the message names the key.
        """
        try:
            value = json.loads(text)
        except (ValueError, UnicodeDecodeError) as error:
            raise RecipeError(f"the recipe is not JSON: {error}.") from None
        return cls.from_mapping(value)

    @classmethod
    def from_mapping(cls, value: Any) -> Recipe:
        """Read a recipe from the ``[recipe]`` table of a manifest; raises as `from_json`."""
        table = fields.table(value, "recipe", {"name", "grid", "channels", "post"}, {"scan"})
        channels = table["channels"]
        if not isinstance(channels, list) or not channels:
            raise RecipeError("recipe.channels must be a list of at least one window.")
        recipe = cls(
            name=fields.text(table["name"], "recipe.name"),
            grid=_grid(table["grid"]),
            channels=tuple(_channel(c, f"recipe.channels[{i}]") for i, c in enumerate(channels)),
            post=read_post(table["post"], "recipe.post"),
            scan=_scan(table["scan"]) if "scan" in table else None,
        )
        if recipe.post.kind == "calcium" and recipe.scan is None:
            raise RecipeError("recipe lacks the key 'scan', which post.kind calcium needs.")
        return recipe

    def to_json(self) -> str:
        """Write the canonical JSON: every key, sorted, no spaces, floats as floats.

        An optional table that is absent is left out, and of a channel the kind that it is not.
        """
        values = _known(asdict(self)) | {"channels": [_known(asdict(c)) for c in self.channels]}
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def digest(self) -> str:
        """Give the SHA-256 of the canonical JSON, in hexadecimal.

        Two recipes that do the same have the same digest, however they were written.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _grid(value: Any) -> GridRecipe:
    where = "recipe.grid"
    table = fields.table(value, where, {"spacing_mm"}, {"multiple", "minimum"})
    try:
        spacing = check_spacing(fields.numbers(table["spacing_mm"], f"{where}.spacing_mm", 3))
    except ValueError as error:
        raise RecipeError(f"{where}.spacing_mm: {error}") from None
    counts = {
        key: fields.whole(table.get(key, 1), f"{where}.{key}", least=1, most=1024)
        for key in ("multiple", "minimum")
    }
    return GridRecipe(spacing_mm=spacing, **counts)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _channel(value: Any, where: str) -> Channel:
    given = value.keys() & {"clip_hu", "percentiles"} if isinstance(value, dict) else set()
    if len(given) > 1:
        raise RecipeError(f"{where} must have clip_hu or percentiles, not both.")
    key = next(iter(given), "clip_hu")
    table = fields.table(value, where, {key})
    low, high = fields.numbers(table[key], f"{where}.{key}", 2)
    if not low < high:
        raise RecipeError(f"{where}.{key} must rise; it is {low} to {high}.")
    if key == "clip_hu":
        return Channel(clip_hu=(low, high))
    if not 0 <= low < high <= 100:
        raise RecipeError(f"{where}.percentiles must lie between 0 and 100.")
    return Channel(percentiles=(low, high))


def _scan(value: Any) -> ScanRecipe:
    table = fields.table(value, "recipe.scan", {"increment_mm"})
    return ScanRecipe(
        increment_mm=fields.positive(table["increment_mm"], "recipe.scan.increment_mm")
    )
