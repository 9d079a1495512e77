"""A builder of engines that needs no GPU: its engine is the typed ONNX file itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from networks.compile.builder import Arrays, UnsupportedNetworkError
from networks.compile.cache import PLAN
from networks.compile.config import onnx_config, plan_config
from networks.compile.key import Machine
from networks.compile.profile import Profile

MAGIC = b"an engine\n"


class OnnxBuilder:
    """Builds and runs as TensorRT would, by ONNX Runtime; it holds every shape to the profile.

    Parameters
    ----------
    architecture, tensorrt : str
        Of the machine that it says it is.
    wrong : mapping
        Precision → what is added to every real output of its engines, and to whole ones too.
    unsupported : bool
        Refuse every network.
    """

    def __init__(
        self,
        architecture: str = "9.0",
        tensorrt: str = "11.0.0",
        *,
        wrong: Mapping[str, int] | None = None,
        unsupported: bool = False,
    ) -> None:
        self.machine = Machine(architecture, tensorrt)
        self.wrong = dict(wrong or {})
        self.unsupported = unsupported
        self.plan_file = PLAN
        self.files: Mapping[str, bytes] = {}
        self.built: list[str] = []
        """Precisions, in order."""

        self._profiles: dict[str, Profile] = {}

    def build(self, model: bytes, profile: Profile) -> bytes:
        if self.unsupported:
            raise UnsupportedNetworkError("No importer registered for op: Weird")
        self.built.append(profile.precision)
        engine = MAGIC + model
        self._profiles[hashlib.sha256(engine).hexdigest()] = profile
        return engine

    def config(self, config: Any, max_batch: int, model: Path) -> str:
        return plan_config(config, max_batch)

    def left_alone(self, config: Any) -> str:
        return onnx_config(config)

    def way(self, package: Path) -> str:
        return ""

    def run(self, engine: bytes, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        profile = self._profiles[hashlib.sha256(engine).hexdigest()]
        for name, array in inputs.items():
            ends = profile.shapes[name]
            assert len(array.shape) == len(ends.most)
            assert all(
                low <= n <= high for low, n, high in zip(ends.least, array.shape, ends.most)
            ), f"{name} is {array.shape}, not {ends.least} to {ends.most}"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            engine.removeprefix(MAGIC), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        off = self.wrong.get(profile.precision, 0)
        given = session.run(names, dict(inputs))
        return {
            name: array + array.dtype.type(off) if off else array
            for name, array in zip(names, given)
        }
