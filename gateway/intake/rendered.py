"""Parameters of rendered resources, PS3.18 8.3.5."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError

MAX_SIDE = 8192
"""Of a viewport, in pixels."""

FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
"""Names of windows' functions here → (0028,1056) *VOI LUT Function*."""

QUALITY = 90
"""Of JPEG, where none is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How a picture is to look."""

    window: tuple[float, float, str] | None = None
    """Centre, width and VOI LUT Function."""

    viewport: tuple[int, int] | None = None
    """Width and height."""

    part: tuple[int, int, int, int] | None = None
    """Left, top, width and height of the part that is shown, in pixels of the image."""

    quality: int = QUALITY


def read_rendering(parameters: Iterable[tuple[str, str]]) -> Rendering:
    """Read the query of a rendered resource.

    Raises
    ------
    UnknownQueryKeyError
        For a parameter that is not one of them.
    InvalidQueryError
        For a value that is none.
    """
    window = viewport = part = None
    quality = QUALITY
    for name, value in parameters:
        if name == "window":
            window = _window(value)
        elif name == "viewport":
            viewport, part = _viewport(value)
        elif name == "quality":
            quality = _integer("quality", value, 1, 100)
        elif name != "accept":
            raise UnknownQueryKeyError(
                f"{name[:80]} is no parameter of a rendered resource that is known here."
            )
    return Rendering(window=window, viewport=viewport, part=part, quality=quality)


def frame_numbers(text: str, available: int) -> list[int]:
    """Read a list of frames such as ``1,2``; numbers are 1-based and in the order asked for.

    Raises
    ------
    InvalidQueryError
        When it is no list of numbers, or longer than there are frames.
    IndexError
        When there is no such frame.
    """
    words = text.split(",")
    if len(words) > max(1, available) or not all(
        re.fullmatch(r"[0-9]{1,9}", word, flags=re.ASCII) for word in words
    ):
        raise InvalidQueryError("Frames are given as numbers with commas between them.")
    numbers = [int(word) for word in words]
    if not all(1 <= number <= available for number in numbers):
        raise IndexError
    return numbers


def _window(value: str) -> tuple[float, float, str]:
    words = value.split(",")
    try:
        center, width = float(words[0]), float(words[1])
        function = FUNCTIONS[words[2].strip().lower()] if len(words) > 2 else "LINEAR"
    except (ValueError, IndexError, KeyError):
        raise InvalidQueryError(
            f"window is center,width,function with {', '.join(FUNCTIONS)}."
        ) from None
    if len(words) > 3 or not (isfinite(center) and isfinite(width)) or width <= 0:
        raise InvalidQueryError("window has a center and a positive width.")
    return center, width, function


def _viewport(value: str) -> tuple[tuple[int, int], tuple[int, int, int, int] | None]:
    words = value.split(",")
    if len(words) not in (2, 6):
        raise InvalidQueryError("viewport is vw,vh or vw,vh,sx,sy,sw,sh.")
    width, height = (_integer("viewport", word, 1, MAX_SIDE) for word in words[:2])
    if len(words) == 2:
        return (width, height), None
    left, top = (_integer("viewport", word, 0, 65_535) for word in words[2:4])
    across, down = (_integer("viewport", word, 1, 65_535) for word in words[4:])
    return (width, height), (left, top, across, down)


def _integer(name: str, text: str, low: int, high: int) -> int:
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,6}", text, flags=re.ASCII) or not low <= int(text) <= high:
        raise InvalidQueryError(f"{name} takes whole numbers between {low} and {high}.")
    return int(text)
