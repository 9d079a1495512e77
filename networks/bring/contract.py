"""A network of others against its manifest: tensors, classes, grid, windows."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto

from gateway.exceptions import NetworkRefusedError
from gateway.screening.manifest import Manifest
from networks.bring.brought import Brought
from networks.bring.graph import Wrapped, by_name, shape_of
from preprocess.posts import GradesPost, LesionsPost
from preprocess.recipe import Recipe
from preprocess.tokens import LENGTH
from preprocess.values_post import ValuesPost

NEAR_HU = 1.0
NEAR_SPACING = 0.01
"""By which a window and a spacing (as a share) may differ from what the network was trained on."""

KINDS = "lesions, values or grades"
"""Kinds of ``recipe.post`` whose network is one step of an ensemble."""

Row = tuple[str, int, tuple[str | int, ...]]
"""Name, ONNX's type and shape of an output."""


def fit(brought: Brought, manifest: Manifest, recipe: Recipe) -> onnx.ModelProto:
    """Give the network the tensors of the contract, or say what does not fit.

    A network whose one input is a volume may call it as it likes. Of a network for lesions that
    gives logits of its labels alone, labels, heat map and score are made.

    Raises
    ------
    NetworkRefusedError
        Naming what it has and what the manifest asks for.
    """
    check_training(brought, recipe)
    graph = brought.model.graph
    constants = {one.name for one in graph.initializer}
    inputs = by_name([value for value in graph.input if value.name not in constants])
    outputs = by_name(graph.output)
    wrapped = Wrapped.of(brought.model, brought.axes)
    _take(wrapped, inputs, manifest, recipe, brought)
    _give(wrapped, outputs, recipe)
    return wrapped.finished(recipe.name)


def check_training(brought: Brought, recipe: Recipe) -> None:
    """Hold what the network says of its training to the recipe."""
    spacing = recipe.grid.spacing_mm
    if brought.spacing_mm and any(
        abs(a - b) > NEAR_SPACING * a for a, b in zip(brought.spacing_mm, spacing)
    ):
        told = ", ".join(f"{mm:g}" for mm in brought.spacing_mm)
        raise NetworkRefusedError(
            f"The network was trained at a spacing of [{told}] mm; recipe.grid.spacing_mm is"
            f" {list(spacing)}."
        )
    if brought.multiple and any(recipe.grid.multiple % n for n in brought.multiple):
        raise NetworkRefusedError(
            f"The network's axes divide by {list(brought.multiple)}; recipe.grid.multiple is"
            f" {recipe.grid.multiple}."
        )
    windows = [channel.clip_hu for channel in recipe.channels]
    if brought.windows_hu and not _same_windows(brought.windows_hu, windows):
        told = ", ".join(f"[{low:g}, {high:g}]" for low, high in brought.windows_hu)
        raise NetworkRefusedError(
            f"The network was trained on HU clipped to {told}; recipe.channels must have these as"
            " clip_hu."
        )
    labels = getattr(recipe.post, "labels", ())
    if brought.labels and labels and tuple(labels) != brought.labels:
        raise NetworkRefusedError(
            f"The network's labels are {', '.join(brought.labels)}; recipe.post.labels are"
            f" {', '.join(labels)}."
        )


def _same_windows(ours: Any, theirs: Any) -> bool:
    return len(ours) == len(theirs) and all(
        window is not None and all(abs(a - b) <= NEAR_HU for a, b in zip(trained, window))
        for trained, window in zip(ours, theirs)
    )


