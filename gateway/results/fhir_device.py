"""FHIR Devices: this software, and of each pipeline its version, its weights and their origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway import __version__
from gateway.results.fhir_terms import Element, identifier, ours, plain, reference
from gateway.results.json import DISCLAIMER

NAME = "OneScan"


def software_device() -> Element:
    """Describe this software."""
    return {
        "resourceType": "Device",
        "id": identifier("device", NAME, __version__),
        "language": "en",
        "status": "active",
        "deviceName": [{"name": NAME, "type": "user-friendly-name"}],
        "version": [_version("software", __version__)],
        "note": [{"text": DISCLAIMER}],
    }


def pipeline_device(provenance: Mapping[str, Any], parent: Element) -> Element | None:
    """Describe what made a check's result; None where nothing ran.

    The same pipeline with the same weights, thresholds and software is the same Device in every
    study.
    """
    if not provenance.get("pipeline"):
        return None
    models = provenance.get("models") or {}
    known = {
        "pipeline": provenance.get("version"),
        "software": provenance.get("software_version"),
        "manifest_digest": provenance.get("manifest_digest"),
        "recipe_digest": provenance.get("recipe_digest"),
        "threshold_set": provenance.get("threshold_set"),
        "memory_bank": provenance.get("memory_bank"),
        **{f"weights/{name}": digest for name, digest in sorted(models.items())},
    }
    versions = {name: plain(value) for name, value in known.items() if value and plain(value)}
    origin = plain(provenance.get("weights_origin") or "")
    accepted = provenance.get("weights_accepted")
    name = plain(provenance["pipeline"])
    said = [] if accepted is None else [_property("weights_accepted", str(bool(accepted)).lower())]
    if origin:
        said.append(_property("weights_origin", origin))
    device: Element = {
        "resourceType": "Device",
        "id": identifier("device", name, *sorted(versions.items()), origin, accepted),
        "language": "en",
        "status": "active",
        "deviceName": [{"name": f"{NAME} {name}", "type": "model-name"}],
        "version": [_version(kind, value) for kind, value in versions.items()],
        "parent": reference(parent),
        "note": [{"text": f"Weights: {origin or 'of unknown origin'}. {DISCLAIMER}"}],
    }
    return {**device, "property": said} if said else device


def _version(kind: str, value: str) -> Element:
    return {"type": {"coding": [ours("version", kind)], "text": kind}, "value": value}


def _property(name: str, value: str) -> Element:
    return {"type": {"coding": [ours("property", name)]}, "valueCode": [{"text": value}]}
