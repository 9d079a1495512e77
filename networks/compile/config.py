"""``config.pbtxt`` of a network on the GPU; what it says of tensors and queues stays."""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format

CPU_PARAMETERS = ("onescan_precision", "intra_op_thread_count")
"""What is said to a CPU alone."""

HEADER = "# Written by `onescan models compile`; the original is that of the source repository.\n"


def plan_config(config: Any, max_batch: int) -> str:
    """Say it for an engine, ``model.plan``.

    Parameters
    ----------
    config : ModelConfig
        The network's own.
    max_batch : int
        Largest batch that the engine takes.
    """
    made = on_device(config, gpu=True)
    made.ClearField("optimization")
    made.backend = "tensorrt"
    made.platform = "tensorrt_plan"
    made.max_batch_size = max_batch
    for warm in made.model_warmup:
        warm.batch_size = max(1, min(warm.batch_size, max_batch))
    return HEADER + str(text_format.MessageToString(made))


def onnx_config(config: Any) -> str:
    """Say it for the same ``model.onnx`` in ONNX Runtime, which has CUDA in Triton's image."""
    made = on_device(config, gpu=True)
    accelerators = made.optimization.execution_accelerators
    accelerators.ClearField("cpu_execution_accelerator")
    if not made.optimization.ByteSize():
        made.ClearField("optimization")
    return HEADER + str(text_format.MessageToString(made))


def arrays_config(config: Any) -> str:
    """Say it for a model of array code whose volumes are to lie on the GPU.

    One instance: each is a process, and would upload a study's slab for itself. So it goes without
    priority levels, with which what waits for a single instance is looked at twice a second.
    """
    made = on_device(config, gpu=True)
    for group in made.instance_group:
        group.count = 1
    made.dynamic_batching.ClearField("priority_levels")
    made.dynamic_batching.ClearField("default_priority_level")
    made.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value = "no"
    return HEADER + str(text_format.MessageToString(made))


def on_device(config: Any, *, gpu: bool) -> Any:
    """Copy a configuration, its instances on GPUs or on the CPU."""
    made = type(config)()
    made.CopyFrom(config)
    if not made.instance_group:
        made.instance_group.add(count=1)
    for group in made.instance_group:
        group.kind = group.KIND_GPU if gpu else group.KIND_CPU
    for name in CPU_PARAMETERS:
        if name in made.parameters:
            del made.parameters[name]
    return made
