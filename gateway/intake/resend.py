"""Are two copies of one instance the same pixels? Asked only when a UID comes a second time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.pixels import iter_pixels
from pydicom.uid import RLELossless

from gateway.exceptions import StoreUnavailableError
from gateway.instance import Instance
from gateway.store.objects import ObjectReader

CHUNK_BYTES = 4 * 1024**2
"""Compared at a time."""


def same_pixels(objects: ObjectReader, old: Instance, new: Instance) -> bool:
    """Tell whether two copies hold the same decoded pixels; blocks.

    Equal bytes are equal; otherwise both are decoded, so that a transcoded copy is recognised.
    What no decoder here can read is equal only byte by byte, and so is an object without pixels.

    Parameters
    ----------
    objects : ObjectReader
        Where both copies lie.
    old, new : Instance
        The one that is indexed and the one that came now.
    """
    if _same_bytes(objects, _whole(old), _whole(new)):
        return True
    if not old.frames or len(old.frames) != len(new.frames):
        return False
    if old.transfer_syntax_uid == new.transfer_syntax_uid and all(
        _same_bytes(objects, a, b) for a, b in zip(_stored(old), _stored(new), strict=True)
    ):
        return True
    try:
        return all(
            np.array_equal(a, b)
            for a, b in zip(_decoded(objects, old), _decoded(objects, new), strict=True)
        )
    except StoreUnavailableError:
        raise
    except Exception:  # no decoder, or bytes that none can read: equality is not shown
        return False


def _whole(instance: Instance) -> list[tuple[str, int, int]]:
    return [(instance.object_key, instance.object_offset, instance.object_length)]


def _stored(instance: Instance) -> Iterator[list[tuple[str, int, int]]]:
    """Give the (key, offset, length) of each frame's parts; nothing equal where there are none."""
    for frame in instance.frames:
        if frame.pixel_offset < 0:
            yield []
        elif frame.fragments:
            yield [(frame.object_key, *fragment) for fragment in frame.fragments]
        else:
            yield [(frame.object_key, frame.pixel_offset, frame.pixel_length)]


def _same_bytes(
    objects: ObjectReader, old: list[tuple[str, int, int]], new: list[tuple[str, int, int]]
) -> bool:
    if not old or [part[2] for part in old] != [part[2] for part in new]:
        return False
    for (old_key, old_offset, length), (new_key, new_offset, _) in zip(old, new, strict=True):
        for start in range(0, length, CHUNK_BYTES):
            size = min(CHUNK_BYTES, length - start)
            if objects.read(old_key, old_offset + start, size) != objects.read(
                new_key, new_offset + start, size
            ):
                return False
    return True


def _decoded(objects: ObjectReader, instance: Instance) -> Iterator[npt.NDArray[Any]]:
    """Decode frame by frame, stored values as they are (no colour conversion)."""
    data = objects.read(instance.object_key, instance.object_offset, instance.object_length)
    # pylibjpeg's RLE decoder panics over damaged segments, which no `except Exception` stops.
    own = {"decoding_plugin": "pydicom"} if instance.transfer_syntax_uid == RLELossless else {}
    yield from iter_pixels(dcmread(io.BytesIO(data)), raw=True, **own)
