from spatial_ssrl.presets import shipped
from spatial_ssrl.train import Preset


def tiny_preset(stage: str, **flags) -> Preset:
    """A shipped tiny preset cut down to a few steps; tables are laid over it."""
    trainer = {
        "max_steps": 2,
        "per_device_train_batch_size": 4,
        "save_steps": 2,
        "logging_steps": 1,
        "disable_tqdm": True,
        **({"num_generations": 2, "max_completion_length": 8} if stage == "grpo" else {}),
        **flags.pop("trainer", {}),
    }
    dev = {"every": 2, "rows": 4, "max_new_tokens": 8, **flags.pop("dev", {})}
    return Preset.create(shipped(f"tiny-{stage}"), {"trainer": trainer, "dev": dev, **flags})
