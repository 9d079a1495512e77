"""The bones of a left hand as seen from its back, and its soft tissue, drawn for a child.

Coordinates are those of `networks.phantoms.hand_shapes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from networks.phantoms.hand_growth import Child, Stage
from networks.phantoms.hand_shapes import Bone, Flesh, Lump, Point, Tube

PLATE_MM = 1.5
"""Cartilage between a shaft and its full epiphysis in an adult-sized hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """What there is of a hand."""

    child: Child
    bones: tuple[Bone, ...]
    flesh: tuple[Flesh, ...]
    density: float
    """Of bone, against the usual."""

    tips: tuple[Point, ...]
    """Ends of the fingers."""

    places: Mapping[str, Point]
    """Where each centre of ossification is, or will be."""


CARPALS: dict[str, tuple[float, float, float, float, float]] = {
    "scaphoid": (12.5, 10.5, 6.3, 10.5, 0.62),
    "lunate": (-0.5, 8.5, 8.0, 7.4, 0.0),
    "triquetrum": (-12.5, 11.5, 6.2, 7.8, 0.55),
    "pisiform": (-14.0, 10.0, 4.6, 5.4, 0.0),
    "trapezium": (19.5, 23.0, 7.6, 7.2, 0.5),
    "trapezoid": (10.3, 25.3, 5.2, 6.4, 0.2),
    "capitate": (1.2, 23.5, 7.2, 11.3, 0.05),
    "hamate": (-10.3, 23.5, 8.2, 9.6, -0.25),
}
"""x and y of the middle, half-widths across and along, angle; adult size, mm and radians."""

RAYS = (
    # base x, y, angle; lengths of metacarpal to distal phalanx; their half-widths in the middle
    ((25.5, 26.0), 0.66, (45.0, 31.0, 0.0, 22.0), (4.8, 4.5, 0.0, 3.6)),
    ((10.5, 36.5), 0.15, (67.0, 40.0, 23.0, 17.0), (4.1, 4.3, 3.7, 2.7)),
    ((1.0, 36.5), 0.02, (64.0, 44.0, 27.5, 18.0), (4.1, 4.4, 3.8, 2.8)),
    ((-7.5, 34.5), -0.11, (57.0, 41.0, 26.5, 18.0), (3.5, 4.1, 3.6, 2.7)),
    ((-14.5, 31.5), -0.25, (53.0, 33.0, 19.0, 16.0), (3.6, 3.7, 3.2, 2.4)),
)
"""First to fifth ray at adult size, mm and radians."""

PALM = (
    # start, end; radii at both; thickness against width
    ((-4.0, -95.0), (-2.0, 4.0), (33.0, 27.0), 0.8),
    ((-2.0, 4.0), (-1.0, 30.0), (27.0, 29.0), 0.62),
    ((-10.0, 28.0), (-17.0, 78.0), (19.0, 14.0), 0.85),
    ((2.0, 30.0), (0.0, 84.0), (24.0, 19.0), 0.62),
    ((8.0, 30.0), (16.0, 86.0), (19.0, 13.0), 0.75),
    ((14.0, 24.0), (28.0, 46.0), (17.0, 14.0), 0.95),
)
"""Flesh of forearm, wrist, both sides of the palm and its middle, and the ball of the thumb."""

NAMES = ("metacarpal", "proximal", "middle", "distal")
FLARES = ((1.75, 1.65), (1.72, 1.25), (1.72, 1.28), (2.0, 1.35))
"""Half-width of start and end against the middle, by `NAMES`."""


def draw_hand(child: Child) -> Hand:
    """Draw the hand of a child; the same child has the same hand."""
    rng = np.random.default_rng([child.seed, 1])
    builder = _Builder(child, rng)
    bones: list[Bone] = [*builder.forearm(), *builder.carpals()]
    flesh: list[Flesh] = builder.palm()
    tips = []
    spread = float(rng.uniform(-0.01, 0.10))
    for ray in range(5):
        ray_bones, ray_flesh, tip = builder.ray(ray, spread)
        bones += ray_bones
        flesh += ray_flesh
        tips.append(tip)
    bones += builder.sesamoid(bones)
    density = float(np.clip(rng.normal(1.0, 0.09), 0.75, 1.25))
    return Hand(
        child=child,
        bones=tuple(bones),
        flesh=tuple(flesh),
        density=density,
        tips=tuple(tips),
        places=builder.places,
    )


