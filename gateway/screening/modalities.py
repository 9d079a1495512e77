"""Kinds of image for which no check is installed: told by name, never passed over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.screening.manifest import Manifest
from gateway.study.series import Series

IMAGES = {
    "MG": "mammography",
    "CR": "radiography",
    "DX": "radiography",
    "MR": "magnetic_resonance",
    "US": "ultrasound",
}
"""(0008,0060) *Modality* → the name under which ``not_evaluated: no_check_installed`` is told.
Others beside CT are no images to be screened (reports, presentation states, dose) or belong to
a CT (PET)."""


def without_check(
    series: Sequence[Series], manifests: Iterable[Manifest]
) -> dict[str, tuple[Series, ...]]:
    """Find the series whose modality no installed check takes.

    Returns
    -------
    dict
        Name of `IMAGES` → its series, in the order of the names.
    """
    served = {name for manifest in manifests for name in manifest.needs.modality}
    found: dict[str, tuple[Series, ...]] = {}
    for one in series:
        if one.modality in IMAGES and one.modality not in served:
            name = IMAGES[one.modality]
            found[name] = (*found.get(name, ()), one)
    return dict(sorted(found.items()))
