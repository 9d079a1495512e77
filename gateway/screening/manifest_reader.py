"""``pipeline.toml`` → `Manifest`; a key that nobody knows is refused."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from gateway.exceptions import ManifestError
from gateway.screening.anatomy import COVERAGES, SIDES
from gateway.screening.manifest import (
    ANATOMY,
    CT,
    IMAGE_SIDES,
    KERNELS,
    KINDS,
    LATENCY_CLASSES,
    MANIFEST_NAME,
    PHASES,
    STATES,
    URGENCIES,
    WITHOUT_WEIGHTS,
    Doubt,
    FollowUp,
    Grade,
    Manifest,
    Measure,
    Needs,
    OrganNeed,
    PhaseGate,
    Roi,
    Rule,
    Text,
)
from gateway.screening.reasons import REASONS
from gateway.screening.threshold_reader import read_conditions, read_thresholds
from gateway.toml_table import TomlTable
from gateway.triton.onnx_labels import has_random_weights
from preprocess.bank import ARRAYS, DESCRIPTION
from preprocess.chest_post import ChestPost
from preprocess.exceptions import RecipeError
from preprocess.recipe import Recipe

SCHEMA = 1
"""Version of the format."""


def load_manifests(model_repository: Path) -> dict[str, Manifest]:
    """Read every manifest of a model repository.

    Returns
    -------
    dict
        Name → manifest, in alphabetical order.

    Raises
    ------
    ManifestError
        For the first manifest that breaks its contract, or when there is none.
    """
    paths = sorted(model_repository.glob(f"*/{MANIFEST_NAME}"))
    if not paths:
        raise ManifestError(f"{model_repository} has no {MANIFEST_NAME}.")
    manifests = {path.parent.name: read_manifest(path) for path in paths}
    for manifest in manifests.values():
        source = manifest.rule.source if manifest.rule else None
        if source is not None and source not in manifests:
            raise ManifestError(
                f"{manifest.name}/{MANIFEST_NAME}: its source {source!r} is not in the repository."
            )
        _check_after(manifest, manifests)
    return _with_random_anatomy(manifests)


def _with_random_anatomy(manifests: dict[str, Manifest]) -> dict[str, Manifest]:
    """Tell each manifest that needs organs where they come from random weights."""
    drawn = manifests[ANATOMY].random_weights if ANATOMY in manifests else ()
    if not drawn:
        return manifests
    return {
        name: replace(one, random_weights=tuple(dict.fromkeys((*one.random_weights, *drawn))))
        if one.needs.has_anatomy
        else one
        for name, one in manifests.items()
    }


def _check_after(manifest: Manifest, manifests: Mapping[str, Manifest]) -> None:
    """Refuse checks that would wait for each other; one that is not installed is not waited for."""
    seen: set[str] = set()
    ahead = list(manifest.after)
    while ahead:
        name = ahead.pop()
        if name == manifest.name:
            raise ManifestError(
                f"{manifest.name}/{MANIFEST_NAME}: after leads back to the check itself."
            )
        if name not in seen and name in manifests:
            seen.add(name)
            if not manifests[name].is_check:
                raise ManifestError(
                    f"{manifest.name}/{MANIFEST_NAME}: after names {name!r}, which is no check."
                )
            ahead += manifests[name].after


def read_manifest(path: Path) -> Manifest:
    """Read one manifest.

    Raises
    ------
    ManifestError
        Naming file, table and key.
    """
    where = f"{path.parent.name}/{path.name}"
    data = path.read_bytes()
    try:
        table = TomlTable(tomllib.loads(data.decode()), where)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"{where}: {error}.") from None
    if (schema := table.number("schema")) != SCHEMA:
        table.refuse(f"schema is {schema:g}; this release reads {SCHEMA}")
    if (name := table.text("name")) != path.parent.name:
        table.refuse(f"name is {name!r}, but the folder is {path.parent.name!r}")
    manifest = _manifest(table, name, hashlib.sha256(data).hexdigest(), path.parent.parent)
    table.done()
    if manifest.kind == "rule" and (manifest.rule is None or manifest.rule.source is None):
        table.refuse("kind is rule, but there is no table rule with a source")
    if manifest.after and not (manifest.is_check and manifest.rule):
        table.refuse("after is given, but there is no rule to read those results")
    if manifest.without_weights == "rule" and manifest.rule is None:
        table.refuse("without_weights is rule, but there is no rule")
    if not isinstance(manifest.provenance.get("accepted", True), bool):
        table.refuse("provenance.accepted must be true or false")
    asks_organs = manifest.needs.organs or manifest.roi or manifest.organs
    if asks_organs and not manifest.needs.has_anatomy:
        table.refuse("requires, roi or inputs ask for organs, which are seen in CT only")
    if manifest.kind != "rule" and not (manifest.ensemble and manifest.recipe_json):
        table.refuse(f"kind is {manifest.kind}, so ensemble and recipe must be given")
    return manifest


def _manifest(table: TomlTable, name: str, digest: str, repository: Path) -> Manifest:
    inputs = table.table("inputs")
    clinical, report = inputs.texts("clinical"), inputs.flag("report", default=False)
    organs = inputs.flag("organs", default=False)
    inputs.done()
    provenance = table.mapping("provenance")
    recipe = _recipe(table)
    classes = tuple(_grade(item) for item in table.tables("classes"))
    return Manifest(
        name=name,
        version=table.text("version"),
        kind=table.text("kind", one_of=KINDS),
        ensemble=table.optional_text("ensemble"),
        latency_class=table.text("latency_class", one_of=LATENCY_CLASSES),
        timeout_seconds=table.number("timeout_seconds"),
        title=_texts(table.table("title")),
        intended_use=_texts(table.table("intended_use")),
        limits=_optional_texts(table.optional_table("limits")),
        needs=_needs(table.table("requires")),
        after=table.texts("after", default=()),
        clinical=clinical,
        report=report,
        organs=organs,
        roi=_roi(table.optional_table("roi")),
        recipe_json=recipe.to_json() if recipe else None,
        recipe_digest=recipe.digest() if recipe else None,
        rule=_rule(table.optional_table("rule")),
        measures=tuple(_measure(item) for item in table.tables("measures")),
        classes=classes,
        scores=table.texts("scores", default=tuple(grade.name for grade in classes)),
        thresholds=read_thresholds(table.optional_table("thresholds")),
        indeterminate=tuple(_doubt(item) for item in table.tables("indeterminate")),
        follow_up=tuple(_follow_up(item) for item in table.tables("follow_up")),
        codes=_codes(table.optional_table("codes")),
        phase=_phase(table.optional_table("phase")),
        outputs=dict(_output(item) for item in table.tables("outputs")),
        provenance=provenance,
        cost=_cost(table.optional_table("cost")),
        digest=digest,
        models={
            **_models(table, provenance.get("model", []), repository),
            **_banks(recipe, repository),
        },
        random_weights=_random(provenance.get("model", []), repository),
        without_weights=table.text(
            "without_weights", default="not_evaluated", one_of=WITHOUT_WEIGHTS
        ),
    )


def _recipe(table: TomlTable) -> Recipe | None:
    values = table.mapping("recipe")
    if not values:
        return None
    try:
        return Recipe.from_mapping(values)
    except RecipeError as error:
        table.refuse(str(error).rstrip("."))


def _texts(table: TomlTable) -> Text:
    text = Text(en=table.text("en"), zh=table.text("zh"))
    table.done()
    return text


def _optional_texts(table: TomlTable | None) -> Text | None:
    return None if table is None else _texts(table)


def _needs(table: TomlTable) -> Needs:
    modality = table.texts("modality")
    unknown = None if CT in modality else ("unknown",)
    needs = Needs(
        modality=modality,
        body_part=table.texts("body_part", default=()),
        side=table.texts("side", default=(), one_of=IMAGE_SIDES),
        contrast=table.texts("contrast", default=unknown, one_of=PHASES),
        kernel=table.texts("kernel", default=unknown, one_of=KERNELS),
        max_slice_thickness_mm=table.number(
            "max_slice_thickness_mm", default=None if CT in modality else inf
        ),
        warn_slice_thickness_mm=table.optional_number("warn_slice_thickness_mm"),
        min_age_years=table.number("min_age_years"),
        max_age_years=table.optional_number("max_age_years"),
        kvp=table.numbers("kvp"),
        kvp_otherwise=table.text(
            "kvp_otherwise", default="indeterminate", one_of=("indeterminate", "not_evaluated")
        ),
        organs=tuple(_organ(item) for item in table.tables("organs")),
    )
    table.done()
    return needs


def _organ(table: TomlTable) -> OrganNeed:
    need = OrganNeed(
        name=table.text("name"),
        coverage=table.texts("coverage", one_of=COVERAGES),
        min_eroded_ml=table.number("min_eroded_ml", default=0.0),
        min_volume_ml=table.number("min_volume_ml", default=0.0),
        truncated_negative=table.flag("truncated_negative", default=False),
        negative_without=table.texts("negative_without", default=(), one_of=SIDES),
        otherwise=table.text("otherwise", one_of=("not_evaluated", "without")),
    )
    table.done()
    return need


def _roi(table: TomlTable | None) -> Roi | None:
    if table is None:
        return None
    organs, margin = table.texts("organs"), table.numbers("margin_mm")
    if len(margin) != 3:
        table.refuse("margin_mm must hold three numbers")
    table.done()
    return Roi(organs=organs, margin_mm=(margin[0], margin[1], margin[2]))


def _rule(table: TomlTable | None) -> Rule | None:
    if table is None:
        return None
    name, source = table.text("name"), table.optional_text("source")
    parameters = TomlTable(table.mapping("parameters"), f"rule {name} parameters")
    values = {key: parameters.number(key) for key in parameters.names()}
    table.done()
    return Rule(name=name, source=source, parameters=values)


def _measure(table: TomlTable) -> Measure:
    measure = Measure(
        name=table.text("name"), unit=table.text("unit"), of=table.optional_text("of")
    )
    table.done()
    return measure


def _codes(table: TomlTable | None) -> dict[str, Any]:
    """Read the codes of finding, site and measures: every form of a result tells them."""
    if table is None:
        return {}
    found: dict[str, Any] = {}
    for name in ("finding", "site"):
        if (coded := table.optional_table(name)) is not None:
            found[name] = _code(coded)
    if (measures := table.optional_table("measures")) is not None:
        found["measures"] = {name: _code(measures.table(name)) for name in measures.names()}
    table.done()
    return found


def _code(table: TomlTable) -> dict[str, str]:
    code = {name: table.text(name) for name in ("scheme", "value", "meaning")}
    if empty := [name for name, value in code.items() if not value.strip()]:
        table.refuse(f"{empty[0]} is empty")
    table.done()
    return code


def _grade(table: TomlTable) -> Grade:
    grade = Grade(
        name=table.text("name"),
        below=table.optional_number("below"),
        urgency=table.text("urgency", one_of=URGENCIES),
        text=Text(en=table.text("en"), zh=table.text("zh")),
    )
    table.done()
    return grade


def _doubt(table: TomlTable) -> Doubt:
    doubt = Doubt(
        reason=table.text("reason", one_of=tuple(REASONS)),
        when=read_conditions(table, missing=True),
        text=Text(en=table.text("en"), zh=table.text("zh")),
    )
    table.done()
    return doubt


def _follow_up(table: TomlTable) -> FollowUp:
    follow_up = FollowUp(
        state=table.text("state", one_of=STATES),
        urgency=table.text("urgency", one_of=URGENCIES),
        classes=table.texts("classes", default=()),
        text=Text(en=table.text("en"), zh=table.text("zh")),
    )
    table.done()
    return follow_up


def _phase(table: TomlTable | None) -> PhaseGate | None:
    if table is None:
        return None
    limits = TomlTable(table.mapping("native_max_hu"), "phase.native_max_hu")
    gate = PhaseGate(
        native_max_hu={organ: limits.number(organ) for organ in limits.names()},
        min_regions=int(table.number("min_regions")),
        min_eroded_ml=table.number("min_eroded_ml"),
    )
    table.done()
    return gate


def _output(table: TomlTable) -> tuple[str, str]:
    item = (table.text("name"), table.text("description"))
    table.done()
    return item


def _cost(table: TomlTable | None) -> dict[str, float]:
    if table is None:
        return {}
    cost = {key: table.number(key) for key in ("gpu_seconds", "cpu_seconds")}
    table.done()
    return cost


def _models(table: TomlTable, named: object, repository: Path) -> dict[str, str | None]:
    names = named if isinstance(named, list) else [named]
    if not all(isinstance(name, str) and name for name in names):
        table.refuse("provenance.model must be a name or a list of names")
    return {str(name): _model_digest(repository, str(name)) for name in names}


def _random(named: object, repository: Path) -> tuple[str, ...]:
    """Name the networks whose newest file says that its weights are random."""
    names = named if isinstance(named, list) else [named]
    return tuple(
        str(name)
        for name in names
        if (file := _model_file(repository, str(name))) is not None and has_random_weights(file)
    )


def _banks(recipe: Recipe | None, repository: Path) -> dict[str, str | None]:
    """Give the digest of the memory bank that a recipe names; None where it is not here."""
    if recipe is None or not isinstance(recipe.post, ChestPost):
        return {}
    folder = repository / recipe.post.bank
    try:
        told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        digest = str(told["digest"]) if (folder / ARRAYS).is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        digest = None
    return {f"{recipe.post.bank}/bank": digest}


def _model_digest(repository: Path, model: str) -> str | None:
    path = _model_file(repository, model)
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_file(repository: Path, model: str) -> Path | None:
    """Give the newest ``model.onnx`` of a network."""
    files = sorted((repository / model).glob("*/model.onnx"))
    return files[-1] if files else None
