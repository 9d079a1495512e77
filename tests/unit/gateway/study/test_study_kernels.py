"""Convolution kernels of the vendors."""

from __future__ import annotations

import pytest

from gateway.study.kernels import kernel_class


@pytest.mark.parametrize(
    ("kernel", "manufacturer", "expected"),
    [
        ("STANDARD", "GE MEDICAL SYSTEMS", "standard"),
        ("SOFT", "GE MEDICAL SYSTEMS", "soft"),
        ("DETAIL", "GE MEDICAL SYSTEMS", "standard"),
        ("LUNG", "GE MEDICAL SYSTEMS", "sharp"),
        ("BONEPLUS", "GE MEDICAL SYSTEMS", "sharp"),
        ("B31f", "SIEMENS", "soft"),
        ("B40s", "SIEMENS", "standard"),
        ("B70f", "SIEMENS", "sharp"),
        (["Br38f", "3"], "SIEMENS", "standard"),
        ("[Br38f,3]", "SIEMENS", "standard"),
        ("Br40d\\3", "SIEMENS", "standard"),
        ("Bl57d", "SIEMENS", "sharp"),
        ("Qr36", "Siemens Healthineers", "soft"),
        ("I50f", "SIEMENS", "sharp"),
        ("B", "Philips", "soft"),
        ("UB", "Philips", "standard"),
        ("YA", "Philips", "sharp"),
        ("L", "PHILIPS", "sharp"),
        ("FC18", "TOSHIBA", "soft"),
        ("FC51", "TOSHIBA", "sharp"),
        ("FC86", "CANON", "sharp"),
        ("B_SOFT_B", "UIH", "soft"),
        ("B_VSHARP_C", "UIH", "sharp"),
    ],
)
def test_known_kernels_have_a_class(kernel, manufacturer, expected):
    """Every vendor's names lead to one of three classes."""
    assert kernel_class(kernel, manufacturer) == expected


@pytest.mark.parametrize("kernel", ["", None, [], "FC99", "XQ-7", "Br", "B05f"])
def test_unknown_kernels_have_none(kernel):
    """What is not known is not guessed."""
    assert kernel_class(kernel) is None


def test_single_letters_mean_something_only_to_philips():
    """Another vendor's B is no Philips B."""
    assert kernel_class("B", "NEUSOFT") is None
