"""A manifest of the repository as if its weights were accepted, with round thresholds.

What is shipped moves with every release; what the rules make of it does not.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import read_manifest


def accepted(path: Path, *, mark: float, flag: float) -> Manifest:
    """Read a manifest; mark and flag are replaced, of labels where the check tells many."""
    manifest = read_manifest(path)
    cuts = manifest.thresholds
    assert cuts is not None
    return replace(
        manifest,
        provenance={**manifest.provenance, "accepted": True},
        thresholds=replace(
            cuts,
            mark=cuts.mark if cuts.labels else replace(cuts.mark, value=mark),
            flag=cuts.flag if cuts.labels else replace(cuts.flag, value=flag),
            lesion=cuts.lesion and replace(cuts.lesion, mark=mark, flag=flag),
            labels={
                name: replace(label, mark=mark, flag=flag) for name, label in cuts.labels.items()
            },
        ),
    )
