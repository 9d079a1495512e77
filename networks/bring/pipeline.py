"""The pipeline.toml that comes with a network."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from gateway.exceptions import ManifestError, NetworkRefusedError
from gateway.screening.manifest import CT, MANIFEST_NAME, Manifest
from gateway.screening.manifest_reader import load_manifests, read_manifest
from gateway.screening.rules import check_rules
from preprocess.recipe import Recipe

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Of a check: it becomes a folder, a model of Triton and a word of the API."""

ENDING = "_net"
"""Of the folder of its network."""


def read_text(path: Path, name: str = "") -> tuple[str, str]:
    """Read the file, and call the check by another name where one is given.

    Returns
    -------
    name, text : str

    Raises
    ------
    NetworkRefusedError
        When it is not TOML, or the name is not one.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise NetworkRefusedError(f"{path} cannot be read: {first}") from None
    own = values.get("name")
    if name and isinstance(own, str) and name != own:
        text, own = renamed(text, values, own, name), name
    if not isinstance(own, str) or not NAME.fullmatch(own):
        raise NetworkRefusedError(
            f"{str(own)[:80]!r} is no name of a check: small letters, digits and _, a letter first."
        )
    return own, text


def renamed(text: str, values: dict[str, Any], old: str, new: str) -> str:
    """Write another name where the file has its own: at the top, in recipe and in provenance."""
    parts = re.split(r"(?m)^(?=\s*\[)", text)
    for index, part in enumerate(parts):
        table = part.lstrip().split("\n", 1)[0].split("#")[0].strip() if index else ""
        if table in ("", "[recipe]"):
            parts[index] = _put(part, "name", old, new)
        if table == "":
            parts[index] = _put(parts[index], "ensemble", old, new)
        if table == "[provenance]":
            parts[index] = _put(part, "model", f"{old}{ENDING}", f"{new}{ENDING}")
    made = "".join(parts)
    wanted = dict(values, name=new)
    if wanted.get("ensemble") == old:
        wanted["ensemble"] = new
    for table, key, before, after in (
        ("recipe", "name", old, new),
        ("provenance", "model", f"{old}{ENDING}", f"{new}{ENDING}"),
    ):
        inner = wanted.get(table)
        if isinstance(inner, dict) and inner.get(key) == before:
            wanted[table] = {**inner, key: after}
    if tomllib.loads(made) != wanted:
        raise NetworkRefusedError(
            "--name finds name, ensemble, recipe.name and provenance.model only on lines of their"
            " own; write the name into the file."
        )
    return made


def _put(part: str, key: str, old: str, new: str) -> str:
    return re.sub(
        rf'(?m)^(\s*{key}\s*=\s*)(["\']){re.escape(old)}\2', rf"\g<1>\g<2>{new}\g<2>", part
    )


def read_check(folder: Path, repository: Path) -> tuple[Manifest, Recipe]:
    """Read the manifest as the gateway will, in a folder of the check's name.

    Parameters
    ----------
    folder : Path
        With its pipeline.toml, and its network beside it where that is there already.
    repository : Path
        That it will be put into.

    Raises
    ------
    NetworkRefusedError
        When it breaks the contract of manifests, or asks for what cannot be brought.
    """
    try:
        manifest = read_manifest(folder / MANIFEST_NAME)
        check_rules({manifest.name: manifest})
        others = load_manifests(repository)
    except ManifestError as error:
        raise NetworkRefusedError(str(error)) from None
    name, network = manifest.name, f"{manifest.name}{ENDING}"
    if manifest.kind != "network" or manifest.recipe_json is None:
        raise NetworkRefusedError(
            f"kind is {manifest.kind!r}; a network of one's own is a network."
        )
    if manifest.ensemble != name:
        raise NetworkRefusedError(f"ensemble is {manifest.ensemble!r}; it must be {name!r}.")
    if list(manifest.models) != [network]:
        raise NetworkRefusedError(
            f"provenance.model is {', '.join(manifest.models)!r}; it must be {network!r}."
        )
    for key in ("origin", "licence"):
        said = manifest.provenance.get(key)
        if not isinstance(said, str) or not said.strip():
            raise NetworkRefusedError(f"provenance.{key} is missing: the card has to say it.")
    if manifest.needs.modality != (CT,):
        raise NetworkRefusedError("requires.modality must be CT; no other can be tried out.")
    recipe = Recipe.from_json(manifest.recipe_json)
    if recipe.name != name:
        raise NetworkRefusedError(f"recipe.name is {recipe.name!r}; it must be {name!r}.")
    _check_organs(manifest, recipe, others)
    return manifest, recipe


def _check_organs(manifest: Manifest, recipe: Recipe, others: dict[str, Manifest]) -> None:
    anatomy = others.get("anatomy")
    if anatomy is None or anatomy.recipe_json is None:
        raise NetworkRefusedError("The repository has no anatomy, with which every check begins.")
    known = getattr(Recipe.from_json(anatomy.recipe_json).post, "labels", ())[1:]
    asked = [need.name for need in manifest.needs.organs]
    asked += manifest.roi.organs if manifest.roi else ()
    asked += getattr(recipe.post, "within", ())
    for organ in asked:
        if organ not in known:
            raise NetworkRefusedError(f"{organ!r} is no organ of anatomy: {', '.join(known)}.")
