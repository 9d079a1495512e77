"""Where a model's instance keeps its volumes: on the host, or on the GPU that Triton gave it.

Triton says it by the kind of the instance: ``KIND_GPU`` in ``config.pbtxt`` is CuPy on that GPU,
``KIND_CPU`` is NumPy. Nothing else is asked, so that one repository is one way.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, to_host
from preprocess.region import REGION_FOLDER, is_linked, open_slab

MOST_BYTES = 4 * 1024**3
"""Of slabs that stay on the device: a dozen large studies. One that is larger stays for its own
request alone."""


class Host:
    """Volumes are NumPy arrays."""

    def slab(self, source: str | bytes) -> Array:
        """Give the slab that a SOURCE names; raises as `preprocess.region.open_slab`."""
        return open_slab(source)

    def read(self, tensor: Any) -> Array:
        """Give the array of a tensor that Triton handed in."""
        return tensor.as_numpy()

    def put(self, array: NDArray[Any]) -> Array:
        """Give an array where volumes lie."""
        return array

    def tensor(self, pb_utils: Any, name: str, array: Array) -> Any:
        """Make a tensor for Triton."""
        return pb_utils.Tensor(name, np.ascontiguousarray(to_host(array)))

    def finish(self) -> None:
        """Wait until what was made can be read by others."""


class Device(Host):
    """Volumes are arrays of a GPU; a study's slab is uploaded once.

    Parameters
    ----------
    xp : module
        ``cupy``.
    folder : Path
        Where regions lie.
    most_bytes : int
        Of slabs that stay.
    """

    def __init__(
        self, xp: Any, *, folder: Path = REGION_FOLDER, most_bytes: int = MOST_BYTES
    ) -> None:
        self._xp, self._folder, self._most = xp, folder, most_bytes
        self._slabs: OrderedDict[str, tuple[int, Array]] = OrderedDict()
        self.uploads = 0
        """Slabs that were uploaded."""

    def slab(self, source: str | bytes) -> Array:
        """Give the slab on the device: a part of one that lies there, or uploaded now.

        What the host's way refuses is refused here, cached or not; slabs whose region has gone
        are forgotten, and the least recently used ones when all together are too large.
        """
        held = open_slab(source, folder=self._folder)
        value = json.loads(source)
        name, offset = value["region"], int(value["offset"])
        for known in [other for other in self._slabs if not self._is_there(other)]:
            del self._slabs[known]
        found = self._part(name, offset, held.shape)
        if found is not None:
            self._slabs.move_to_end(name)
            return found
        uploaded = self._xp.asarray(held)
        self.uploads += 1
        if uploaded.nbytes <= self._most:
            self._slabs[name] = (offset, uploaded)
            self._slabs.move_to_end(name)
            while sum(array.nbytes for _, array in self._slabs.values()) > self._most:
                self._slabs.popitem(last=False)
        return uploaded

    def read(self, tensor: Any) -> Array:
        """Give the array of a tensor: on the device where the tensor is, uploaded else."""
        if tensor.is_cpu():
            return self.put(tensor.as_numpy())
        return self._xp.from_dlpack(tensor.to_dlpack())

    def put(self, array: NDArray[Any]) -> Array:
        """Upload an array that is a volume; tables and text stay on the host."""
        if array.ndim < 3 or array.dtype == np.object_:
            return array
        return self._xp.asarray(array)

    def tensor(self, pb_utils: Any, name: str, array: Array) -> Any:
        """Make a tensor of the device's memory, without a copy; of the host's for host arrays."""
        if isinstance(array, np.ndarray):
            return super().tensor(pb_utils, name, array)
        return pb_utils.Tensor.from_dlpack(name, self._xp.ascontiguousarray(array))

    def finish(self) -> None:
        """Wait for the device: Triton reads on a stream of its own."""
        self._xp.cuda.get_current_stream().synchronize()

    def _part(self, name: str, offset: int, shape: tuple[int, ...]) -> Array | None:
        """Give a part of what lies on the device: whole slices of the same size."""
        if name not in self._slabs:
            return None
        start, array = self._slabs[name]
        plane = 2 * shape[1] * shape[2]
        first, over = divmod(offset - start, plane)
        fits = array.shape[1:] == shape[1:] and not over
        if not fits or first < 0 or first + shape[0] > len(array):
            return None
        return array[first : first + shape[0]]

    def _is_there(self, name: str) -> bool:
        return is_linked(json.dumps({"region": name}), folder=self._folder)


def open_device(arguments: Mapping[str, str]) -> Host:
    """Give the device of a model's instance, by what Triton says to ``initialize``."""
    if arguments.get("model_instance_kind") != "GPU":
        return Host()
    cupy = import_module("cupy")
    cupy.cuda.Device(int(arguments.get("model_instance_device_id", 0))).use()
    return Device(cupy)
