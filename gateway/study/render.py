"""One frame as a picture for people: rescale, window, size, JPEG or PNG (PS3.18 8.3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut, convert_color_space

from gateway.exceptions import PixelDataError
from gateway.instance import Frame
from gateway.study.picture import NATIVE, Samples

Grey = npt.NDArray[np.float32]
"""(R, C) modality values: stored values after slope and intercept."""

MAX_PIXELS = 64_000_000
"""Of one frame; the largest mammograms have 30 million."""

MAX_SIDE = 8192
"""Of a viewport."""

DEFAULT_WINDOWS = {"CT": (40.0, 400.0)}
"""Modality → centre and width (HU) where the header has none: soft tissue."""

SHARE = 0.5
"""Per cent of the darkest and brightest pixels that a window made from the image leaves out."""

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
"""(0028,1056) *VOI LUT Function*."""

JPEG, PNG = "image/jpeg", "image/png"

QUALITY = 90
"""Of JPEG, where none is asked for."""

PNG_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Window:
    """A window of modality values."""

    center: float
    width: float
    function: str = FUNCTIONS[0]


@dataclass(frozen=True, slots=True)
class Viewport:
    """How large the picture may be, and of which part of the image."""

    width: int
    height: int
    source: tuple[int, int, int, int] | None = None
    """Left, top, width and height of that part, in pixels; None is the whole image."""


def render(
    samples: Samples,
    frame: Frame,
    header: Dataset,
    *,
    media_type: str,
    window: Window | None = None,
    viewport: Viewport | None = None,
    quality: int = QUALITY,
) -> bytes:
    """Make a picture.

    Parameters
    ----------
    samples : (R, C) or (R, C, 3) ndarray
        As `gateway.study.picture.samples_of` gives it.
    frame : Frame
        What the index says of it.
    header : Dataset
        Of the instance, for its window, modality and palette.
    media_type : str
        `JPEG` or `PNG`.
    window : Window
        Of grey images; None takes the header's, or one by modality, or one that holds the image.
    viewport : Viewport
        The picture fills it as far as its proportions allow; None keeps the image's size.

    Raises
    ------
    PixelDataError
        When the image is too large, or of a colour space that is not shown.
    """
    if frame.rows * frame.columns > MAX_PIXELS:
        raise PixelDataError(f"The image has more than {MAX_PIXELS} pixels.")
    kind = frame.photometric_interpretation
    if kind.startswith("MONOCHROME") and samples.ndim == 2:
        shown = _grey(samples, frame, header, window)
    else:
        shown = _colour(samples, frame, header)
    if viewport is not None:
        shown = _fit(shown, viewport)
    pixels = np.ascontiguousarray(np.rint(np.clip(shown, 0, 255)).astype(np.uint8))
    if media_type == PNG:
        return bytes(imagecodecs.png_encode(pixels, level=PNG_LEVEL))
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality))


def modality_values(samples: Samples, frame: Frame) -> Grey:
    """Mask and sign the stored values and rescale them, PS3.3 C.11.1."""
    bits = frame.bits_stored
    values = samples.astype(np.int64) >> max(0, frame.high_bit + 1 - bits)
    values &= (1 << bits) - 1
    if frame.pixel_representation == 1:
        values -= (values >> (bits - 1)) << bits
    slope = 1.0 if frame.rescale_slope is None else frame.rescale_slope
    rescaled: Grey = (values * slope + (frame.rescale_intercept or 0.0)).astype(np.float32)
    return rescaled


def apply_window(values: Grey, window: Window) -> Grey:
    """Map modality values to [0, 255], PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        with np.errstate(over="ignore"):
            sigmoid: Grey = 255 / (1 + np.exp(-4 * (values - center) / max(width, 1e-6)))
            return sigmoid
    if window.function == "LINEAR":
        center, width = center - 0.5, width - 1
    linear: Grey = np.clip(((values - center) / max(width, 1e-6) + 0.5) * 255, 0, 255)
    return linear


def window_of(header: Dataset, frame_number: int) -> Window | None:
    """Give the header's first window of a frame; None where it has none that makes sense."""
    for group in _groups(header, frame_number):
        center, width = _first(group.get("WindowCenter")), _first(group.get("WindowWidth"))
        if center is None or width is None or width <= 0:
            continue
        function = str(group.get("VOILUTFunction") or FUNCTIONS[0]).upper()
        return Window(center, width, function if function in FUNCTIONS else FUNCTIONS[0])
    return None


