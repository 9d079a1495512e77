"""The kinds of ``recipe.post``: read strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from preprocess.exceptions import RecipeError
from preprocess.posts import POSTS, read_post
from preprocess.recipe import Recipe

KINDS: dict[str, dict[str, Any]] = {
    "labelmap": {"labels": ["background", "liver"]},
    "lesions": {
        "labels": ["background", "pancreas", "lesion", "duct"],
        "lesion": "lesion",
        "organ": ["pancreas", "lesion", "duct"],
        "calibres": {"duct_mm": ["duct"]},
        "kinds": ["pdac", "ipmn"],
        "within": ["pancreas"],
        "within_mm": 12,
    },
    "calcium": {"labels": ["background", "heart", "lad", "rca"], "territories": ["lad", "rca"]},
    "detections": {
        "detector": "bone_net",
        "classifier": "bone_crops",
        "kinds": ["lytic", "island"],
        "wanted": ["lytic"],
        "tile": [64, 96, 96],
        "margin": [4, 8, 8],
        "organs": ["vertebrae", "other_bone"],
    },
    "grades": {
        "grades": {"steatosis": ["S0", "S1", "S2", "S3"]},
        "scores": ["steatosis_score"],
    },
    "values": {
        "values": ["bone_age_months", "mirrored"],
        "clinical": ["sex", "age_months"],
        "needs": {"bone_age_months": ["sex"]},
        "sums": {"ahead_months": {"bone_age_months": 1.0, "age_months": -1.0}},
    },
    "chest": {"labels": ["mass", "cavity"], "tile": 16, "bank": "chest_net"},
}


def recipe(kind: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "check",
        "grid": {"spacing_mm": [3, 3, 3]},
        "channels": [{"clip_hu": [-160, 240]}],
        "post": {"kind": kind} | KINDS[kind] | changes,
        "scan": {"increment_mm": 3},
    }


def test_every_kind_is_shown_here() -> None:
    """So that each is read in the tests below."""
    assert set(KINDS) == set(POSTS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_of_each_kind_travels_unchanged(kind: str) -> None:
    """As JSON and back, with one digest."""
    read = Recipe.from_json(json.dumps(recipe(kind)))
    assert read.post.kind == kind
    assert Recipe.from_json(read.to_json()) == read


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_refuses_a_key_that_it_does_not_know(kind: str) -> None:
    """A misspelt option would be ignored silently."""
    with pytest.raises(RecipeError, match=r"recipe\.post has the unknown key 'smooth'"):
        Recipe.from_mapping(recipe(kind, smooth=1))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("lesions", {"lesion": "tumour"}, "'tumour', which is not one of its labels"),
        ("lesions", {"lesion": "background"}, "'background', which is not"),
        ("lesions", {"organ": []}, "1 or more different names"),
        ("lesions", {"calibres": {"vein_mm": ["vein"]}}, "'vein', which is not"),
        ("lesions", {"within_mm": 0}, "above 0"),
        ("lesions", {"most": 0}, "whole number from 1 to 128"),
        (
            "lesions",
            {"labels": [*KINDS["lesions"]["labels"], *map(str, range(250))]},
            "more than a mask can number",
        ),
        ("calcium", {"territories": ["lcx"]}, "'lcx', which is not"),
        ("calcium", {"territories": []}, "1 or more"),
        ("detections", {"margin": [32, 8, 8]}, "leaves nothing of a tile"),
        ("detections", {"tile": [64, 96]}, "3 whole numbers"),
        ("detections", {"wanted": ["mixed"]}, "'mixed', which is not one of its kinds"),
        ("detections", {"chunk": 0}, "whole number"),
        ("detections", {"glassy": ["glass"]}, "glassy names 'glass'"),
        ("detections", {"around_mm": -1}, "must not be below 0"),
        ("detections", {"outline": 1}, "must be true or false"),
        ("grades", {"grades": {}}, "is empty"),
        ("grades", {"grades": ["S0", "S1"]}, "table of a name and names"),
        ("grades", {"grades": {"steatosis": ["S0"]}}, "2 or more"),
        ("values", {"values": []}, "1 or more"),
        ("values", {"needs": {"weeks": ["sex"]}}, "needs names 'weeks'"),
        ("values", {"needs": {"mirrored": ["bmi"]}}, "names 'bmi'; known are sex, age_months"),
        ("values", {"sums": {"ahead": {"bmi": 1.0}}}, "sums.ahead names 'bmi'"),
        ("values", {"sums": {"ahead": {"mirrored": "1"}}}, "finite number"),
        ("values", {"sums": []}, "sums must be a table"),
        ("chest", {"labels": ["mass", "mass"]}, "1 or more different names"),
        ("chest", {"tile": 0}, "tile must be a whole number"),
        ("chest", {"bank": ""}, "bank must be a name"),
    ],
)
def test_a_value_out_of_range_is_refused(kind: str, change: dict[str, Any], message: str) -> None:
    """The message names the key."""
    with pytest.raises(RecipeError, match=message):
        Recipe.from_mapping(recipe(kind, **change))


def test_calcium_needs_the_scan_s_own_pixels() -> None:
    """An Agatston score on another grid would be another number."""
    bare = {key: value for key, value in recipe("calcium").items() if key != "scan"}
    with pytest.raises(RecipeError, match="lacks the key 'scan'"):
        Recipe.from_mapping(bare)


def test_an_absent_table_leaves_the_digest_as_it_was() -> None:
    """Recipes that do not use a later key keep their digest."""
    bare = {key: value for key, value in recipe("labelmap").items() if key != "scan"}
    assert "scan" not in Recipe.from_mapping(bare).to_json()


@pytest.mark.parametrize("value", [None, [], {"kind": "tiles"}, {"kind": []}])
def test_an_unknown_kind_is_refused(value: Any) -> None:
    """The message lists the known ones."""
    with pytest.raises(RecipeError, match="labelmap, lesions, calcium, detections, grades"):
        read_post(value, "recipe.post")
