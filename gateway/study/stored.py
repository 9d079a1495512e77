"""Which stored pixels can become HU at all, and why the others cannot."""

from __future__ import annotations

import math

from gateway.exceptions import (
    LossyCompressionError,
    MissingAttributeError,
    PixelDataError,
    UnsupportedTransferSyntaxError,
    ZeroRescaleSlopeError,
)
from gateway.instance import Frame

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"

UNCOMPRESSED = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})
"""Frames whose bytes are the stored values."""

SUPPORTED = UNCOMPRESSED | {
    DEFLATED_LITTLE,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_2000,  # its codestream tells whether it is lossless
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    HTJ2K,  # likewise
    RLE_LOSSLESS,
}
"""Transfer syntaxes that are decoded."""

LOSSY = {
    "1.2.840.10008.1.2.4.50": "JPEG Baseline (Process 1)",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Lossy (Near-Lossless)",
}
"""Decodable, and lossy by definition. JPEG Baseline has 8 bits, so HU are in steps of 16 or so."""

NAMES = {
    "1.2.840.10008.1.2.4.51": "JPEG Extended (Process 2 and 4)",
    "1.2.840.10008.1.2.4.53": "JPEG Spectral Selection (Process 6 and 8, retired)",
    "1.2.840.10008.1.2.4.55": "JPEG Full Progression (Process 10 and 12, retired)",
    "1.2.840.10008.1.2.4.110": "JPEG XL Lossless",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame Compression",
}
"""Names for refusals; what is not here is refused by its UID."""


def check_decodable(frame: Frame) -> None:
    """Refuse a frame that has no stored values to be read.

    Raises
    ------
    UnsupportedTransferSyntaxError
        No decoder for its transfer syntax.
    LossyCompressionError
        The transfer syntax is lossy by definition.
    PixelDataError
        Colour, or a number of bits that is not read here.
    """
    uid = frame.transfer_syntax_uid
    if uid in LOSSY:
        raise LossyCompressionError(f"{LOSSY[uid]} is lossy, so nothing is measured on the series.")
    if uid not in SUPPORTED:
        name = f"{NAMES[uid]} ({uid})" if uid in NAMES else uid
        raise UnsupportedTransferSyntaxError(f"Transfer syntax {name} has no decoder here.")
    if frame.samples_per_pixel != 1:
        raise PixelDataError(
            f"Pixels are {frame.photometric_interpretation} with {frame.samples_per_pixel} "
            "samples, not one stored value each."
        )
    if frame.bits_allocated not in (8, 16) or not (
        0 < frame.bits_stored <= frame.high_bit + 1 <= frame.bits_allocated
    ):
        raise PixelDataError(
            f"Bits Allocated {frame.bits_allocated}, Bits Stored {frame.bits_stored} and High Bit "
            f"{frame.high_bit} are not read here."
        )


def check_storable(frame: Frame) -> None:
    """Refuse a frame whose stored values cannot become HU.

    Raises
    ------
    UnsupportedTransferSyntaxError, LossyCompressionError, PixelDataError
        As `check_decodable`.
    MissingAttributeError
        Position, orientation, spacing or rescale is missing.
    ZeroRescaleSlopeError
        Every pixel would have the same HU.
    """
    check_decodable(frame)
    needed = {
        "Image Position (Patient)": frame.image_position_patient,
        "Image Orientation (Patient)": frame.image_orientation_patient,
        "Pixel Spacing": frame.pixel_spacing,
        "Rescale Slope": frame.rescale_slope,
        "Rescale Intercept": frame.rescale_intercept,
    }
    for name, value in needed.items():
        if value is None:
            raise MissingAttributeError(f"{name} is missing.")
    slope, intercept = frame.rescale_slope or 0.0, frame.rescale_intercept or 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise MissingAttributeError("Rescale Slope or Rescale Intercept is not a finite number.")
    if slope == 0:
        raise ZeroRescaleSlopeError
