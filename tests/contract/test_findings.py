"""One schema of findings: what checks say, what the JSON Schema takes, what the page explains."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from gateway.api.screening_lists import SCREENING_STATES
from gateway.results.json import schema
from gateway.screening.anatomy import parse_anatomy
from gateway.screening.answer import answer, seen_by_network
from gateway.screening.findings import CheckResult
from gateway.screening.manifest import ANATOMY, LATENCY_CLASSES, STATES, URGENCIES, Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.mask import KeptMask
from gateway.screening.places import SIDES, Places
from gateway.screening.plan import Step
from gateway.screening.provenance import check_provenance
from gateway.screening.reasons import REASONS
from gateway.screening.series_facts import FrameName, SeriesFacts
from gateway.screening.subject import Subject
from gateway.settings import ROOT
from gateway.store.queue import LANES
from gateway.store.screenings import EXAM_CONTEXTS
from gateway.testing import anatomy_measures
from gateway.triton.shared_memory import SharedVolume
from gateway.triton.tensors import Inference
from postprocess.finish import Given, finish
from postprocess.lesion import lesion_json
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.posts import read_post

MANIFESTS = load_manifests(ROOT / "model_repository")
CHECKS = [name for name, manifest in MANIFESTS.items() if manifest.is_check]
AFFINE = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], np.float64)

MEASURES: dict[str, dict[str, float]] = {
    "calcium": {"agatston": 150.0, "vessels": 2, "increment_mm": 3.0, "noise_sd_hu": 12.0},
}
"""What a rule reads of its network beside scores and lesions."""

SECTIONS = {
    "A check": "check",
    "Thresholds": "thresholds",
    "A lesion": "lesion",
    "A mask": "mask",
    "An assessment": "assessment",
    "Provenance": "provenance",
}
"""Heading of the page → definition of the schema."""


def definition(name: str) -> dict[str, Any]:
    """Give one definition of the schema as a schema of its own."""
    whole = schema()
    return {"$defs": whole["$defs"], "$ref": f"#/$defs/{name}"}


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    facts = SeriesFacts(
        series_instance_uid="1.2",
        kvp=120.0,
        gated=True,
        frames=tuple(FrameName(f"1.2.{n}", 1) for n in range(8)),
    )
    organs = OrganMap(np.ones((8, 8, 8), np.uint8), ("background", "liver"), Grid((8,) * 3, AFFINE))
    with SharedVolume.create((8, 8, 8), home=tmp_path) as volume:
        yield Subject(
            volume=volume,
            affine=AFFINE,
            anatomy=parse_anatomy(anatomy_measures()),
            facts=facts,
            places=Places(facts=facts, affine=AFFINE, organs=organs),
            provenance=lambda manifest: check_provenance(
                manifest,
                MANIFESTS,
                series_instance_uid="1.2",
                sop_instance_uids=facts.sop_instance_uids,
                scanner_model=facts.scanner_model,
                normalisation={"offset_hu": 0.0, "applied": False},
            ),
        )


def inference(manifest: Manifest) -> Inference:
    """Give what a network would, with one lesion where it has any."""
    post = json.loads(manifest.recipe_json or "{}").get("post", {})
    mask = np.zeros((8, 8, 8), np.uint8)
    lesions = []
    if post.get("kind") in ("lesions", "detections", "calcium"):
        part = np.ones((3, 4, 5), np.bool_)
        place = (slice(2, 5), slice(1, 5), slice(1, 6))
        mask[place] = 7
        kinds = post.get("kinds") or [None]
        lesions.append(
            lesion_json(
                1,
                part,
                place,
                hu=np.full((8, 8, 8), 40, np.int16),
                geometry=AFFINE,
                score=0.97,
                classes={kinds[0]: 0.9} if kinds[0] else {},
                mask_value=7,
            )
        )
    if post.get("kind") == "chest":
        return chest_inference(post)
    return Inference(
        scores=np.full(max(len(manifest.scores), 1), 0.97, np.float32),
        lesions={"lesions": lesions, "measures": MEASURES.get(manifest.name, {})},
        mask=mask,
        mask_geometry=AFFINE,
    )


def chest_inference(post: dict[str, Any]) -> Inference:
    """Give what the chest's network would: one label in sight, one not evaluated."""
    labels = post["labels"]
    chances = np.full((1, len(labels)), 0.01, np.float32)
    chances[0, labels.index("mass")] = 0.97
    chances[0, labels.index("air_trapping")] = -1
    out = finish(
        Given(
            outputs={
                "probabilities": chances,
                "where": np.zeros((1, len(labels)), np.int64),
                "bank_digest": np.array([b"ab12"], np.object_),
            },
            grid_hu=np.full((8, 8, 8), 40, np.int16),
            grid_geometry=AFFINE,
            post=read_post(post, "recipe.post"),
        )
    )
    return Inference(out.scores, json.loads(out.lesions), out.mask, out.mask_geometry)


