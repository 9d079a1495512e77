"""One decoded volume and all that is known of it when its checks run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.screening.anatomy import Anatomy
from gateway.screening.manifest import Manifest
from gateway.screening.patient import Patient
from gateway.screening.places import Places
from gateway.screening.series_facts import SeriesFacts
from gateway.screening.site_thresholds import SiteThresholds
from gateway.settings import ScreeningSettings
from gateway.triton.shared_memory import Organs, SharedVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One decoded volume and all that is known of it."""

    volume: SharedVolume
    affine: npt.NDArray[np.float64]
    """(slice, row, column) → LPS mm."""

    anatomy: Anatomy
    facts: SeriesFacts
    provenance: Callable[[Manifest], dict[str, Any]]
    places: Places | None = None
    """Where its lesions lie; None for images in which nothing is placed."""

    organs: Organs | None = None
    """The label map of anatomy by reference."""

    patient: Patient = field(default_factory=Patient)
    clinical: Mapping[str, float] = field(default_factory=dict)
    report: str | None = None
    lane: str = "routine"
    exam_context: str = "unknown"
    policy: ScreeningSettings = field(default_factory=ScreeningSettings)
    site: SiteThresholds = field(default_factory=SiteThresholds)
    """The site's own flag thresholds."""

    def tuned(self, manifest: Manifest) -> Manifest:
        """Give a check with the site's thresholds for this scanner."""
        return self.site.tuned(manifest, self.facts.scanner_model)
