"""What a study's page shows, and what its script is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.screening.manifest import Manifest
from gateway.ui.check import lesion_label
from gateway.ui.html import plain
from gateway.ui.marks import Compared, Marking, marks_of
from gateway.ui.words import Words

PRESETS = {
    "lung": (-600, 1500),
    "soft": (40, 400),
    "bone": (450, 1800),
    "liver_window": (80, 150),
}
"""Centre and width, HU: the windows that radiologists name."""

PRESET_OF_CHECK = {
    "nodule": "lung",
    "chest": "lung",
    "bone": "bone",
    "liver": "liver_window",
}
"""In which window a check's lesions are looked at; soft tissue for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What the page shows."""

    result: Mapping[str, Any]
    """As `gateway.results.json.screening_result` gives it."""

    attributes: Mapping[str, Any]
    volumes: Sequence[Mapping[str, Any]] | None
    """As `gateway.study.viewed.describe` gives them; None where no image is kept."""

    critical: Sequence[Mapping[str, Any]]
    manifests: Mapping[str, Manifest]
    newer: str | None = None
    """Identifier of a newer version."""

    reviews: bool = False
    """Whether reviews are written here."""

    marking: Marking | None = None
    """The marks that a reader makes here in place of a review."""

    compared: Compared | None = None
    """Marks that he has signed, beside the truth."""

    hidden: bool = False
    """Whether findings are kept back from him."""

    @property
    def has_pictures(self) -> bool:
        """Whether slices can be shown."""
        return any(one["shape"] for one in self.volumes or ())


def view_of(words: Words, shown: Study) -> dict[str, Any]:
    """Give the viewer what it needs: volumes that can be shown, lesions, masks."""
    steps = {
        step["check"]: step["series_key"] or step["series_instance_uid"]
        for step in (shown.result["plan"] or {}).get("checks", [])
    }
    compared = shown.compared
    missed = compared.missed if compared else frozenset()
    lesions, masks = [], []
    for check in shown.result["checks"]:
        key = steps.get(check["check"]) or check["provenance"].get("series_instance_uid")
        if check["mask"]:
            masks.append({"check": check["check"], "series": key})
        for lesion in check["lesions"]:
            if lesion["marked"]:
                lesions.append(
                    {
                        "check": check["check"],
                        "id": lesion["id"],
                        "series": key or lesion["series_instance_uid"],
                        "centre_mm": lesion["centre_mm"],
                        "box_mm": lesion["box_mm"],
                        "flagged": lesion["flagged"],
                        "mask_value": lesion["mask_value"],
                        "kind": lesion["kind"],
                        "long_diameter_mm": lesion["long_diameter_mm"],
                        "short_diameter_mm": lesion["short_diameter_mm"],
                        "judged": "missed" if (check["check"], lesion["id"]) in missed else "",
                        "label": lesion_label(words, lesion),
                        "preset": PRESET_OF_CHECK.get(check["check"], "soft"),
                    }
                )
    return {
        "study": shown.result["study"]["study_instance_uid"],
        "screening": shown.result["screening_id"],
        "final": shown.result["state"] in ("done", "failed", "cancelled"),
        "volumes": [
            {**one, "description": plain(one["description"], 60), "affine": one["affine_lps"]}
            for one in shown.volumes or ()
            if one["shape"]
        ],
        "first": next((key for key in steps.values() if key), None),
        "lesions": lesions,
        "masks": masks,
        "marks": marks_of(words, shown),
        "presets": PRESETS,
    }


def kinds_of(manifest: Manifest | None, result: Mapping[str, Any]) -> list[str]:
    """List the kinds that a lesion of a check may be called: the network's, and those it has."""
    recipe = json.loads(manifest.recipe_json) if manifest and manifest.recipe_json else {}
    kinds = list(recipe.get("post", {}).get("kinds") or ())
    for lesion in result["lesions"]:
        kinds += [*lesion["classes"], lesion["kind"]]
    return [kind for kind in dict.fromkeys(kinds) if kind]
