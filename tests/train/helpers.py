import json

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


def log_of(out):
    """The log without what the clock decides, and what TRL counts from the start of the process."""
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    left_out = ("time", "per_second", "flos", "num_tokens", "train_loss")
    return [{k: v for k, v in entry.items() if not any(w in k for w in left_out)} for entry in history]


def weights_of(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def assert_same_run(out, other):
    assert log_of(out) == log_of(other)
    ours, theirs = weights_of(out / "model"), weights_of(other / "model")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)
