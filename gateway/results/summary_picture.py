"""Pictures of the Secondary Capture summary: a page of text, and a slice with boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.instance import Frame
from gateway.results.dicom_file import NOT_FOR_CLINICAL_USE
from gateway.results.dicom_source import normal_of, plane_affine
from gateway.results.dicom_sr import lesion_name

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Grey = npt.NDArray[np.uint8]

PAGE = 1024
"""Rows and columns of the page."""

LEAST = 512
"""A slice is enlarged to at least so many pixels."""

FOOT = 88
"""Rows below a slice for words, so that nothing of it is hidden."""

WHITE, GREY, BLACK = 255, 170, 0
_LINE, _MARGIN, _LETTERS = 22, 24, 104
_LUNG, _BONE, _SOFT = (-600.0, 1500.0), (400.0, 1800.0), (40.0, 400.0)
WINDOWS = {"39607008": _LUNG, "816094009": _LUNG, "272673000": _BONE}
"""Centre and width, HU, by the SNOMED CT code of a check's site."""

_OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "H": "F", "F": "H"}

_SIGNS = {
    "positive": "POSITIVE",
    "negative": "negative",
    "indeterminate": "INDETERMINATE",
    "not_evaluated": "not evaluated",
    "failed": "FAILED",
}


def summary_page(result: Mapping[str, Any]) -> Grey:
    """Draw one page of all checks, most urgent first."""
    from PIL import Image, ImageDraw

    picture = Image.new("L", (PAGE, PAGE), BLACK)
    draw = ImageDraw.Draw(picture)
    _write(draw, _MARGIN, "OneScan: summary of automatic checks", size=28)
    _write(draw, _MARGIN + 40, NOT_FOR_CLINICAL_USE, size=22)
    about = (
        f"Screening {result['screening_id']}, version {result['version']}, {result['finished_at']}"
    )
    _write(draw, _MARGIN + 72, about, shade=GREY)
    lines = [line for check in result["checks"] for line in _lines(check)]
    room = (PAGE - 200) // _LINE
    if len(lines) > room:
        lines = [
            *lines[: room - 1],
            (f"... {len(lines) - room + 1} more lines: see the report", GREY),
        ]
    for number, (text, shade) in enumerate(lines):
        _write(draw, 130 + number * _LINE, text, shade=shade)
    for number, text in enumerate(_wrapped(result["disclaimer"], _LETTERS, 2)):
        _write(draw, PAGE - 52 + number * _LINE, text, shade=GREY)
    return np.asarray(picture, np.uint8).copy()