def _take(
    wrapped: Wrapped, inputs: Any, manifest: Manifest, recipe: Recipe, brought: Brought
) -> None:
    others: dict[str, tuple[int, int]] = {}
    if manifest.clinical:
        others["clinical"] = (TensorProto.FLOAT, len(manifest.clinical))
    if manifest.report:
        others["tokens"] = (TensorProto.INT64, LENGTH)
    volumes = [name for name in inputs if name not in others]
    if len(volumes) != 1:
        raise NetworkRefusedError(
            f"The network has the inputs {_names(inputs)}; it must have one volume"
            f"{''.join(f' and {name}' for name in others)}."
        )
    (volume,) = volumes
    shape, channels = shape_of(inputs[volume]), len(recipe.channels)
    if len(shape) != 5 or _kind(inputs[volume]) != TensorProto.FLOAT:
        raise NetworkRefusedError(f"{_told(inputs[volume])} is not float (N, channels, D, H, W).")
    if shape[1] not in (None, channels):
        raise NetworkRefusedError(
            f"{_told(inputs[volume])} has {shape[1]} channels; the recipe has {channels}."
        )
    if any(size is not None for size in shape[2:]):
        raise NetworkRefusedError(
            f"{_told(inputs[volume])} has fixed axes; boxes differ in shape, so write the file"
            " with free ones (dynamic_axes)."
        )
    wrapped.take_volume(volume, channels, brought.rescale)
    for name, (kind, columns) in others.items():
        if name not in inputs:
            raise NetworkRefusedError(
                f"The manifest sends {name}, and the network has only {_names(inputs)}."
            )
        shape = shape_of(inputs[name])
        if _kind(inputs[name]) != kind or len(shape) != 2 or shape[1] not in (None, columns):
            raise NetworkRefusedError(f"{_told(inputs[name])} is not (N, {columns}).")
        wrapped.take(name, kind, columns)


def _give(wrapped: Wrapped, outputs: Any, recipe: Recipe) -> None:
    rows, post = _rows(recipe), recipe.post
    if all(name in outputs for name, _, _ in rows):
        for name, kind, shape in rows:
            _check_output(outputs[name], kind, shape)
            wrapped.give(name, name, kind, shape)
        return
    if len(outputs) == 1:
        (only,) = outputs.values()
        shape = shape_of(only)
        if isinstance(post, LesionsPost) and not post.kinds and len(shape) == 5:
            if _kind(only) != TensorProto.FLOAT or shape[1] not in (None, len(post.labels)):
                raise NetworkRefusedError(
                    f"{_told(only)} is not float logits of the {len(post.labels)} labels"
                    f" {', '.join(post.labels)}."
                )
            wrapped.give_lesions(only.name, post.labels.index(post.lesion))
            return
        if isinstance(post, ValuesPost):
            ((name, kind, wanted),) = rows
            _check_output(only, kind, wanted)
            wrapped.give(only.name, name, kind, wanted)
            return
    raise NetworkRefusedError(
        f"The network gives {_names(outputs)}; recipe.post of kind {post.kind} asks for"
        f" {_names([name for name, _, _ in rows])}"
        + (", or for logits of its labels alone." if isinstance(post, LesionsPost) else ".")
    )


def _rows(recipe: Recipe) -> list[Row]:
    """Name the outputs that ``ct_postprocess`` is handed."""
    post = recipe.post
    if isinstance(post, LesionsPost):
        voxels = ("n", "d", "h", "w")
        rows: list[Row] = [
            ("labels", TensorProto.UINT8, voxels),
            ("lesion", TensorProto.UINT8, voxels),
            ("score", TensorProto.FLOAT, ("n", 1)),
        ]
        return [*rows, *([("kinds", TensorProto.FLOAT, ("n", len(post.kinds)))] * bool(post.kinds))]
    if isinstance(post, ValuesPost):
        return [("scores", TensorProto.FLOAT, ("n", len(post.values)))]
    if isinstance(post, GradesPost):
        grades = [(name, TensorProto.FLOAT, ("n", len(of) - 1)) for name, of in post.grades.items()]
        return [*grades, ("scores", TensorProto.FLOAT, ("n", len(post.scores)))]
    raise NetworkRefusedError(
        f"recipe.post is of kind {post.kind}, whose network is more than one step; {KINDS} can be"
        " brought in."
    )


def output_names(recipe: Recipe) -> list[str]:
    """Name the outputs of the installed network."""
    return [name for name, _, _ in _rows(recipe)]


def _check_output(value: onnx.ValueInfoProto, kind: int, wanted: tuple[str | int, ...]) -> None:
    shape = shape_of(value)
    fits = len(shape) == len(wanted) and all(
        size in (None, want) for size, want in zip(shape[1:], wanted[1:]) if isinstance(want, int)
    )
    if not fits or _kind(value) != kind:
        told = ", ".join(str(size).upper() for size in wanted)
        raise NetworkRefusedError(
            f"{_told(value)} is not {TensorProto.DataType.Name(kind).lower()} ({told})."
        )


def _kind(value: onnx.ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _told(value: onnx.ValueInfoProto) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in shape_of(value))
    kind = TensorProto.DataType.Name(_kind(value)).lower()
    return f"{value.name!r}, {kind} ({shape}),"


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"
