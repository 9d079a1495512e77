"""A phantom written three ways comes in as the same frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gateway.instance import Frame
from gateway.intake.folders import collect
from gateway.settings import IntakeSettings
from networks.phantoms.study import make_study


def frames(folder: Path, enhanced: bool | str) -> list[tuple[Frame, bytes]]:
    """Write and read the phantom; gives frames and pixels in order, without what must differ."""
    make_study(
        folder,
        seed=3,
        matrix=64,
        increment_mm=20.0,
        series=("thin",),
        enhanced=enhanced,
        anatomy_spacing_mm=6.0,
    )
    with collect([folder], settings=IntakeSettings()) as found:
        read = [
            (
                dataclasses.replace(
                    frame, sop_instance_uid="", frame_number=0, object_key="", pixel_offset=0
                ),
                found.objects.read(frame.object_key, frame.pixel_offset, frame.pixel_length),
            )
            for instance in found.instances
            for frame in instance.frames
        ]
    return sorted(read, key=lambda item: item[0].image_position_patient or ())


@pytest.mark.slow
def test_single_enhanced_and_legacy_files_hold_the_same_frames(tmp_path: Path) -> None:
    """Place, scale and pixels of every slice are equal, whichever object holds it."""
    single = frames(tmp_path / "single", False)
    assert len(single) > 10
    assert frames(tmp_path / "enhanced", "enhanced") == single
    assert frames(tmp_path / "legacy", "legacy") == single
