"""Pictures of frames: what a window shows, which one is taken, how a viewport fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.dataset import Dataset

from gateway.exceptions import PixelDataError
from gateway.instance import Frame
from gateway.intake.header import read_header
from gateway.study.render import (
    JPEG,
    PNG,
    Viewport,
    Window,
    apply_window,
    modality_values,
    render,
    window_of,
)
from tests.ct_files import ct_dataset, part10

[FRAME] = read_header(part10(ct_dataset())).frames
"""16×16, 16 bits, signed, slope 1, intercept −1024."""

RAMP = (np.arange(256, dtype=np.uint16) * 8).reshape(16, 16)


def header(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in {"Modality": "CT", **attributes}.items():
        setattr(ds, keyword, value)
    return ds


def shown(
    samples: np.ndarray[Any, Any],
    frame: Frame = FRAME,
    head: Dataset | None = None,
    **options: Any,
) -> np.ndarray[Any, Any]:
    data = render(samples, frame, head or header(), media_type=PNG, **options)
    return np.asarray(imagecodecs.png_decode(data)).astype(int)


@pytest.mark.parametrize(
    ("window", "value", "grey"),
    [  # PS3.3 C.11.2.1.2: ends, middle and beyond, of 0…100
        (Window(50, 100, "LINEAR_EXACT"), 0, 0.0),
        (Window(50, 100, "LINEAR_EXACT"), 50, 127.5),
        (Window(50, 100, "LINEAR_EXACT"), 100, 255.0),
        (Window(50, 100, "LINEAR_EXACT"), 1000, 255.0),
        (Window(50, 101, "LINEAR"), -0.5, 0.0),
        (Window(50, 101, "LINEAR"), 49.5, 127.5),
        (Window(50, 101, "LINEAR"), 99.5, 255.0),
        (Window(5, 1, "LINEAR"), 4.0, 0.0),
        (Window(5, 1, "LINEAR"), 5.0, 255.0),
        (Window(50, 100, "SIGMOID"), 50, 127.5),
        (Window(50, 100, "SIGMOID"), 100, 255 / (1 + np.exp(-2))),
        (Window(50, 100, "SIGMOID"), -1e9, 0.0),
    ],
)
def test_a_window_maps_values_as_the_standard_says(
    window: Window, value: float, grey: float
) -> None:
    assert apply_window(np.array([[value]], np.float32), window)[0, 0] == pytest.approx(
        grey, abs=0.01
    )


def test_stored_values_are_masked_signed_and_rescaled() -> None:
    """12 bits at bit 11, an old overlay above them, two's complement."""
    frame = replace(FRAME, bits_stored=12, high_bit=11, rescale_slope=2.0)
    stored = np.array([[0xF000 | 0x0FFF, 0x07FF, 0x0800]], np.uint16)
    assert modality_values(stored, frame).tolist() == [[-1026.0, 3070.0, -5120.0]]


def test_monochrome1_is_turned_over() -> None:
    window = Window(0, 2048, "LINEAR_EXACT")
    frame = replace(FRAME, photometric_interpretation="MONOCHROME1")
    turned = 255 - shown(RAMP, frame, window=window)
    assert np.abs(turned - shown(RAMP, window=window)).max() <= 1


def test_padding_is_black_in_either() -> None:
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        frame = replace(FRAME, photometric_interpretation=kind, pixel_padding_value=2040)
        assert shown(RAMP, frame, window=Window(0, 100))[-1, -1] == 0


def test_the_window_is_the_headers_then_one_by_modality_then_the_images() -> None:
    own = header(WindowCenter=["100", "50"], WindowWidth=["10", "400"])
    assert np.array_equal(shown(RAMP, head=own), shown(RAMP, window=Window(100, 10)))
    assert np.array_equal(shown(RAMP), shown(RAMP, window=Window(40, 400)))
    other = shown(RAMP, head=header(Modality="MR"))
    assert other.min() == 0
    assert other.max() == 255
    assert len(np.unique(other)) > 200