def _groups(header: Dataset, frame_number: int) -> list[Dataset]:
    """List where a window may stand: the frame's group, the shared one, the top."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[frame_number - 1 : frame_number], *shared[:1]]
    return [item for group in groups for item in group.get("FrameVOILUTSequence") or []] + [header]


def _first(value: Any) -> float | None:
    try:
        value = value[0] if not isinstance(value, str | float | int) else value
        number = float(value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if np.isfinite(number) else None


def _grey(samples: Samples, frame: Frame, header: Dataset, window: Window | None) -> Grey:
    values = modality_values(samples, frame)
    padding = _padding(values, frame)
    if window is None:
        window = window_of(header, frame.frame_number) or _default(values, padding, header)
    shown = apply_window(values, window)
    inverse = str(header.get("PresentationLUTShape") or "") == "INVERSE"
    if (frame.photometric_interpretation == "MONOCHROME1") or inverse:
        shown = 255 - shown
    if padding is not None:
        shown[padding] = 0
    return shown


def _default(values: Grey, padding: npt.NDArray[np.bool_] | None, header: Dataset) -> Window:
    known = DEFAULT_WINDOWS.get(str(header.get("Modality") or ""))
    if known:
        return Window(*known)
    seen = values if padding is None or padding.all() else values[~padding]
    low, high = (float(v) for v in np.percentile(seen, (SHARE, 100 - SHARE)))
    return Window((low + high) / 2, max(high - low, 1.0), "LINEAR_EXACT")


def _padding(values: Grey, frame: Frame) -> npt.NDArray[np.bool_] | None:
    declared = frame.pixel_padding_value
    if declared is None:
        return None
    limit = frame.pixel_padding_range_limit
    slope = 1.0 if frame.rescale_slope is None else frame.rescale_slope
    ends = [
        stored * slope + (frame.rescale_intercept or 0.0)
        for stored in (declared, declared if limit is None else limit)
    ]
    return (values >= min(ends) - 1e-3) & (values <= max(ends) + 1e-3)


def _colour(samples: Samples, frame: Frame, header: Dataset) -> Samples:
    kind = frame.photometric_interpretation
    if kind == "PALETTE COLOR" and samples.ndim == 2:
        try:
            rgb = np.asarray(apply_color_lut(samples, header))
        except (AttributeError, ValueError, KeyError) as error:
            raise PixelDataError(f"The palette cannot be read: {error}") from None
        return rgb >> 8 if rgb.dtype.itemsize > 1 else rgb
    if samples.ndim != 3 or samples.shape[2] != 3 or samples.dtype != np.uint8:
        raise PixelDataError(f"{kind} of {frame.bits_allocated} bits is not shown.")
    raw = frame.transfer_syntax_uid in NATIVE or frame.transfer_syntax_uid.endswith(".1.2.5")
    if raw and kind in ("YBR_FULL", "YBR_FULL_422"):
        return np.asarray(convert_color_space(samples, "YBR_FULL", "RGB"))
    return samples


def _fit(shown: Samples, viewport: Viewport) -> Samples:
    """Cut out the part that is asked for and resize it, keeping its proportions."""
    if viewport.source is not None:
        left, top, width, height = viewport.source
        shown = shown[top : top + height, left : left + width]
        if not shown.size:
            raise PixelDataError("The part that is asked for lies outside of the image.")
    rows, columns = shown.shape[:2]
    scale = min(viewport.height / rows, viewport.width / columns)
    down = _weights(rows, max(1, round(rows * scale)))
    across = _weights(columns, max(1, round(columns * scale)))
    planes = shown.astype(np.float32).reshape(rows, columns, -1)
    resized = [down @ planes[..., k] @ across.T for k in range(planes.shape[2])]
    return resized[0] if shown.ndim == 2 else np.stack(resized, axis=-1)


def _weights(old: int, new: int) -> Grey:
    """Weights (new, old) of a triangle filter, wide enough that shrinking does not alias."""
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    reach = max(1.0, old / new)
    weights = np.maximum(0, 1 - np.abs(np.arange(old)[None] - centers[:, None]) / reach)
    normed: Grey = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normed
