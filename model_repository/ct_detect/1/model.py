"""grid_hu, grid_geometry, ORGANS, RECIPE → peaks, by asking a detector and a classifier.

Translates between Triton and `postprocess.search`; `config.pbtxt` says what each tensor is.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from postprocess.exceptions import PostprocessError
from postprocess.search import Search, start_search, to_rows
from preprocess.arrays import to_host
from preprocess.device import Host, open_device
from preprocess.exceptions import PreprocessError, RecipeError, RegionError
from preprocess.organs import open_organs
from preprocess.posts import DetectionsPost
from preprocess.recipe import Recipe
from preprocess.region import is_linked

sys.path.insert(0, str(Path(__file__).parent))
from turns import SearchOver, Turn, Turns  # lies beside this file

IN_FLIGHT = 4
"""Requests of one search at once: two fill a batch while two wait for the next. Each holds its
tiles in the stub's shared memory, 19 MB a chunk of two."""

PRIORITY_PARAMETER = "onescan_priority"
"""Request parameter that repeats the priority, which Triton does not show to a model."""

STAT = 1
"""Value of it that goes first."""


HOST = Host()
"""Reads what is small."""


class AskedModelError(Exception):
    """A model that was asked answered with an error."""


class TritonPythonModel:
    """Serves every check that looks for lesions in tiles; what it does is the recipe's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Refuse a NumPy with which this Triton sends empty tensors."""
        assert np.__version__.startswith("1."), f"NumPy {np.__version__} is not below 2"
        self.turns = Turns(Path(__file__))
        self.device = open_device(args)

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request, an error to the one that caused it."""
        return [await self._answer(request) for request in requests]

    async def _answer(self, request: Any) -> Any:
        try:
            return pb_utils.InferenceResponse([await self._peaks(request)])
        except (PreprocessError, PostprocessError) as error:
            return _error(str(error), pb_utils.TritonError.INVALID_ARG)
        except SearchOver:
            return _error("nobody waits for the search.", pb_utils.TritonError.CANCELLED)
        except AskedModelError as error:
            return _error(str(error), pb_utils.TritonError.INTERNAL)
        except Exception as error:
            return _error(
                f"ct_detect failed: {type(error).__name__}.", pb_utils.TritonError.INTERNAL
            )

    async def _peaks(self, request: Any) -> Any:
        recipe = Recipe.from_json(_input(request, "RECIPE")[0])
        if not isinstance(recipe.post, DetectionsPost):
            raise RecipeError("ct_detect needs a recipe whose post.kind is detections.")
        organs = _input(request, "ORGANS")
        if organs is None:
            raise RegionError("ORGANS is needed to know where to look.")
        search = start_search(
            _input(request, "grid_hu", self.device),
            _input(request, "grid_geometry"),
            open_organs(organs[0]),
            channels=recipe.channels,
            post=recipe.post,
        )
        stat = _parameters(request).get(PRIORITY_PARAMETER) == STAT
        turn = Turn(
            self.turns,
            stat=stat,
            timeout_us=request.timeout(),
            lost=(request.is_cancelled, lambda: not is_linked(organs[0])),
        )
        with self.turns.stat() if stat else nullcontext():
            rows = to_rows(await _search(search, turn, self.device))
        return pb_utils.Tensor("peaks", np.ascontiguousarray(rows))


async def _search(search: Search, turn: Turn, device: Host) -> Any:
    """Ask about all tiles, then about the crops of what they showed."""
    rows = await _ask(
        turn, device, search.post.detector, "volume", search.tiles, search.tile_parts, ("peaks",)
    )
    peaks = search.candidates([peaks for (peaks,) in rows])
    told = await _ask(
        turn,
        device,
        search.post.classifier,
        "crops",
        lambda part: search.crops(peaks, part),
        search.crop_parts(peaks),
        ("chance", "kinds"),
    )
    return search.marks(peaks, [chance for chance, _ in told], [kinds for _, kinds in told])


async def _ask(
    turn: Turn,
    device: Host,
    model: str,
    name: str,
    made: Callable[[slice], Any],
    parts: Sequence[slice],
    outputs: tuple[str, ...],
) -> list[tuple[Any, ...]]:
    """Ask a model about each part, a few at once; the answers in order.

    No request is left behind when one fails: an answer to a request that nobody holds any more
    would be written into freed memory.
    """
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def ask(part: slice) -> tuple[Any, ...]:
        async with gate:
            await turn.come()
            try:
                tensor = device.tensor(pb_utils, name, made(part))
                device.finish()
                return await _call(model, device, tensor, outputs)
            except BaseException:
                turn.end()
                raise

    answers = await asyncio.gather(*map(ask, parts), return_exceptions=True)
    failed = [answer for answer in answers if isinstance(answer, BaseException)]
    for error in failed:
        if not isinstance(error, SearchOver):
            raise error
    if failed:
        raise failed[0]
    return answers


async def _call(model: str, device: Host, tensor: Any, outputs: tuple[str, ...]) -> tuple[Any, ...]:
    """Make one request with a tensor of its own; a shared one ends the whole server."""
    request = pb_utils.InferenceRequest(
        model_name=model, requested_output_names=list(outputs), inputs=[tensor]
    )
    answer = await request.async_exec()
    if answer.has_error():
        raise AskedModelError(f"{model}: {answer.error().message()}")
    return tuple(
        np.array(to_host(device.read(pb_utils.get_output_tensor_by_name(answer, output))))
        for output in outputs
    )


def _parameters(request: Any) -> dict[str, Any]:
    return json.loads(request.parameters() or "{}")


def _input(request: Any, name: str, device: Host = HOST) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else device.read(tensor)


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
