"""Recipes: read strictly, written canonically."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from preprocess.exceptions import RecipeError
from preprocess.recipe import Recipe

RECIPE: dict[str, Any] = {
    "name": "organs",
    "grid": {"spacing_mm": [3, 3, 3], "multiple": 16, "minimum": 32},
    "channels": [{"clip_hu": [-160, 240]}, {"clip_hu": [-1024, 1024]}],
    "post": {
        "kind": "labelmap",
        "labels": ["background", "spleen", "liver"],
        "single": ["liver"],
        "min_volume_ml": {"liver": 20},
        "erode_mm": 5,
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Give the recipe with one value replaced; ``a.b`` names it."""
    recipe = copy.deepcopy(RECIPE)
    *parents, last = path.split(".")
    table: Any = recipe
    for key in parents:
        table = table[int(key)] if key.isdigit() else table[key]
    table[int(last) if last.isdigit() else last] = value
    return recipe


def test_a_recipe_reads_back_what_it_writes() -> None:
    """Through its canonical JSON."""
    recipe = Recipe.from_json(json.dumps(RECIPE))
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_the_digest_is_of_what_is_done_and_not_of_how_it_is_written() -> None:
    """Order, spaces, 3 for 3.0 and a default written out change nothing."""
    written = json.dumps(dict(reversed(RECIPE.items())), indent=2)
    explicit = changed("post.edge_fraction", 0.05)
    digests = {
        Recipe.from_json(written).digest(),
        Recipe.from_mapping(changed("grid.spacing_mm", [3.0, 3.0, 3.0])).digest(),
        Recipe.from_mapping(explicit).digest(),
        Recipe.from_mapping(RECIPE).digest(),
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 64


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("grid.spacing_mm", [3, 3, 2.5]),
        ("channels", [{"clip_hu": [-160, 240]}]),
        ("post.erode_mm", 4),
        ("post.single", []),
    ],
)
def test_whatever_changes_the_result_changes_the_digest(path: str, value: Any) -> None:
    """Spacing, windows, measures."""
    other = Recipe.from_mapping(changed(path, value))
    assert other.digest() != Recipe.from_mapping(RECIPE).digest()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("blur", 1, "recipe has the unknown key 'blur'"),
        ("grid.tiles", 1, "recipe.grid has the unknown key 'tiles'"),
        ("channels.0.gamma", 1, r"recipe.channels\[0\] has the unknown key 'gamma'"),
        ("post.smooth", 1, "recipe.post has the unknown key 'smooth'"),
        ("post.kind", "tiles", "must be one of labelmap"),
        ("grid.spacing_mm", [3, 0, 3], "three positive numbers"),
        ("grid.spacing_mm", [3, 3], "list of 3 numbers"),
        ("grid.multiple", 0, "whole number"),
        ("grid.minimum", True, "whole number"),
        ("channels", [], "at least one window"),
        ("channels.0.clip_hu", [240, -160], "must rise"),
        ("channels.0.clip_hu", ["-160", 240], "finite number"),
        ("channels.0.percentiles", [1, 99], "not both"),
        ("channels.0", {"percentiles": [1, 101]}, "between 0 and 100"),
        ("channels.0", {"percentiles": [99, 1]}, "must rise"),
        ("post.labels", ["background"], "2 to 256 different names"),
        ("post.labels", ["background", "liver", "liver"], "different names"),
        ("post.single", ["heart"], "'heart', which is not one of its labels"),
        ("post.min_volume_ml", {"background": 1}, "'background', which is not"),
        ("post.erode_mm", -1, "above 0"),
        ("name", "", "must be a name"),
        ("grid", [], "must be a table"),
    ],
)
def test_a_recipe_that_is_not_understood_is_refused(path: str, value: Any, message: str) -> None:
    """The message names the key."""
    with pytest.raises(RecipeError, match=message):
        Recipe.from_mapping(changed(path, value))


@pytest.mark.parametrize("key", ["name", "grid", "channels", "post"])
def test_a_missing_key_is_named(key: str) -> None:
    """Nothing that a network needs has a default."""
    recipe = {name: value for name, value in RECIPE.items() if name != key}
    with pytest.raises(RecipeError, match=f"lacks the key '{key}'"):
        Recipe.from_mapping(recipe)


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[]", '{"grid": NaN}'])
def test_what_is_not_json_of_a_recipe_is_refused(text: str | bytes) -> None:
    """Empty, cut, not UTF-8, a list, a number that JSON has not."""
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_a_window_by_percentiles_travels_unchanged() -> None:
    """For images without HU; a channel holds the one kind of window that it is."""
    recipe = Recipe.from_mapping(changed("channels", [{"percentiles": [1, 99.5]}]))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert json.loads(recipe.to_json())["channels"] == [{"percentiles": [1.0, 99.5]}]
    assert json.loads(Recipe.from_mapping(RECIPE).to_json())["channels"][0] == {
        "clip_hu": [-160.0, 240.0]
    }
