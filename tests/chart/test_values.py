"""values.yaml, its schema, its comments and its table say the same."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT, Settings, environment_names
from gateway.store.queue import LANES
from tests.chart.rendering import CHART, PROFILES, named, render

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES = yaml.safe_load(TEXT)

OF_KUBERNETES = ("kubernetes", "kubernetesList", "strings")
"""Definitions of what is passed through as it is."""


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference."""
    if "$ref" in schema:
        return resolved(SCHEMA["definitions"][schema["$ref"].removeprefix("#/definitions/")])
    return schema


def passed_through(schema: dict[str, Any]) -> bool:
    reference = schema.get("$ref", "").removeprefix("#/definitions/")
    return reference in OF_KUBERNETES


def walk(values: Any, schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Give what stands on one side only: path, and on which."""
    if passed_through(schema):
        return
    schema = resolved(schema)
    properties = schema.get("properties", {})
    if not isinstance(values, dict) or not properties:
        return
    for name in sorted({*values, *properties}):
        below = f"{path}.{name}".lstrip(".")
        if name not in properties:
            yield below, "values"
        elif name not in values:
            yield below, "schema"
        else:
            yield from walk(values[name], properties[name], below)


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every object in the schema, with its path."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, below in schema.items():
            yield from objects(below, f"{path}/{name}")
    elif isinstance(schema, list):
        for index, below in enumerate(schema):
            yield from objects(below, f"{path}/{index}")


@pytest.fixture(scope="module")
def values_table() -> ModuleType:
    """The script that writes the README's table."""
    spec = importlib.util.spec_from_file_location("values_table", ROOT / "helm/values_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module


def test_schema_and_values_have_the_same_keys() -> None:
    """Every value is in the schema, and every key of the schema has a default; global is Helm's."""
    assert list(walk(VALUES, SCHEMA)) == [("global", "schema")]


def test_a_pool_may_say_what_the_defaults_say() -> None:
    """One definition holds for both."""
    (pool,) = SCHEMA["properties"]["pools"]["patternProperties"].values()
    assert pool == SCHEMA["properties"]["poolDefaults"]


def test_the_schema_is_closed() -> None:
    """Every object refuses what it does not name, but those of Kubernetes."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    opened = {
        path for path, schema in objects(SCHEMA) if schema.get("additionalProperties", True) is True
    }
    assert opened == {
        "/properties/global",
        "/definitions/kubernetes",
        "/definitions/kubernetesList/items",
    }


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_fit_the_schema(name: str) -> None:
    """Of themselves, before they are laid over the defaults."""
    for file in PROFILES[name]:
        values = yaml.safe_load((CHART / file).read_text(encoding="utf-8"))
        jsonschema.Draft7Validator(SCHEMA).validate(values)


def test_every_value_has_a_comment(values_table: ModuleType) -> None:
    """Each leaf, or the object above it that Kubernetes shapes, begins with `# --`."""
    told = {row.key for row in values_table.read_rows(TEXT)}

    def untold(values: Any, path: tuple[str, ...]) -> Iterator[str]:
        if any(".".join(path[:n]) in told for n in range(1, len(path) + 1)):
            return
        if path[:1] == ("pools",):
            return  # as poolDefaults
        if not isinstance(values, dict):
            yield ".".join(path)
        else:
            for name, below in values.items():
                yield from untold(below, (*path, name))

    assert not list(untold(VALUES, ()))


def test_comments_say_something(values_table: ModuleType) -> None:
    """No row of the table is without a meaning, and each value has one."""
    rows = values_table.read_rows(TEXT)
    assert len(rows) > 150
    assert all(row.meaning for row in rows)
    assert len({row.key for row in rows}) == len(rows)


def test_the_readme_has_the_table(values_table: ModuleType) -> None:
    """`python helm/values_table.py` writes it."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert values_table.with_table(readme, TEXT) == readme


def test_the_checks_are_those_of_the_repository() -> None:
    """What the chart asks pools to serve is what an order may ask for."""
    manifests = load_manifests(ROOT / "model_repository")
    assert VALUES["checks"] == sorted(m.name for m in manifests.values() if m.is_check)


def test_the_lanes_are_those_of_the_queue() -> None:
    """And a pool takes all of them by default."""
    assert VALUES["poolDefaults"]["lanes"] == list(LANES)
    assert set(SCHEMA["definitions"]["pool"]["properties"]["lanes"]["items"]["enum"]) == set(LANES)


def test_reserved_settings_exist() -> None:
    """Each setting that the chart keeps for itself is one; its value is in values.yaml."""
    text = (CHART / "templates/_helpers-settings.tpl").read_text(encoding="utf-8")
    begin = text.index('{{- define "onescan.reserved" -}}')
    block = text[begin : text.index("{{- end -}}", begin)].partition("\n")[2]
    reserved = yaml.safe_load(block)
    assert set(reserved) <= {"ONESCAN_HOME", *environment_names()}
    for path in reserved.values():
        values: Any = VALUES
        if path.startswith("nothing, "):
            continue
        for name in path.split("."):
            if name == "NAME":
                values = VALUES["poolDefaults"]
                continue
            values = values[name]


def test_settings_that_the_chart_does_not_keep_are_taken() -> None:
    """As text, number or truth; a large number stays one that a process reads."""
    settings = {
        "ONESCAN_API__REQUEST_LIMIT": 128,
        "ONESCAN_RETENTION__PIXEL_DAYS": "30",
        "ONESCAN_STORE__WATERMARK_BYTES": 17179869184,
        "ONESCAN_SCREENING__FALSE_FLAG_BUDGET": 0.05,
    }
    documents = render(settings=settings)
    data = named(documents, "ConfigMap", "onescan-settings")["data"]
    assert {name: data[name] for name in settings} == {n: str(v) for n, v in settings.items()}
    Settings.from_environ(data)