def annotated_slice(
    values: npt.NDArray[np.float32],
    frame: Frame,
    check: Mapping[str, Any],
    lesions: Sequence[Mapping[str, Any]],
) -> Grey:
    """Draw a slice with a box around each lesion that it cuts.

    Parameters
    ----------
    values : (R, C) ndarray of float32
        HU of the slice.
    lesions : sequence of mapping
        Those of its series.
    """
    from PIL import Image, ImageDraw

    centre, width = WINDOWS.get((check["codes"].get("site") or {}).get("value", ""), _SOFT)
    shown = np.clip((values - centre) / width + 0.5, 0.0, 1.0) * 255.0
    factor = max(1, -(-LEAST // min(values.shape)))
    large = np.kron(np.rint(shown).astype(np.uint8), np.ones((factor, factor), np.uint8))
    rows, columns = large.shape
    picture = Image.new("L", (max(columns, LEAST), rows + FOOT), BLACK)
    picture.paste(Image.fromarray(large), (0, 0))
    draw = ImageDraw.Draw(picture)
    for lesion in lesions:
        box = box_on(lesion, frame)
        if box is None:
            continue
        top, left, bottom, right = (factor * (edge + 0.5) for edge in box)  # centres of pixels
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=BLACK, width=1)
        draw.rectangle((left, top, right, bottom), outline=WHITE, width=1)
        _label(draw, (left, max(0, bottom + 2)), lesion_name(check, lesion))
    to_right, downwards = directions(frame)
    _label(draw, (4, rows / 2 - 8), _OPPOSITE[to_right])
    _label(draw, (columns - 16, rows / 2 - 8), to_right)
    _label(draw, (columns / 2 - 5, 2), _OPPOSITE[downwards])
    _label(draw, (columns / 2 - 5, rows - 20), downwards)
    _write(draw, rows + 4, NOT_FOR_CLINICAL_USE, size=16, left=8)
    _write(draw, rows + 24, f"OneScan: {check['check']} {_SIGNS[check['state']]}", size=14, left=8)
    for number, text in enumerate(_wrapped(check["text"]["en"], 78, 2)):
        _write(draw, rows + 44 + 18 * number, text, size=13, shade=GREY, left=8)
    return np.asarray(picture, np.uint8).copy()


def box_on(lesion: Mapping[str, Any], frame: Frame) -> tuple[float, float, float, float] | None:
    """Give top, left, bottom and right of a lesion's box on a frame; None where it is elsewhere."""
    plane = plane_affine(frame)
    along_rows, along_columns = plane[:, 0], plane[:, 1]
    ends = lesion["box_mm"] or _around(lesion)
    corners = np.array(list(product(*zip(*ends))), np.float64) - plane[:, 2]
    apart = corners @ normal_of(frame)
    half = 0.5 * float(frame.slice_thickness or 1.0)
    if apart.min() > half or apart.max() < -half:
        return None
    row = corners @ along_rows / (along_rows @ along_rows)
    column = corners @ along_columns / (along_columns @ along_columns)
    return float(row.min()), float(column.min()), float(row.max()), float(column.max())


def directions(frame: Frame) -> tuple[str, str]:
    """Give the letters of growing column and of growing row: L, R, P, A, H or F.

    PS3.3 C.7.6.1.1.1, *Patient Orientation*, its first letter.
    """
    plane = plane_affine(frame)
    found = []
    for along in (plane[:, 1], plane[:, 0]):
        axis = int(np.argmax(np.abs(along)))
        found.append("LPH"[axis] if along[axis] > 0 else "RAF"[axis])
    return found[0], found[1]


def _around(lesion: Mapping[str, Any]) -> list[list[float]]:
    """Give a box of 10 mm where a lesion has none."""
    reach = 0.5 * (lesion["long_diameter_mm"] or 10.0)
    return [[x - reach for x in lesion["centre_mm"]], [x + reach for x in lesion["centre_mm"]]]


def _wrapped(text: str, letters: int, lines: int) -> list[str]:
    return textwrap.wrap(text, letters, max_lines=lines, placeholder=" ...")


def _lines(check: Mapping[str, Any]) -> list[tuple[str, int]]:
    shade = WHITE if check["state"] == "positive" else GREY
    head = f"{check['check'].upper()}: {_SIGNS[check['state']]}"
    if check["state"] == "positive":
        head += f" ({check['urgency'].replace('_', ' ')})"
    if check["reason"]:
        head += f" ({check['reason'].replace('_', ' ')})"
    said = textwrap.wrap(check["text"]["en"], _LETTERS)
    return [(head, shade), *(("    " + text, GREY) for text in said)]


def _label(draw: ImageDraw, at: tuple[float, float], text: str) -> None:
    """Write on a picture: white in black, to be read on bone and on lung."""
    draw.text(at, text, WHITE, font=_font(14), stroke_width=1, stroke_fill=BLACK)


def _write(
    draw: ImageDraw, top: int, text: str, *, size: int = 17, shade: int = WHITE, left: int = _MARGIN
) -> None:
    draw.text((left, top), text.encode("latin-1", "replace").decode("latin-1"), shade, _font(size))


def _font(size: int) -> Any:
    """Give the font that comes with Pillow: Latin letters only, the same on every machine."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