def test_a_frames_own_window_goes_first() -> None:
    ds = header(WindowCenter="1", WindowWidth="2")
    voi, group, shared = Dataset(), Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = "7", "8", "SIGMOID"
    group.FrameVOILUTSequence = [voi]
    ds.PerFrameFunctionalGroupsSequence = [shared, group]
    assert window_of(ds, 2) == Window(7.0, 8.0, "SIGMOID")
    assert window_of(ds, 1) == Window(1.0, 2.0, "LINEAR")
    assert window_of(header(WindowCenter="1", WindowWidth="0"), 1) is None
    assert window_of(header(), 1) is None


def test_a_viewport_keeps_proportions_and_means() -> None:
    """Shrunk by three, a pixel is about the mean of what it covers; nothing aliases."""
    board = np.indices((30, 60)).sum(0) % 2 * 2000
    frame = replace(FRAME, rows=30, columns=60)
    small = shown(
        board.astype(np.uint16), frame, window=Window(-24, 2000, "LINEAR_EXACT"),
        viewport=Viewport(20, 20),
    )  # fmt: skip
    assert small.shape == (10, 20)
    assert np.abs(small - 127.5).max() < 16
    large = shown(RAMP, viewport=Viewport(64, 32))
    assert large.shape == (32, 32)


def test_a_part_of_the_image_is_shown() -> None:
    window = Window(0, 2048, "LINEAR_EXACT")
    part = shown(RAMP, window=window, viewport=Viewport(4, 4, (8, 12, 4, 4)))
    assert np.array_equal(part, shown(RAMP, window=window)[12:16, 8:12])
    with pytest.raises(PixelDataError):
        shown(RAMP, viewport=Viewport(4, 4, (16, 0, 4, 4)))


def test_a_palette_is_looked_up() -> None:
    ds = header(RedPaletteColorLookupTableDescriptor=[4, 0, 8])
    ds.GreenPaletteColorLookupTableDescriptor = ds.BluePaletteColorLookupTableDescriptor = [4, 0, 8]
    ds.RedPaletteColorLookupTableData = bytes((0, 255, 0, 9))
    ds.GreenPaletteColorLookupTableData = bytes((0, 0, 255, 9))
    ds.BluePaletteColorLookupTableData = bytes((0, 7, 0, 9))
    ds.PixelRepresentation = 0
    frame = replace(
        FRAME, photometric_interpretation="PALETTE COLOR", bits_allocated=8, rows=1, columns=3
    )
    got = shown(np.array([[1, 2, 3]], np.uint8), frame, ds)
    assert got.tolist() == [[[255, 0, 7], [0, 255, 0], [9, 9, 9]]]


def test_ybr_becomes_rgb() -> None:
    frame = replace(
        FRAME, photometric_interpretation="YBR_FULL", samples_per_pixel=3, bits_allocated=8
    )
    red = np.broadcast_to(np.array([76, 85, 255], np.uint8), (2, 2, 3))
    assert np.abs(shown(red, frame)[0, 0] - (255, 0, 0)).max() <= 2


def test_quality_makes_a_jpeg_larger() -> None:
    noise = np.random.default_rng(0).integers(0, 2000, (16, 16)).astype(np.uint16)
    sizes = [
        len(render(noise, FRAME, header(), media_type=JPEG, quality=quality))
        for quality in (10, 100)
    ]
    assert sizes[0] < sizes[1]


def test_what_cannot_be_shown_is_refused() -> None:
    huge = replace(FRAME, rows=60_000, columns=60_000)
    with pytest.raises(PixelDataError):
        render(RAMP, huge, header(), media_type=PNG)
    four = replace(FRAME, photometric_interpretation="CMYK", samples_per_pixel=4)
    with pytest.raises(PixelDataError):
        render(np.zeros((16, 16, 4), np.uint8), four, header(), media_type=PNG)
