"""Projection radiographs: one image is one volume of one slice, of grey values and not of HU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import (
    InvalidGeometryError,
    MissingAttributeError,
    NoSuitableSeriesError,
    PixelDataError,
    WrongModalityError,
)
from gateway.instance import Frame
from gateway.study.attributes import Attributes, values
from gateway.study.geometry import SeriesGeometry
from gateway.study.hounsfield import keep_bits_stored
from gateway.study.stored import check_decodable

MODALITIES = frozenset({"CR", "DX"})
"""(0008,0060) *Modality* of projection radiographs; some devices write one and store the other."""

SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography Image Storage
        "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray Image Storage - For Presentation
    }
)
"""Images whose stored values mean grey. Those For Processing are raw and are not read."""

PROJECTION = "projection"
"""`SeriesGeometry.orientation` of an image without depth."""

SLICE_MM = 1.0
"""Between slices; there is one, so it stands for nothing."""

MONOCHROME1, MONOCHROME2 = "MONOCHROME1", "MONOCHROME2"


def check_image(modality: str, sop_class_uid: str) -> None:
    """Refuse what is no radiograph for presentation.

    Raises
    ------
    WrongModalityError
    """
    if modality not in MODALITIES or sop_class_uid not in SOP_CLASSES:
        raise WrongModalityError(
            f"Modality is {modality or 'empty'} and SOP Class {sop_class_uid}: "
            "not a radiograph for presentation."
        )


def image_geometry(frames: Sequence[Frame], attributes: Attributes) -> SeriesGeometry:
    """Place one image.

    Parameters
    ----------
    frames : sequence of Frame
        One.
    attributes : mapping
        Of its instance.

    Returns
    -------
    SeriesGeometry
        Of shape (1, R, C). Rows and columns run as stored; a radiograph lies in no LPS space, so
        the affine only holds its spacings.

    Raises
    ------
    NoSuitableSeriesError, PixelDataError, MissingAttributeError, InvalidGeometryError, \
    UnsupportedTransferSyntaxError, LossyCompressionError
        When there is no such image.
    """
    if len(frames) != 1:
        raise NoSuitableSeriesError(f"There are {len(frames)} images where one is read.")
    frame = frames[0]
    check_decodable(frame)
    if frame.photometric_interpretation not in (MONOCHROME1, MONOCHROME2):
        raise PixelDataError(
            f"Photometric Interpretation {frame.photometric_interpretation} is not grey."
        )
    row, column = pixel_spacing(frame, attributes)
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = SLICE_MM, row, column, 1.0
    return SeriesGeometry(
        frames=(frame,),
        permutation=(0, 1, 2),
        flips=(False, False, False),
        shape=(1, frame.rows, frame.columns),
        affine=affine,
        spacing_mm=(SLICE_MM, row, column),
        increment_mm=SLICE_MM,
        increment_spread_mm=0.0,
        thickness_mm=None,
        orientation=PROJECTION,
        obliquity_degrees=0.0,
        shear_degrees=0.0,
    )


def pixel_spacing(frame: Frame, attributes: Attributes) -> tuple[float, float]:
    """Give mm between rows and columns.

    (0028,0030) *Pixel Spacing* where it is given, else (0018,1164) *Imager Pixel Spacing*, which
    is that of the detector: what lies on it is magnified by a few per cent.

    Raises
    ------
    MissingAttributeError, InvalidGeometryError

    References
    ----------
    * DICOM PS3.3, C.8.11.4 and 10.7.1.3 (Pixel Spacing of projection radiography).
    """
    try:
        given = frame.pixel_spacing or tuple(map(float, values(attributes, "ImagerPixelSpacing")))
    except ValueError:
        given = ()
    if len(given) != 2:
        raise MissingAttributeError("Pixel Spacing and Imager Pixel Spacing are missing.")
    row, column = given
    if not (math.isfinite(row) and math.isfinite(column) and row > 0 and column > 0):
        raise InvalidGeometryError("Pixel Spacing is not positive.")
    return row, column


def to_grey(stored: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.int16]:
    """Turn stored values to grey values of which the largest is white.

    Parameters
    ----------
    stored : (R, C) ndarray of 8- or 16-bit integers
        Contiguous; may be overwritten.
    frame : Frame
        MONOCHROME1, and a negative slope, turn the scale over.

    Returns
    -------
    (R, C) ndarray of int16
        Stored values, not rescaled and without a window: they have no unit. Unsigned ones of 16
        bits are 32,768 less, so that int16 holds them. Declared padding is as black as the
        image's darkest pixel.

    References
    ----------
    * DICOM PS3.3, C.7.6.3.1.2 (Photometric Interpretation) and C.7.5.1.1.2 (Pixel Padding Value).
    """
    signed = frame.pixel_representation == 1
    kind = "i" if signed else "u"
    grey = stored.view(f"{kind}{stored.dtype.itemsize}").astype(f"{kind}2", copy=False)
    keep_bits_stored(grey, frame)
    padding = _padding(grey, frame)
    if signed:
        out = np.invert(grey) if _turned(frame) else grey
    else:
        if _turned(frame):
            grey = np.subtract((1 << frame.bits_stored) - 1, grey, dtype=np.uint16)
        out = grey - np.uint16(1 << 15) if frame.bits_stored == 16 else grey
    out = out.view(np.int16)
    if padding is not None and padding.any() and not padding.all():
        out = np.where(padding, out[~padding].min(), out)
    return out


def _turned(frame: Frame) -> bool:
    return (frame.photometric_interpretation == MONOCHROME1) != ((frame.rescale_slope or 1.0) < 0)


def _padding(grey: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.bool_] | None:
    declared = frame.pixel_padding_value
    if declared is None:
        return None
    limit = frame.pixel_padding_range_limit
    first, last = sorted((declared, declared if limit is None else limit))
    found: npt.NDArray[np.bool_] = (grey >= first) & (grey <= last)
    return found