@pytest.mark.parametrize("name", CHECKS)
def test_what_a_shipped_check_says_is_of_the_schema(name: str, subject: Subject) -> None:
    """With a lesion that was placed, a mask, both languages, and its provenance."""
    manifest = MANIFESTS[name]
    given = inference(manifest)
    seen = seen_by_network(manifest, subject, given)
    step = Step(check=name, latency_class=manifest.latency_class, slab=(0, 8), roi=(0, 8) * 3)
    result = answer(manifest, step, subject, seen, {})
    if seen.mask is not None:
        kept = KeptMask.of(seen.mask, seen.mask.encode())
        result = dataclasses.replace(
            result, mask={**kept.to_json(), "description": manifest.outputs["MASK"]}
        )
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    jsonschema.validate(told, definition("check"))
    assert told["text"]["en"] != told["text"]["zh"]
    seen_in = set(MANIFESTS[ANATOMY].models) if "CT" in manifest.needs.modality else set()
    assert set(told["provenance"]["models"]) == seen_in | set(manifest.models)
    assert CheckResult.from_json(told) == CheckResult.from_json(result.to_json())
    for lesion in told["lesions"]:
        assert lesion["sop_instance_uid"] in ("1.2.3", "1.2.4")
        assert lesion["site"] == "liver"


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_what_is_said_without_an_answer_is_of_the_schema(reason: str) -> None:
    """Whatever the reason."""
    for state in ("not_evaluated", "failed", "indeterminate"):
        result = CheckResult.without_answer("liver", state, reason, manifest=MANIFESTS["liver"])
        jsonschema.validate(result.to_json(), definition("check"))


def test_the_schema_lists_the_words_of_the_code() -> None:
    """States, urgencies, sides, lanes and contexts, each said once more in JSON."""
    parts, whole = schema()["$defs"], schema()["properties"]
    check, lesion = parts["check"]["properties"], parts["lesion"]["properties"]
    assert check["state"]["enum"] == list(STATES)
    assert check["urgency"]["enum"] == list(URGENCIES)
    assert parts["assessment"]["properties"]["urgency"]["enum"] == [*URGENCIES, None]
    assert lesion["side"]["enum"] == [*SIDES, "midline", None]
    assert parts["step"]["properties"]["latency_class"]["enum"] == list(LATENCY_CLASSES)
    assert whole["lane"]["enum"] == list(LANES)
    assert whole["exam_context"]["enum"] == list(EXAM_CONTEXTS)
    assert whole["state"]["enum"] == list(SCREENING_STATES)


def test_codes_without_a_meaning_are_not_of_the_schema() -> None:
    """Every form of a result tells them; a manifest with such is refused, too."""
    parts = schema()["$defs"]
    described = {"$defs": parts, **parts["check"]["properties"]["codes"]}
    jsonschema.validate(MANIFESTS["nodule"].codes, described)
    for codes in ({"finding": {"scheme": "SCT", "value": "1"}}, {"organ": {}}, {"measures": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(codes, described)


@pytest.mark.parametrize(("heading", "name"), SECTIONS.items())
def test_the_page_explains_every_key_and_no_other(heading: str, name: str) -> None:
    """docs/findings.md and the schema, table by table."""
    page = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    section = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = {key for row in rows for key in re.findall(r"`([a-z0-9_]+)`", row)}
    assert told == set(schema()["$defs"][name]["properties"])
