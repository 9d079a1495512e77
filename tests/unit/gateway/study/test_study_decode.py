"""Whole series into the volume: order, orientation, writing, damage."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exceptions import PixelDataError
from gateway.intake.header import read_header
from gateway.study import stored
from gateway.study.decode import decode_series
from gateway.study.series import group_series
from gateway.triton.shared_memory import SharedVolume
from tests import ct_files
from tests.stored_series import MemoryObjects, decode, make_frame, one_series, series_of

SPACING = (3.0, 0.7, 0.8)
"""Between slices, rows, columns of the scene."""

SCENE = np.random.default_rng(11).integers(-1000, 2000, (5, 6, 7)).astype(np.int16)
"""A volume in canonical axes, every voxel another value."""

AXES = [np.array(a, float) for a in itertools.product((-1, 0, 1), repeat=3) if np.abs(a).sum() == 1]
ORIENTATIONS = [(r, c) for r in AXES for c in AXES if r @ c == 0]
"""The 24 pairs of row and column directions along the body's axes."""


def acquire(row, column, objects: MemoryObjects, order: list[int] | None = None):
    """Store the scene as slices with these directions of growing column and row index."""
    normal = np.cross(row, column)
    native, corner, steps = SCENE, np.zeros(3), []
    axes = []
    for direction in (normal, column, row):
        lps = int(np.abs(direction).argmax())
        axis = 2 - lps  # canonical axes are z, y, x
        axes.append(axis)
        steps.append(SPACING[axis])
        if direction[lps] < 0:
            native = np.flip(native, axis)
            corner[lps] = (SCENE.shape[axis] - 1) * SPACING[axis]
    native = native.transpose(axes)
    frames = []
    for number, plane in enumerate(native):
        objects.objects[f"k{number}"] = np.ascontiguousarray(plane).tobytes()
        frames.append(
            make_frame(
                number=number + 1,
                rows=plane.shape[0],
                columns=plane.shape[1],
                image_position_patient=tuple(corner + number * steps[0] * normal),
                image_orientation_patient=(*row, *column),
                pixel_spacing=(steps[1], steps[2]),
                object_key=f"k{number}",
            )
        )
    return one_series([frames[i] for i in order] if order else frames)


@given(st.sampled_from(ORIENTATIONS), st.randoms(use_true_random=False))
def test_every_orientation_and_order_gives_the_same_volume(orientation, rng: random.Random):
    """HFS, FFS, prone, decubitus, coronal, sagittal: the same LPS volume and affine."""
    objects = MemoryObjects()
    count = len(acquire(*orientation, objects).frames)
    order = list(range(count))
    rng.shuffle(order)
    series = acquire(*orientation, objects, order)
    assert (decode(series, objects) == SCENE).all()
    expected = np.zeros((4, 4))
    expected[2, 0], expected[1, 1], expected[0, 2], expected[3, 3] = *SPACING, 1
    assert series.geometry.affine == pytest.approx(expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS[::5])
def test_a_shared_region_gets_the_same_volume(orientation, tmp_path: Path):
    """Written by pwrite or through the mapping, other processes see it."""
    objects = MemoryObjects()
    series = acquire(*orientation, objects)
    geometry = series.geometry
    with SharedVolume.create(geometry.shape, home=tmp_path) as volume:
        decode_series(series, geometry, objects, volume.array, region=volume.name)
        seen = np.fromfile(f"/dev/shm/{volume.name}", np.int16).reshape(geometry.shape)
    assert (seen == SCENE).all()


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_do_not_change_the_volume(threads):
    """One thread or more than slices: the same."""
    objects = MemoryObjects()
    planes = [np.full((8, 9), 10 * k, np.int16) for k in range(6)]
    volume = decode(series_of(planes, objects), objects, threads=threads)
    assert (volume == np.stack(planes)).all()


def test_each_slice_has_its_own_slope_and_intercept():
    """Rescale is per slice, as the standard allows."""
    objects = MemoryObjects()
    frames = []
    for k, (slope, intercept) in enumerate([(1.0, -1024.0), (2.0, -500.0), (0.5, 0.0)]):
        objects.objects[f"k{k}"] = np.full((4, 5), 600, np.int16).tobytes()
        frames.append(
            make_frame(
                3.0 * k, object_key=f"k{k}", rescale_slope=slope, rescale_intercept=intercept
            )
        )
    assert decode(one_series(frames), objects)[:, 0, 0].tolist() == [-424, 700, 300]


def test_fragments_are_joined():
    """A frame in three pieces is one frame."""
    from tests.unit.gateway.study.test_study_decoders import picture, rle

    objects = MemoryObjects()
    data = rle(picture())
    objects.objects["one"] = b"ab" + data[:10] + b"xx" + data[10:300] + b"yyy" + data[300:]
    pieces = ((2, 10), (14, 290), (307, len(data) - 300))
    frames = [
        make_frame(
            3.0 * k,
            rows=24,
            columns=32,
            transfer_syntax_uid=stored.RLE_LOSSLESS,
            fragments=pieces,
            pixel_offset=2,
            pixel_length=len(data),
        )
        for k in range(3)
    ]
    volume = decode(one_series(frames), objects)
    assert (volume[1] == np.clip(picture().astype(int), -1024, 3071)).all()


