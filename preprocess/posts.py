"""What is made of a network's outputs: ``[recipe.post]``, one kind for each way.

The function of a kind is in `postprocess.finish.FINISHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from preprocess import fields
from preprocess.chest_post import ChestPost
from preprocess.exceptions import RecipeError
from preprocess.values_post import ValuesPost

Triple = tuple[int, int, int]

MOST_LESIONS = 8
"""That one organ's answer lists; a ninth would change nothing that a reader does."""


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

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> LabelmapPost:
        """Read the table; raises `RecipeError`."""
        numbers = {"erode_mm", "edge_fraction", "outlier_sds"}
        table = fields.table(
            value, where, {"kind", "labels"}, {"single", "min_volume_ml", *numbers}
        )
        labels = fields.labels(table["labels"], f"{where}.labels")
        single = fields.names(table.get("single", []), f"{where}.single")
        volumes = table.get("min_volume_ml", {})
        if not isinstance(volumes, dict):
            raise RecipeError(f"{where}.min_volume_ml must be a table of label and ml.")
        fields.among((*single, *volumes), labels, where)
        return cls(
            labels=labels,
            single=single,
            min_volume_ml={
                name: fields.positive(ml, f"{where}.min_volume_ml.{name}")
                for name, ml in volumes.items()
            },
            **_positives(table, where, numbers),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionsPost:
    """A label map with a heat map becomes measured lesions (`postprocess.lesions`)."""

    labels: tuple[str, ...]
    """Names of the network's labels; the index is the value, the first is the background."""

    lesion: str
    """The label that is the finding; the heat map is its probability."""

    organ: tuple[str, ...]
    """Labels that make up the organ, the lesion among them where it belongs to it: their volume
    is measured, and the HU of the first. Lesions far from it are dropped."""

    kinds: tuple[str, ...] = ()
    """What the differential tells apart, in the order of the network's ``kinds``."""

    calibres: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a measure → labels of a tube, a duct or a wall: the largest circle within any of
    its sections is measured, mm."""

    within: tuple[str, ...] = ()
    """Organs of ORGANS that may hold a lesion, beside the network's own `organ`."""

    within_mm: float = 10.0
    """A lesion whose nearest voxel is farther from them than this is dropped."""

    least_chance: float = 0.5
    """A voxel is lesion from this probability on, or where the label map says so."""

    place_from: float = 0.5
    """Where no voxel is lesion but the patient's score is at least this, the most suspicious
    place is given: a finding without a place cannot be looked at."""

    min_volume_mm3: float = 50.0
    """Smaller components are noise; a ball of 4.6 mm."""

    most: int = MOST_LESIONS
    """Lesions that are listed, by falling score."""

    kind: str = "lesions"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> LesionsPost:
        """Read the table; raises `RecipeError`."""
        numbers = {"within_mm", "least_chance", "place_from", "min_volume_mm3"}
        lists = {"kinds", "within"}
        optional = {"most", "calibres", *lists, *numbers}
        table = fields.table(value, where, {"kind", "labels", "lesion", "organ"}, optional)
        labels = fields.labels(table["labels"], f"{where}.labels")
        lesion = fields.text(table["lesion"], f"{where}.lesion")
        organ = fields.names(table["organ"], f"{where}.organ", least=1)
        given: dict[str, Any] = {
            key: fields.names(table.get(key, []), f"{where}.{key}") for key in lists
        }
        calibres = _name_lists(table.get("calibres", {}), f"{where}.calibres", least=1)
        fields.among(
            (lesion, *organ, *(n for tube in calibres.values() for n in tube)), labels, where
        )
        options = _positives(table, where, numbers)
        if "most" in table:
            options["most"] = fields.whole(table["most"], f"{where}.most", least=1, most=128)
        if len(labels) + options.get("most", MOST_LESIONS) > 256:
            raise RecipeError(f"{where}: labels and lesions are more than a mask can number.")
        return cls(labels=labels, lesion=lesion, organ=organ, calibres=calibres, **given, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalciumPost:
    """A map of coronary territories becomes a calcium score (`postprocess.calcium`).

    It needs the scan's own pixels: the recipe must have a table ``scan``.
    """

    labels: tuple[str, ...]
    """Names of the network's labels; the index is the value, the first is the background."""

    territories: tuple[str, ...]
    """Labels that are coronary territories; each is a vessel in the answer."""

    noise_organ: str = "aorta"
    """Organ of ORGANS whose SD of HU is the noise of the scan."""

    erode_mm: float = 5.0
    """The noise is measured farther than this from the organ's surface, mm."""

    kind: str = "calcium"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> CalciumPost:
        """Read the table; raises `RecipeError`."""
        table = fields.table(
            value, where, {"kind", "labels", "territories"}, {"noise_organ", "erode_mm"}
        )
        labels = fields.labels(table["labels"], f"{where}.labels")
        territories = fields.names(table["territories"], f"{where}.territories", least=1)
        fields.among(territories, labels, where)
        options = _positives(table, where, {"erode_mm"})
        if "noise_organ" in table:
            options["noise_organ"] = fields.text(table["noise_organ"], f"{where}.noise_organ")
        return cls(labels=labels, territories=territories, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionsPost:
    """Tiles are searched and their marks become lesions (`postprocess.detected`)."""

    detector: str
    """Model that maps ``volume`` (N, channels, D, H, W) to ``peaks`` (N, K, 5 + kinds)."""

    classifier: str
    """Model that maps ``crops`` (n, channels, crop, crop, crop) to ``chance`` and ``kinds``."""

    kinds: tuple[str, ...]
    """In the order of both models."""

    tile: Triple
    """Voxels of a tile, axis order."""

    margin: Triple
    """Voxels at each side of a tile for which its neighbour answers."""

    organs: tuple[str, ...]
    """Organs of ORGANS in which to look."""

    crop: int = 32
    """Edge of the cube around a mark that the classifier sees, voxels, even."""

    around_mm: float = 0.0
    """Kept around the organs: what touches a wall may not be labelled as organ, mm."""

    wanted: tuple[str, ...] = ()
    """Kinds that are the finding: a mark's score is its probability to be one of them.
    Empty is any."""

    candidates: int = 50
    """Marks of a scan that the classifier looks at."""

    least_score: float = 0.02
    """Peaks below it are no candidates."""

    list_from: float = 0.1
    """Probability of any kind from which a mark is listed."""

    most: int = 32
    """Lesions that are listed, by falling score."""

    outline: bool = False
    """Whether a mark is a nodule in the lung, to be outlined and measured on the image."""

    glassy: tuple[str, ...] = ()
    """Kinds of nodule with a faint border."""

    metal_mm: float = 0.0
    """A mark this near to metal has no score: streaks look like lesions. 0 lets all have one."""

    chunk: int = 4
    """Tiles in one request, so that several studies take turns."""

    kind: str = "detections"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> DetectionsPost:
        """Read the table; raises `RecipeError`."""
        counts = {"crop": 256, "candidates": 1024, "most": 1024, "chunk": 64}
        required = {"kind", "detector", "classifier", "kinds", "tile", "margin", "organs"}
        numbers = {"least_score", "list_from"}
        distances = ("around_mm", "metal_mm")
        optional = {*distances, "wanted", "outline", "glassy", *numbers, *counts}
        table = fields.table(value, where, required, optional)
        tile = fields.wholes(table["tile"], f"{where}.tile", least=1, most=1024)
        margin = fields.wholes(table["margin"], f"{where}.margin", least=0, most=512)
        if any(size <= 2 * edge for size, edge in zip(tile, margin)):
            raise RecipeError(f"{where}: a margin of {margin} leaves nothing of a tile of {tile}.")
        kinds = fields.names(table["kinds"], f"{where}.kinds", least=1)
        some: dict[str, Any] = {
            key: fields.names(table.get(key, []), f"{where}.{key}") for key in ("wanted", "glassy")
        }
        for key, given in some.items():
            for name in given:
                if name not in kinds:
                    raise RecipeError(
                        f"{where}.{key} names {name!r}, which is not one of its kinds."
                    )
        options: dict[str, Any] = {
            key: fields.whole(table[key], f"{where}.{key}", least=1, most=most)
            for key, most in counts.items()
            if key in table
        }
        for key in distances:
            options[key] = fields.not_negative(table.get(key, 0), f"{where}.{key}")
        return cls(
            detector=fields.text(table["detector"], f"{where}.detector"),
            classifier=fields.text(table["classifier"], f"{where}.classifier"),
            kinds=kinds,
            tile=tile,
            margin=margin,
            organs=fields.names(table["organs"], f"{where}.organs", least=1),
            outline=fields.flag(table.get("outline", False), f"{where}.outline"),
            **some,
            **_positives(table, where, numbers),
            **options,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GradesPost:
    """Cumulative probabilities become grades (`postprocess.grades`)."""

    grades: Mapping[str, tuple[str, ...]]
    """Output of the network → names of its grades in rising order, one more than it has numbers:
    number k is the probability of a grade above the k-th."""

    scores: tuple[str, ...]
    """Names of the columns of the output ``scores``."""

    kind: str = "grades"

    @classmethod
    def read(cls, value: dict[str, Any], where: str) -> GradesPost:
        """Read the table; raises `RecipeError`."""
        table = fields.table(value, where, {"kind", "grades", "scores"})
        grades = _name_lists(table["grades"], f"{where}.grades", least=2)
        if not grades:
            raise RecipeError(f"{where}.grades is empty.")
        scores = fields.names(table["scores"], f"{where}.scores", least=1)
        return cls(grades=grades, scores=scores)


Post = (
    LabelmapPost | LesionsPost | CalciumPost | DetectionsPost | GradesPost | ValuesPost | ChestPost
)

POSTS: Mapping[str, Callable[[dict[str, Any], str], Post]] = {
    "labelmap": LabelmapPost.read,
    "lesions": LesionsPost.read,
    "calcium": CalciumPost.read,
    "detections": DetectionsPost.read,
    "grades": GradesPost.read,
    "values": ValuesPost.read,
    "chest": ChestPost.read,
}
"""What can be made of a network's outputs, by ``post.kind``: who reads the table."""


def read_post(value: Any, where: str) -> Post:
    """Read ``recipe.post``.

    Raises
    ------
    RecipeError
        For an unknown kind, and whatever its reader refuses.
    """
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in POSTS:
        raise RecipeError(f"{where}.kind must be one of {', '.join(POSTS)}; it is {kind!r}.")
    return POSTS[kind](value, where)


def _positives(table: dict[str, Any], where: str, keys: set[str]) -> dict[str, Any]:
    """Give those of some optional numbers above 0 that are there."""
    return {key: fields.positive(table[key], f"{where}.{key}") for key in sorted(keys & set(table))}


def _name_lists(value: Any, where: str, *, least: int) -> dict[str, tuple[str, ...]]:
    """Give a table of name and names."""
    if not isinstance(value, dict):
        raise RecipeError(f"{where} must be a table of a name and names.")
    return {
        fields.text(name, where): fields.names(names, f"{where}.{name}", least=least)
        for name, names in value.items()
    }
