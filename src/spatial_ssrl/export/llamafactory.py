"""JSON lines for supervised training with LLaMA-Factory: its cold start.

A conversation in sharegpt form ends with the reply to imitate; `images` holds a path for each `<image>`
(`SharegptDatasetConverter`, src/llamafactory/data/converter.py). Data sets are named by
dataset_info.json (src/llamafactory/data/parser.py).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from spatial_ssrl.export.base import CONFIG, SCRIPT, Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_lines
from spatial_ssrl.export.settings import MODEL, Settings, Stage, script, start, yaml


class LlamaFactory(Format):
    """SPLIT.jsonl, dataset_info.json, which names it spatial_ssrl_SPLIT, arguments, and the script that starts it."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("paths",)
    stage: ClassVar[Stage | None] = "sft"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        lines = (
            {
                "id": posed.row["id"],
                "messages": [
                    {"role": "user", "content": posed.text},
                    {"role": "assistant", "content": posed.reply},
                ],
                "images": place.store(posed),
            }
            for posed in rows
        )
        write_lines(lines, place.folder / f"{split}.jsonl")

    def beside(self, out: Path, splits: Sequence[str], settings: Settings) -> dict[str, str]:
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
        form = {"formatting": "sharegpt", "columns": {"messages": "messages", "images": "images"}, "tags": tags}
        info = {_name(split): {"file_name": f"{split}.jsonl", **form} for split in splits}
        where = "Where LLaMA-Factory is installed: sh run.sh [KEY=VALUE ...], keys as in train.yaml"
        return {
            "dataset_info.json": json.dumps(info, indent=2),
            CONFIG: yaml(_config(out, splits, settings)),
            SCRIPT: script(where, f"llamafactory-cli train {quote(str(out / CONFIG))}"),
        }

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        return start(out / SCRIPT, settings, f"model_name_or_path={MODEL}")


def _config(out: Path, splits: Sequence[str], settings: Settings) -> dict[str, Any]:
    """Arguments of `llamafactory-cli train` (src/llamafactory/hparams)."""
    pixels = {"image_min_pixels": settings.min_pixels, "image_max_pixels": settings.max_pixels}
    lora = {"finetuning_type": "lora", "lora_rank": settings.rank, "lora_alpha": settings.alpha, "lora_target": "all"}
    validation = held_out(splits)
    evaluation = {"eval_strategy": "steps", "eval_steps": settings.save_every}
    return {
        "stage": "sft",
        "do_train": True,
        "model_name_or_path": settings.model,
        "template": "qwen3_vl" if "qwen3" in settings.model.lower() else "qwen2_vl",
        "dataset_dir": str(out),
        "dataset": _name(training(splits)),
        "max_samples": settings.rows,
        **({"eval_dataset": _name(validation), **evaluation} if validation else {}),
        **{key: value for key, value in pixels.items() if value},
        "cutoff_len": settings.prompt_tokens,
        **({"finetuning_type": "full"} if settings.rank is None else lora),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.size,
        "gradient_accumulation_steps": settings.accumulated,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.scheduler,
        ("warmup_ratio" if settings.warmup < 1 else "warmup_steps"): settings.warmup,
        "bf16": True,
        "logging_steps": 5,
        "save_steps": settings.save_every,
        "output_dir": str(out / "checkpoints"),
        "report_to": "tensorboard",
    }


def _name(split: str) -> str:
    return f"spatial_ssrl_{split}"
