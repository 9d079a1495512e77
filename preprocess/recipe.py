"""The recipe: what is done to a volume before and after its network, as data with a digest.

It is the ``[recipe]`` table of a pipeline's manifest and travels as JSON in ``RECIPE``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from preprocess.exceptions import RecipeError
from preprocess.grid import check_spacing


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
    """One window of the input."""

    clip_hu: tuple[float, float]
    """HU that become 0 and 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelmapPost:
    """A label map becomes organs: volumes, boxes, coverage, HU."""

    labels: tuple[str, ...]
    """Names; the index is the value, the first is the background."""

    single: tuple[str, ...] = ()
    """Labels of which only the largest component stays."""

    min_volume_ml: Mapping[str, float] = field(default_factory=dict)
    """By label, ml: smaller components are dropped."""

    erode_mm: float = 5.0
    """HU is measured farther than this from the organ's surface, mm."""

    edge_fraction: float = 0.05
    """Section on an edge of the volume ÷ largest section, above which the organ is truncated.
    Source: clinical contract, applicability."""

    outlier_sds: float = 3.0
    """Robust SDs from the eroded median, beyond which a voxel is not organ tissue."""

    kind: str = "labelmap"


POSTS: Mapping[str, type[LabelmapPost]] = {"labelmap": LabelmapPost}
"""What can be made of a network's outputs, by ``post.kind``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Grid, windows and postprocessing of one pipeline."""

    name: str
    grid: GridRecipe
    channels: tuple[Channel, ...]
    post: LabelmapPost

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
        table = _table(value, "recipe", {"name", "grid", "channels", "post"})
        channels = table["channels"]
        if not isinstance(channels, list) or not channels:
            raise RecipeError("recipe.channels must be a list of at least one window.")
        return cls(
            name=_text(table["name"], "recipe.name"),
            grid=_grid(table["grid"]),
            channels=tuple(_channel(c, f"recipe.channels[{i}]") for i, c in enumerate(channels)),
            post=_post(table["post"]),
        )

    def to_json(self) -> str:
        """Write the canonical JSON: every key, sorted, no spaces, floats as floats."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def digest(self) -> str:
        """Give the SHA-256 of the canonical JSON, in hexadecimal.

        Two recipes that do the same have the same digest, however they were written.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _grid(value: Any) -> GridRecipe:
    where = "recipe.grid"
    table = _table(value, where, {"spacing_mm"}, {"multiple", "minimum"})
    try:
        spacing = check_spacing(_numbers(table["spacing_mm"], f"{where}.spacing_mm", 3))
    except ValueError as error:
        raise RecipeError(f"{where}.spacing_mm: {error}") from None
    counts = {key: table.get(key, 1) for key in ("multiple", "minimum")}
    for key, count in counts.items():
        if type(count) is not int or not 1 <= count <= 1024:
            raise RecipeError(f"{where}.{key} must be a whole number from 1 to 1024, not {count}.")
    return GridRecipe(spacing_mm=spacing, **counts)


def _channel(value: Any, where: str) -> Channel:
    table = _table(value, where, {"clip_hu"})
    low, high = _numbers(table["clip_hu"], f"{where}.clip_hu", 2)
    if not low < high:
        raise RecipeError(f"{where}.clip_hu must rise; it is {low} to {high}.")
    return Channel(clip_hu=(low, high))


def _post(value: Any) -> LabelmapPost:
    where = "recipe.post"
    kind = value.get("kind") if isinstance(value, dict) else None
    if kind not in POSTS:
        raise RecipeError(f"{where}.kind must be one of {', '.join(POSTS)}; it is {kind!r}.")
    numbers = {"erode_mm", "edge_fraction", "outlier_sds"}
    table = _table(value, where, {"kind", "labels"}, {"single", "min_volume_ml", *numbers})
    labels = _names(table["labels"], f"{where}.labels")
    if not 2 <= len(labels) <= 256 or len(set(labels)) != len(labels):
        raise RecipeError(f"{where}.labels must be 2 to 256 different names.")
    single = _names(table.get("single", []), f"{where}.single")
    volumes = table.get("min_volume_ml", {})
    if not isinstance(volumes, dict):
        raise RecipeError(f"{where}.min_volume_ml must be a table of label and ml.")
    for name in (*single, *volumes):
        if name not in labels[1:]:
            raise RecipeError(f"{where} names {name!r}, which is not one of its labels.")
    options: dict[str, Any] = {
        key: _positive(table[key], f"{where}.{key}") for key in sorted(numbers & set(table))
    }
    return LabelmapPost(
        labels=labels,
        single=single,
        min_volume_ml={
            name: _positive(ml, f"{where}.min_volume_ml.{name}") for name, ml in volumes.items()
        },
        **options,
    )


def _table(
    value: Any, where: str, required: set[str], optional: frozenset[str] | set[str] = frozenset()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a table, not {type(value).__name__}.")
    if unknown := sorted(set(value) - required - optional):
        raise RecipeError(
            f"{where} has the unknown key {unknown[0]!r}; "
            f"known are {', '.join(sorted(required | optional))}."
        )
    if missing := sorted(required - set(value)):
        raise RecipeError(f"{where} lacks the key {missing[0]!r}.")
    return value


def _numbers(value: Any, where: str, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise RecipeError(f"{where} must be a list of {count} numbers.")
    return tuple(_number(item, where) for item in value)


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not abs(value) < float("inf"):
        raise RecipeError(f"{where} must be a finite number, not {value!r}.")
    return float(value)


def _positive(value: Any, where: str) -> float:
    number = _number(value, where)
    if number <= 0:
        raise RecipeError(f"{where} must be above 0; it is {number}.")
    return number


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise RecipeError(f"{where} must be a name.")
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RecipeError(f"{where} must be a list of names.")
    return tuple(_text(item, where) for item in value)
