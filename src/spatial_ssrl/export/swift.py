"""JSON lines for `swift rlhf --rlhf_type grpo` (ms-swift 4.6.0).

`messages` has one `<image>` a picture, `images` their paths (docs/source_en/Customization/Custom-dataset.md);
the other columns reach the reward by name (swift/rlhf_trainers/grpo_trainer.py).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import ClassVar

from spatial_ssrl.export.base import REWARD_FILE, Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_lines

_REGISTER = """from swift.rewards import orms  # noqa: E402

orms["spatial_ssrl"] = SpatialReward"""


class Swift(Format):
    """SPLIT.jsonl, and a plugin that registers the reward `spatial_ssrl`."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("paths",)
    reward = "swift"
    reward_tail = _REGISTER

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

    def command(self, out: Path, splits: Sequence[str]) -> str:
        return (
            "swift rlhf --rlhf_type grpo --model MODEL"
            f" --dataset {quote(str(out / f'{training(splits)}.jsonl'))}"
            f" --val_dataset {quote(str(out / f'{held_out(splits)}.jsonl'))}"
            f" --external_plugins {quote(str(out / REWARD_FILE))} --reward_funcs spatial_ssrl"
            " --num_generations 8 --per_device_train_batch_size 8 --per_device_eval_batch_size 8"
        )
