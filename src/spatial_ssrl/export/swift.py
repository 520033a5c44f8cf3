"""JSON lines for `swift rlhf --rlhf_type grpo` (ms-swift 4.6.0).

`messages` has one `<image>` a picture, `images` their paths (docs/source_en/Customization/Custom-dataset.md);
the other columns reach the reward by name (swift/rlhf_trainers/grpo_trainer.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from spatial_ssrl.export.base import CONFIG, REWARD_FILE, SCRIPT, Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_lines
from spatial_ssrl.export.reward_file import reward_file
from spatial_ssrl.export.settings import MODEL, Settings, Stage, script, start, yaml

FULL = {"tuner_type": "full"}

_REGISTER = """from swift.rewards import orms  # noqa: E402

SpatialReward.policy, SpatialReward.partial = {policy!r}, {partial!r}
orms["spatial_ssrl"] = SpatialReward"""


class Swift(Format):
    """SPLIT.jsonl, a plugin that registers the reward `spatial_ssrl`, arguments, and the script that starts it."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("paths",)
    reward = "swift"
    stage: ClassVar[Stage | None] = "grpo"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        lines = (
            {
                "id": posed.row["id"],
                "messages": [{"role": "user", "content": posed.text}],
                "images": place.store(posed),
                "solution": posed.truth,
                "task": posed.row["task"],
                "variant": posed.row["variant"],
            }
            for posed in rows
        )
        write_lines(lines, place.folder / f"{split}.jsonl")

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        return start(out / SCRIPT, settings, f"--model {MODEL}")

    def beside(self, out: Path, splits: Sequence[str], settings: Settings) -> dict[str, str]:
        where = "Where ms-swift is installed: sh run.sh [--KEY VALUE ...], keys as in train.yaml"
        files = {
            CONFIG: yaml(_config(out, splits, settings)),
            SCRIPT: script(where, f"swift rlhf {quote(str(out / CONFIG))}"),
        }
        tail = _REGISTER.format(policy=settings.policy, partial=settings.partial)
        return files | {REWARD_FILE: reward_file("swift", tail)}


def _config(out: Path, splits: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Arguments of `swift rlhf` (swift/arguments/rlhf_args.py): batches in replies, steps in updates.

    A picture larger than `max_pixels` is scaled down; the least size of one is the processor's own.
    """
    validation = held_out(splits)
    return {
        "rlhf_type": "grpo",
        "model": settings.model,
        **({"tuner_type": "lora", "lora_rank": settings.rank, "lora_alpha": settings.alpha} if settings.rank else FULL),
        "torch_dtype": "bfloat16",
        "dataset": str(out / f"{training(splits)}.jsonl"),
        **({"val_dataset": str(out / f"{validation}.jsonl")} if validation else {}),
        "external_plugins": str(out / REWARD_FILE),
        "reward_funcs": "spatial_ssrl",
        "num_generations": settings.replies,
        "max_length": settings.prompt_tokens,
        "max_completion_length": settings.reply_tokens,
        "max_pixels": settings.max_pixels,
        "temperature": settings.temperature,
        "beta": settings.kl,
        "per_device_train_batch_size": settings.size,
        "per_device_eval_batch_size": settings.size,
        "gradient_accumulation_steps": settings.accumulated,
        "steps_per_generation": settings.accumulated * settings.reuse,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "warmup_ratio": 0.0,
        "max_steps": settings.updates,
        "save_steps": settings.save_every,
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": 0.3,
        "deepspeed": "zero3",
        "output_dir": str(out / "checkpoints"),
        "report_to": "tensorboard",
        "ENV": {"NPROC_PER_NODE": str(settings.gpus)},
    }
