"""Decoding single frames: every lossless syntax, and what damaged streams end in."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from gateway.exceptions import LossyCompressionError, PixelDataError, SeriesError
from gateway.study import stored
from gateway.study.decoders import stored_values
from tests.stored_series import make_frame

ROOT = Path(__file__).resolve().parents[4]
ROWS, COLUMNS = 24, 32


def picture(bits: int = 12) -> np.ndarray:
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 2**bits - 1, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    return np.clip(ramp + rng.normal(0, 20, ramp.shape), 0, 2**bits - 1).astype(np.uint16)


def frame(uid: str, **changes):
    values = {"rows": ROWS, "columns": COLUMNS, "pixel_representation": 0, "bits_stored": 12}
    return make_frame(transfer_syntax_uid=uid, **(values | {"high_bit": 11} | changes))


def rle(values: np.ndarray) -> bytes:
    """PS3.5 Annex G: header of 16 longs, then the high bytes and the low bytes."""
    planes = [
        imagecodecs.packbits_encode((values >> shift).astype(np.uint8).tobytes())
        for shift in (8, 0)
    ]
    offsets = [2, 64, 64 + len(planes[0])] + [0] * 13
    return np.array(offsets, "<u4").tobytes() + b"".join(planes)


def j2k(values: np.ndarray, **options) -> bytes:
    options = {"codecformat": "j2k", "reversible": True, "bitspersample": 12} | options
    return bytes(imagecodecs.jpeg2k_encode(values, **options))


CODED = {
    stored.EXPLICIT_LITTLE: lambda v: v.astype("<u2").tobytes(),
    stored.IMPLICIT_LITTLE: lambda v: v.astype("<u2").tobytes(),
    stored.EXPLICIT_BIG: lambda v: v.astype(">u2").tobytes(),
    stored.RLE_LOSSLESS: rle,
    stored.JPEG_LOSSLESS: lambda v: bytes(imagecodecs.ljpeg_encode(v, bitspersample=12)),
    stored.JPEG_LOSSLESS_SV1: lambda v: bytes(imagecodecs.ljpeg_encode(v, bitspersample=12)),
    stored.JPEG_LS_LOSSLESS: lambda v: bytes(imagecodecs.jpegls_encode(v)),
    stored.JPEG_2000_LOSSLESS: j2k,
    stored.JPEG_2000: j2k,
    stored.HTJ2K_LOSSLESS: lambda v: bytes(imagecodecs.htj2k_encode(v, reversible=True)),
}
COMPRESSED = [uid for uid in CODED if uid not in stored.UNCOMPRESSED]


@pytest.mark.parametrize("uid", CODED)
def test_lossless_syntaxes_give_every_bit_back(uid):
    """What was coded comes out, as 16 bits."""
    values = picture()
    found = stored_values(CODED[uid](values), frame(uid))
    assert found.dtype.itemsize == 2
    assert (found.view(np.uint16) == values).all()


@pytest.mark.parametrize("uid", CODED)
def test_a_frame_that_ends_early_is_an_error(uid):
    """Half of a frame's bytes decode to no picture in any syntax."""
    data = CODED[uid](picture())
    with pytest.raises(PixelDataError):
        stored_values(data[: len(data) // 2], frame(uid))


@pytest.mark.parametrize("uid", COMPRESSED)
def test_noise_instead_of_a_codestream_is_an_error(uid):
    """Random bytes are refused and crash nothing."""
    data = np.random.default_rng(1).integers(0, 256, 3000, np.uint8).tobytes()
    with pytest.raises(PixelDataError):
        stored_values(data, frame(uid))


@pytest.mark.parametrize("uid", COMPRESSED)
def test_a_frame_of_another_size_is_an_error(uid):
    """A stream must hold the rows and columns that its header announces."""
    data = CODED[uid](picture()[:, :-8])
    with pytest.raises(PixelDataError):
        stored_values(data, frame(uid))


@pytest.mark.parametrize("uid", [stored.JPEG_2000, stored.JPEG_2000_LOSSLESS])
def test_an_irreversible_wavelet_is_lossy(uid):
    """The codestream tells, whatever the transfer syntax says."""
    with pytest.raises(LossyCompressionError):
        stored_values(j2k(picture(), reversible=False, level=30), frame(uid))


def test_jpeg_ls_with_errors_is_lossy():
    """NEAR = 2 under the lossless syntax is refused."""
    data = bytes(imagecodecs.jpegls_encode(picture(), level=2))
    with pytest.raises(LossyCompressionError):
        stored_values(data, frame(stored.JPEG_LS_LOSSLESS))


def test_signed_jpeg_2000_keeps_its_sign():
    """Two's complement comes back as the same bits."""
    values = (picture(16).astype(np.int32) - 32768).astype(np.int16)
    data = j2k(values, bitspersample=16)
    found = stored_values(data, frame(stored.JPEG_2000_LOSSLESS, bits_stored=16, high_bit=15))
    assert (found.view(np.int16) == values).all()


def test_a_jpeg_with_restart_intervals_takes_the_careful_decoder():
    """What the quick decoder does not know is not given to it: here an interval of 7."""
    data = CODED[stored.JPEG_LOSSLESS](picture())
    at = data.index(b"\xff\xda")
    with_interval = data[:at] + b"\xff\xdd\x00\x04\x00\x07" + data[at:]
    from gateway.study.codestream import is_plain_jpeg_lossless

    assert is_plain_jpeg_lossless(data, frame(stored.JPEG_LOSSLESS))
    assert not is_plain_jpeg_lossless(with_interval, frame(stored.JPEG_LOSSLESS))


def test_a_damaged_huffman_table_takes_the_careful_decoder():
    """Tables that announce more codes than fit crashed the quick decoder in a fuzzer."""
    data = bytearray(CODED[stored.JPEG_LOSSLESS](picture()))
    at = data.index(b"\xff\xc4")
    data[at + 5] = 200  # codes of one bit
    with pytest.raises(PixelDataError):
        stored_values(bytes(data), frame(stored.JPEG_LOSSLESS))


def test_an_unusual_lossless_jpeg_is_still_decoded():
    """The careful decoder gives the same values as the quick one."""
    from libjpeg.utils import decode

    values = picture()
    data = CODED[stored.JPEG_LOSSLESS](values)
    assert (np.asarray(decode(data, colour_transform=0)).reshape(values.shape) == values).all()


def damage(uid: str, times: int) -> None:
    """Decode a frame that was damaged in many ways; every end but a crash is allowed."""
    rng = random.Random(uid)
    data = CODED[uid](picture())
    for _ in range(times):
        damaged = bytearray(data)
        if rng.random() < 0.2:
            damaged = damaged[: rng.randrange(len(data))] + data[-2:]
        reach = len(damaged) if rng.random() < 0.5 else min(200, len(damaged))
        for _ in range(rng.randrange(1, 6) if reach else 0):
            damaged[rng.randrange(reach)] = rng.randrange(256)
        with contextlib.suppress(SeriesError):
            stored_values(bytes(damaged), frame(uid))


@pytest.mark.parametrize("uid", COMPRESSED)
def test_damaged_streams_crash_nothing(uid):
    """2,000 damaged frames in a process of its own, with malloc's checks: it ends in peace."""
    module = ".".join(Path(__file__).relative_to(ROOT).with_suffix("").parts)
    call = f"from {module} import damage; damage({uid!r}, 2000)"
    environ = {**os.environ, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    ended = subprocess.run(
        [sys.executable, "-c", call], cwd=ROOT, env=environ, capture_output=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr[-500:]
