"""What to do when memory runs out, said in the keys of the preset."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spatial_ssrl.errors import TrainingError
from spatial_ssrl.train.preset import Preset

NO_MEMORY_ON_CPU = "DefaultCPUAllocator: can't allocate memory"
"""Of torch's RuntimeError, which on a CPU has no class of its own. A kernel that ends the process says nothing at all."""


@contextmanager
def told_what_to_lower(preset: Preset, args: Any) -> Iterator[None]:
    """Turn torch's errors of memory into a TrainingError that names what to set lower."""
    import torch

    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and NO_MEMORY_ON_CPU not in str(error):
            raise
        first = str(error).splitlines()[0]
        raise TrainingError(f"out of memory: {first}\n{advice(preset, args)}") from error


def advice(preset: Preset, args: Any) -> str:
    """The keys that memory depends on, as they are now, the ones that cost least first."""
    size, accumulated = args.per_device_train_batch_size, args.gradient_accumulation_steps
    keys = {
        "trainer.per_device_train_batch_size": f"{size}; raise gradient_accumulation_steps, {accumulated}, as much",
        "max_pixels": str(preset.max_pixels or "the processor's own"),
    }
    if preset.stage == "grpo":
        keys["trainer.steps_per_generation"] = f"{args.steps_per_generation}: all its replies are generated together"
        keys["trainer.max_completion_length"] = str(args.max_completion_length)
        if args.use_vllm:
            keys["trainer.vllm_gpu_memory_utilization"] = str(args.vllm_gpu_memory_utilization)
    if preset.dev:
        keys["dev.batch_size"] = f"{preset.dev.batch_size}, where it was while development rows were asked"
    listed = "\n".join(f"  {key} (now {value})" for key, value in keys.items())
    return (
        f"set lower, in this order:\n{listed}\nor use more GPUs, or a [lora] table; `--dry-run --gpus N --gpu-memory GB`"
        " finds settings that fit. The folder belongs to the preset as it was: choose another --out"
    )