def test_enhanced_ct_gives_the_same_volume_as_single_frames(tmp_path: Path):
    """One multi-frame instance, legacy or not, or ten single-frame ones: the same voxels."""
    singles = ct_files.slices(10, seed=4)
    volumes = {}
    for name, datasets in {
        "single": singles,
        "enhanced": [ct_files.multi_frame(singles)],
        "legacy": [ct_files.multi_frame(singles, legacy=True)],
    }.items():
        objects, instances = MemoryObjects(), []
        for number, ds in enumerate(datasets):
            objects.objects[f"k{number}"] = ct_files.part10(ds)
            instances.append(read_header(objects.objects[f"k{number}"], object_key=f"k{number}"))
        (series,) = group_series(instances)
        volumes[name] = (decode(series, objects), series.geometry.affine)
    for name in ("enhanced", "legacy"):
        assert (volumes[name][0] == volumes["single"][0]).all()
        assert volumes[name][1] == pytest.approx(volumes["single"][1])


@pytest.mark.parametrize(
    "syntax", [stored.IMPLICIT_LITTLE, stored.EXPLICIT_BIG, stored.DEFLATED_LITTLE]
)
def test_uncompressed_and_deflated_files_give_the_same_volume(syntax):
    """Byte order and deflation are undone."""
    volumes = []
    for uid in (stored.EXPLICIT_LITTLE, syntax):
        objects, instances = MemoryObjects(), []
        for number, ds in enumerate(ct_files.slices(4, seed=2)):
            objects.objects[f"k{number}"] = b"before" + ct_files.part10(ds, uid)
            instances.append(
                read_header(
                    objects.objects[f"k{number}"][6:], object_key=f"k{number}", object_offset=6
                )
            )
        (series,) = group_series(instances)
        volumes.append(decode(series, objects))
    assert (volumes[0] == volumes[1]).all()


def test_a_tilt_is_undone():
    """A straight rod through sheared slices is straight again, and nothing is cut off."""
    objects, frames = MemoryObjects(), []
    angle = np.radians(20)
    column = np.array([0, np.cos(angle), np.sin(angle)])
    normal = np.cross([1.0, 0, 0], column)
    rod = np.array([0.0, 12.0, 0.0])  # LPS; the rod runs along the normal of the slices
    for k in range(8):
        position = np.array([0.0, 0.0, 4.0 * k])
        plane = np.full((40, 5), -1000, np.int16)
        meet = rod + normal * ((position - rod) @ normal)
        plane[round(float((meet - position) @ column))] = 500
        objects.objects[f"k{k}"] = plane.tobytes()
        frames.append(
            make_frame(
                number=k + 1,
                rows=40,
                object_key=f"k{k}",
                image_position_patient=tuple(position),
                image_orientation_patient=(1.0, 0, 0, *column),
                pixel_spacing=(1.0, 1.0),
            )
        )
    series = one_series(frames)
    volume = decode(series, objects)
    assert volume.shape[1] == 40 + np.ceil(7 * 4 * np.sin(angle))
    brightest = volume[:, :, 2].argmax(axis=1)
    assert np.ptp(brightest) <= 1  # half a pixel of rounding in the rod, half in the shift
    place = series.geometry.affine @ [0, brightest[0], 0, 1]
    assert (place[:3] - rod) @ column == pytest.approx(0, abs=1.0)
    assert (volume >= -1024).all()


def test_a_damaged_slice_is_named_by_its_place():
    """No traceback: which of how many, where in the patient, and what is wrong."""
    from tests.unit.gateway.study.test_study_decoders import j2k, picture

    objects = MemoryObjects()
    whole = j2k(picture())
    series = series_of(
        [whole, whole, whole[:200], whole],
        objects,
        transfer_syntax_uid=stored.JPEG_2000_LOSSLESS,
        rows=24,
        columns=32,
    )
    with pytest.raises(PixelDataError, match=r"Slice 3 of 4, at \(-10\.0, -20\.0, 6\.0\) mm"):
        decode(series, objects)


def test_an_object_that_is_too_short_is_an_error():
    """Pixels that are not there are not read as something else."""
    objects = MemoryObjects()
    series = series_of([np.zeros((4, 5), np.int16)] * 3, objects)
    objects.objects["k1"] = objects.objects["k1"][:-1]
    with pytest.raises(PixelDataError, match="Slice 2 of 3"):
        decode(series, objects)


def test_files_are_closed_after_damage():
    """A refused series leaves no descriptor open."""
    objects = MemoryObjects()
    series = series_of([np.zeros((4, 5), np.int16)] * 3, objects)
    objects.objects["k1"] = b""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PixelDataError):
        decode(series, objects)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_array_of_another_shape_is_refused():
    """The volume must be what the geometry says."""
    objects = MemoryObjects()
    series = series_of([np.zeros((4, 5), np.int16)] * 3, objects)
    with pytest.raises(ValueError, match=r"\(3, 4, 5\)"):
        decode_series(series, series.geometry, objects, np.zeros((3, 5, 4), np.int16))
