"""What the anatomy ensemble saw: organs, their coverage, volumes and HU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.exceptions import ModelOutputError

COVERAGES = ("complete", "truncated", "absent")
"""How much of an organ lies in the scan."""

SIDES = ("inferior", "superior", "anterior", "posterior", "right", "left")
"""On which the scan may cut an organ off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Organ:
    """One organ on the anatomy grid."""

    name: str
    coverage: str
    truncated_sides: tuple[str, ...] = ()
    volume_ml: float = 0.0
    eroded_ml: float = 0.0
    """Volume left after the border is taken off; HU are measured in it."""

    median_hu: float | None = None
    mean_hu: float | None = None
    sd_hu: float | None = None
    box: tuple[int, int, int, int, int, int] | None = None
    """(s0, s1, r0, r1, c0, c1), voxels of the anatomy grid, half-open."""

    @property
    def present(self) -> bool:
        """Whether any of the organ was seen."""
        return self.coverage != "absent"

    @property
    def truncated(self) -> bool:
        """Whether the scan cuts the organ off."""
        return self.coverage == "truncated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """All organs of one volume."""

    organs: Mapping[str, Organ] = field(default_factory=dict)
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0)
    """Of the anatomy grid, in axis order."""

    def organ(self, name: str) -> Organ:
        """Give an organ; one that was never seen is absent."""
        return self.organs.get(name) or Organ(name=name, coverage="absent")

    @property
    def mirrored(self) -> bool:
        """Whether the liver lies to the left of the spleen, against the volume's axes.

        The header has the sides wrong, or the patient has situs inversus: nobody here can tell.
        """
        liver, spleen = self.organ("liver").box, self.organ("spleen").box
        if liver is None or spleen is None:
            return False
        return liver[4] + liver[5] > spleen[4] + spleen[5]  # columns run right → left

    def to_json(self) -> dict[str, Any]:
        """Give plain values for plan and result."""
        return {
            "spacing_mm": list(self.spacing_mm),
            "organs": {
                organ.name: {
                    "coverage": organ.coverage,
                    "truncated_sides": list(organ.truncated_sides),
                    "volume_ml": _rounded(organ.volume_ml),
                    "eroded_ml": _rounded(organ.eroded_ml),
                    "median_hu": _rounded(organ.median_hu),
                    "mean_hu": _rounded(organ.mean_hu),
                    "sd_hu": _rounded(organ.sd_hu),
                    "box": list(organ.box) if organ.box else None,
                }
                for organ in self.organs.values()
            },
        }


def parse_anatomy(measures: Mapping[str, Any]) -> Anatomy:
    """Read the ``measures`` of the anatomy ensemble's LESIONS tensor.

    Raises
    ------
    ModelOutputError
        When something of the contract is missing or of the wrong kind.
    """
    try:
        organs = {name: _organ(name, values) for name, values in measures["organs"].items()}
        z, y, x = (float(value) for value in measures["grid_spacing_mm"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelOutputError(
            f"The anatomy ensemble's measures break their contract: {error!r}."
        ) from error
    return Anatomy(organs=organs, spacing_mm=(z, y, x))


def _organ(name: str, values: Mapping[str, Any]) -> Organ:
    coverage = values["coverage"]
    if coverage not in COVERAGES:
        raise ValueError(f"coverage {coverage!r} of {name}")
    box = values.get("box")
    return Organ(
        name=name,
        coverage=coverage,
        truncated_sides=tuple(values.get("truncated_sides") or ()),
        volume_ml=float(values["volume_ml"]),
        eroded_ml=float(values.get("eroded_ml") or 0.0),
        median_hu=_number(values.get("median_hu")),
        mean_hu=_number(values.get("mean_hu")),
        sd_hu=_number(values.get("sd_hu")),
        box=(
            (int(box[0]), int(box[1]), int(box[2]), int(box[3]), int(box[4]), int(box[5]))
            if box
            else None
        ),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