class _Builder:
    """One child's proportions."""

    def __init__(self, child: Child, rng: np.random.Generator) -> None:
        self.child = child
        self.rng = rng
        self.places: dict[str, Point] = {}
        self.size = child.size
        self.slim = float(rng.normal(1.0, 0.05))
        grown = np.clip((child.bone_age_months - 12) / 190, 0, 1)
        self.cortex = float((0.30 + 0.16 * grown) * np.clip(rng.normal(1.0, 0.1), 0.8, 1.2))
        chubby = 1.14 - 0.14 * grown
        self.fat = float(chubby * np.clip(rng.normal(1.0, 0.09), 0.82, 1.25))

    def vary(self, sd: float) -> float:
        """Return a factor near 1."""
        return float(1 + sd * np.clip(self.rng.standard_normal(), -2, 2))

    def at(self, x: float, y: float) -> Point:
        """Scale a place of the adult hand."""
        return x * self.size, y * self.size

    # --- carpus and forearm ------------------------------------------------------------------

    def carpals(self) -> Iterator[Lump]:
        for name, (x, y, across, along, angle) in CARPALS.items():
            stage = self.child.stage(name)
            waves = (
                float(self.rng.uniform(0.0, 0.07)), float(self.rng.uniform(0, 6.28)),
                float(self.rng.uniform(0.0, 0.06)), float(self.rng.uniform(0, 6.28)),
            )  # fmt: skip
            offset = self.rng.normal(0.0, 0.5, 2)
            self.places[name] = self.at(x + offset[0], y + offset[1])
            if not stage.size:
                continue
            # a young centre is round, whatever becomes of it
            share = stage.size * self.size * self.slim
            round_, shape = min(across, along) * 0.95, stage.size**1.5
            yield Lump(
                centre=self.places[name],
                angle=angle + float(self.rng.normal(0, 0.06)),
                half_widths=(
                    share * (round_ + (across - round_) * shape),
                    share * (round_ + (along - round_) * shape),
                ),
                squareness=2.0 + 0.6 * stage.size,
                waves=waves,
                thick=(0.9 if name == "pisiform" else 1.7) * share * min(across, along),
                rim=0.35 + 0.5 * self.size,
            )

    def forearm(self) -> Iterator[Bone]:
        for name, x, top, half, middle, tall, depth in (
            ("radius", 8.0, -1.5, 14.2, 6.8, 5.6, 0.42),
            ("ulna", -17.0, -4.0, 7.4, 5.4, 3.8, 0.68),
        ):
            stage = self.child.stage(name)
            half *= self.vary(0.04) * self.slim
            yield from self.growing(
                name,
                end=self.at(x, top),
                angle=np.pi + float(self.rng.normal(0, 0.02)) + (0.05 if x < 0 else -0.03),
                length=95.0,
                widths=(half, middle * self.slim, middle * self.slim),
                tall=tall,
                stage=stage,
                depth=depth,
            )

    # --- rays --------------------------------------------------------------------------------

    def ray(self, number: int, spread: float) -> tuple[list[Bone], list[Flesh], Point]:
        """Return bones, flesh and tip of a finger."""
        base, angle, lengths, widths = RAYS[number]
        long = self.vary(0.02)
        place = np.array(self.at(*base))
        angle += spread * (1.5 if number == 0 else (2 - number) * 0.7)
        angle += float(self.rng.normal(0, 0.015))
        bones: list[Bone] = []
        flesh: list[Flesh] = []
        fleshy = (13.5, 9.6, 8.6, 7.6) if number else (12.0, 10.5, 9.0, 8.6)
        for part, name in enumerate(NAMES):
            if not lengths[part]:
                continue
            length = lengths[part] * long * self.vary(0.015) * self.size
            way = np.array([np.sin(angle), np.cos(angle)])
            start, end = place, place + way * length
            half = widths[part] * self.slim * self.vary(0.03)
            flares = FLARES[part]
            profile = (half * flares[0], half, half * flares[1])
            centre = f"{name}_{number + 1}"
            stage = self.child.stage(centre)
            at_head = name == "metacarpal" and number > 0
            bones += self.growing(
                centre,
                end=tuple(end) if at_head else tuple(start),
                angle=angle + np.pi if at_head else angle,
                length=length / self.size,
                widths=profile[::-1] if at_head else profile,
                tall=(6.8 if at_head else 4.6) * (0.82 if name == "distal" else 1.0),
                stage=stage,
            )
            tapered = fleshy[part] * self.size * self.fat
            after = fleshy[min(part + 1, 3)] * self.size * self.fat
            flesh.append(
                Flesh(start=tuple(start), end=tuple(end), radii=(tapered, 0.5 * (tapered + after)))
            )
            gap = (1.5 + 1.4 * (1 - stage.size) * (0.5 if at_head else 0.3)) * self.size
            angle += float(self.rng.normal(0, 0.015)) - (0.16 if number == 0 else angle * 0.12)
            place = end + way * gap
        return bones, flesh, (float(end[0]), float(end[1]))

    def growing(
        self,
        centre: str,
        *,
        end: Point,
        angle: float,
        length: float,
        widths: tuple[float, float, float],
        tall: float,
        stage: Stage,
        depth: float = 0.85,
    ) -> Iterator[Bone]:
        """Make a bone that grows at one end: shaft, epiphysis, and what joins them.

        Parameters
        ----------
        centre : str
            Of the epiphysis.
        end : Point
            The joint at the growing end.
        angle : float
            Of the way from there along the bone.
        length : float
            Joint to joint at adult size, mm.
        widths : three float
            Half-widths at the growing end, in the middle, at the other end; adult size, mm.
        tall : float
            Height of the full epiphysis, adult size, mm.
        stage : Stage
        depth : float
            Thickness ÷ width.
        """
        s = self.size
        way = np.array([np.sin(angle), np.cos(angle)])
        joint = np.asarray(end)
        self.places[centre] = _point(joint + way * 0.6 * tall * s)
        plate = PLATE_MM * s * (1 - 0.75 * stage.fusion)
        begin = (tall * s + plate) if stage.fusion < 1 else 0.35 * tall * s
        flat = (0.55 + 0.45 * stage.fusion) * s
        if stage.fusion >= 1:
            begin, flat = 0.0, 0.45 * tall * s
        shaft_width = widths[0] * s * (0.9 + 0.1 * stage.size)
        start = joint + way * begin
        yield Tube(
            start=_point(start),
            angle=angle,
            length=length * s - begin,
            half_widths=(shaft_width, widths[1] * s, widths[2] * s),
            caps=(flat * 1.2, widths[2] * s * 0.75),
            cortex=self.cortex * widths[1] * s,
            lines=(1.0 - 0.8 * stage.fusion, 0.35),
            depth=depth,
        )
        if not stage.size or stage.fusion >= 1:
            return
        high = 0.5 * tall * s * (0.35 + 0.65 * stage.size)
        wide = widths[0] * s * stage.size * (1.0 if stage.size < 1 else 1.03)
        middle = joint + way * (tall * s - high + 0.1 * high)
        yield Lump(
            centre=_point(middle),
            angle=angle,
            half_widths=(wide, high),
            squareness=2.0 + 1.0 * stage.size,
            thick=1.8 * depth * wide,
            rim=(0.3 + 0.4 * stage.size) * s,
        )
        if stage.fusion > 0:
            across = widths[0] * s * (0.25 + 0.7 * stage.fusion)
            bridge = joint + way * (tall * s + 0.5 * plate)
            yield Lump(
                centre=_point(bridge),
                angle=angle,
                half_widths=(across, 0.5 * plate + 0.6 * s),
                squareness=4.0,
                thick=1.5 * depth * widths[0] * s * stage.fusion,
                rim=0.0,
            )

    def sesamoid(self, bones: list[Bone]) -> Iterator[Lump]:
        """Return the sesamoid beside the thumb's first joint."""
        stage = self.child.stage("sesamoid")
        base, angle, lengths, _ = RAYS[0]
        way = np.array([np.sin(angle), np.cos(angle)])
        side = np.array([-np.cos(angle), np.sin(angle)])
        place = (np.asarray(base) + way * (lengths[0] - 3.0) + side * 6.5) * self.size
        self.places["sesamoid"] = _point(place)
        if not stage.size:
            return
        half = 2.6 * self.size * stage.size
        yield Lump(
            centre=_point(place),
            angle=angle,
            half_widths=(half, half * 1.15),
            thick=1.8 * half,
            rim=0.5 * self.size,
        )

    def palm(self) -> list[Flesh]:
        """Return the flesh of forearm, wrist and palm."""
        thick = self.size * self.fat
        return [
            Flesh(
                start=self.at(*start),
                end=self.at(*end),
                radii=(radii[0] * thick, radii[1] * thick),
                depth=depth,
            )
            for start, end, radii, depth in PALM
        ]


def _point(place: npt.NDArray[np.float64]) -> Point:
    return float(place[0]), float(place[1])
