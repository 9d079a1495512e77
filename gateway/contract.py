"""The tensors between gateway and Triton, in one table.

``tests/contract/test_model_repository.py`` holds every ``config.pbtxt`` to it.
"""

from __future__ import annotations

from dataclasses import dataclass

REGION_PREFIX = "onescan-vol-"
"""Every shared region of ours starts so; ct_preprocess opens no other name."""

PARAMETER_PREFIX = "onescan_"
"""Prefix of our own request parameters; Triton keeps ``triton_`` for itself."""

PRIORITY_PARAMETER = f"{PARAMETER_PREFIX}priority"
"""Repeats the priority of a request, which Triton does not show to a model: one that asks other
models, whose requests carry none, has to keep the order itself."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of an ensemble's outer contract."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False


CT_INPUTS: tuple[Tensor, ...] = (
    Tensor("SOURCE", "TYPE_STRING", (1,), optional=True),
    Tensor("VOLUME", "TYPE_INT16", (-1, -1, -1), optional=True),
    Tensor("GEOMETRY", "TYPE_FP64", (4, 4)),
    Tensor("ROI", "TYPE_INT32", (6,)),
    Tensor("RECIPE", "TYPE_STRING", (1,)),
    Tensor("CLINICAL", "TYPE_FP32", (-1,), optional=True),
    Tensor("REPORT", "TYPE_STRING", (1,), optional=True),
    Tensor("ORGANS", "TYPE_STRING", (1,), optional=True),
)
"""SOURCE: JSON ``{"region", "offset", "shape"}`` of an int16 slab in /dev/shm.
VOLUME: the same slab as a tensor, for other clients.
GEOMETRY: slab (slice, row, column) → LPS mm. ROI: slab voxels, half-open.
RECIPE: the manifest's static JSON. CLINICAL, REPORT only where a check asks for them.
ORGANS: JSON ``{"region", "offset", "shape", "geometry", "labels"}`` of the uint8 label map of
anatomy in /dev/shm, its (slice, row, column) → LPS mm as 4×4 list, and the names of its values,
the background first."""

CT_OUTPUTS: tuple[Tensor, ...] = (
    Tensor("SCORES", "TYPE_FP32", (-1,)),
    Tensor("LESIONS", "TYPE_STRING", (1,)),
    Tensor("MASK", "TYPE_UINT8", (-1, -1, -1)),
    Tensor("MASK_GEOMETRY", "TYPE_FP64", (4, 4)),
)
"""SCORES: one number a class. LESIONS: JSON ``{"lesions": [...], "measures": {...}}``.
MASK and MASK_GEOMETRY: label map on the recipe's grid and its (slice, row, column) → LPS mm."""
