"""Where a result comes from: pipeline, model, weights, thresholds, recipe, inputs, software."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway import __version__
from gateway.screening.manifest import ANATOMY, Manifest


def check_provenance(
    manifest: Manifest,
    manifests: Mapping[str, Manifest],
    *,
    series_instance_uid: str | None = None,
    sop_instance_uids: Sequence[str] = (),
    scanner_model: str | None = None,
    normalisation: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Give the provenance of one check's result.

    The SOP Instance UIDs themselves stand once in the study's provenance, under the series;
    here are their number and digest. `normalisation` is how far the scanner's HU are off
    (`gateway.study.normalise`), and whether that was applied. `calibration` is the site's
    threshold set (`gateway.screening.site_thresholds`), where one moved this check's flag.
    ``memory_bank`` is known when a network has answered.
    """
    anatomy = manifests[ANATOMY]
    source = manifest if manifest.has_network else anatomy
    seen_in = anatomy.models if manifest.needs.has_anatomy else {}
    return {
        "pipeline": manifest.name,
        "version": manifest.version,
        "manifest_digest": manifest.digest,
        "models": {**seen_in, **manifest.models},
        "weights_origin": manifest.provenance.get("origin"),
        "weights_accepted": manifest.accepted,
        "threshold_set": manifest.thresholds.id if manifest.thresholds else None,
        "recipe_digest": source.recipe_digest,
        "series_instance_uid": series_instance_uid,
        "sop_instance_count": len(sop_instance_uids),
        "sop_instance_digest": digest_of_uids(sop_instance_uids) if sop_instance_uids else None,
        "scanner_model": scanner_model,
        "normalisation": dict(normalisation) if normalisation is not None else None,
        "memory_bank": None,
        "calibration": dict(calibration) if calibration is not None else None,
        "software_version": __version__,
    }


def digest_of_uids(sop_instance_uids: Sequence[str]) -> str:
    """Give the sha256 of UIDs, one a line, in the order of the volume's slices."""
    return hashlib.sha256("\n".join(sop_instance_uids).encode()).hexdigest()
