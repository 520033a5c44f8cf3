"""Weights that FSDP or DeepSpeed spread over processes: who shards, the reference model, and whole weights again."""

from typing import Any

from spatial_ssrl.errors import TrainingError


def sharded_by(args: Any) -> str | None:
    """ "FSDP" or "DeepSpeed" where one will shard the model, known before an Accelerator exists; else None.

    `accelerate launch` says so in the environment. `args.distributed_state` does not know yet: it says MULTI_GPU.
    """
    from accelerate.utils import parse_flag_from_env

    if parse_flag_from_env("ACCELERATE_USE_FSDP") or args.fsdp:
        return "FSDP"
    if parse_flag_from_env("ACCELERATE_USE_DEEPSPEED") or args.deepspeed:
        return "DeepSpeed"
    return None


def refuse_sharded_lora(args: Any) -> None:
    """Raise TrainingError for LoRA where weights are sharded: its result could not be merged into a whole model."""
    if by := sharded_by(args):
        raise TrainingError(
            f"LoRA is merged into a whole model, which {by} spreads over processes; launch with"
            " recipes/accelerate/ddp-8gpu.yaml, which shards nothing, or train all weights without the [lora] table"
        )


def shard_reference(model: Any, accelerator: Any) -> Any:
    """GRPO's frozen reference, sharded layer by layer as accelerate shards the trained model.

    TRL's `prepare_fsdp` shards the root alone, so that each forward gathers all weights at once: 15 GiB for 7B in bfloat16.
    """
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model
    from trl.models import prepare_fsdp

    if not accelerator.is_fsdp2:
        return prepare_fsdp(model, accelerator)
    model.requires_grad_(False)  # trained weights would be turned into float32
    return fsdp2_prepare_model(accelerator, model).eval()


def trained_weights(trainer: Any) -> dict[str, Any]:
    """The weights that are trained, on the CPU, whole also where FSDP or ZeRO-3 shard them.

    Every process must call it. Under ZeRO-3 the other processes than the first get none.
    """
    model = trainer.accelerator.unwrap_model(trainer.model)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    whole = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if whole is None:  # what DeepSpeed's _zero3_consolidated_16bit_state_dict gives to all but the first process
        return {}
    return {name: weight.detach().cpu().contiguous() for name, weight in whole.items() if name in names}
