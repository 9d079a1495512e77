"""Where a result comes from: pipeline, model, weights, thresholds, recipe, inputs, software."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway import __version__
from gateway.screening.manifest import Manifest


def check_provenance(
    manifest: Manifest,
    manifests: Mapping[str, Manifest],
    *,
    series_instance_uid: str | None = None,
    sop_instance_uids: Sequence[str] = (),
) -> dict[str, Any]:
    """Give the provenance of one check's result.

    The SOP Instance UIDs themselves stand once in the study's provenance, under the series;
    here are their number and digest.
    """
    source = manifest
    if not manifest.has_network and manifest.rule and manifest.rule.source:
        source = manifests[manifest.rule.source]
    return {
        "pipeline": manifest.name,
        "version": manifest.version,
        "manifest_digest": manifest.digest,
        "model": manifest.provenance.get("model"),
        "model_digest": manifest.model_digest,
        "weights_origin": manifest.provenance.get("origin"),
        "threshold_set": manifest.thresholds.id if manifest.thresholds else None,
        "recipe_digest": source.recipe_digest,
        "series_instance_uid": series_instance_uid,
        "sop_instance_count": len(sop_instance_uids),
        "sop_instance_digest": digest_of_uids(sop_instance_uids) if sop_instance_uids else None,
        "software_version": __version__,
    }


def digest_of_uids(sop_instance_uids: Sequence[str]) -> str:
    """Give the sha256 of UIDs, one a line, in the order of the volume's slices."""
    return hashlib.sha256("\n".join(sop_instance_uids).encode()).hexdigest()
