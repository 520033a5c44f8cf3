"""JSON lines for supervised training with LLaMA-Factory: its cold start.

A conversation in sharegpt form ends with the reply to imitate; `images` holds a path for each `<image>`
(`SharegptDatasetConverter`, src/llamafactory/data/converter.py). Data sets are named by
dataset_info.json (src/llamafactory/data/parser.py).
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import ClassVar

from spatial_ssrl.export.base import Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_lines


class LlamaFactory(Format):
    """SPLIT.jsonl and dataset_info.json, which names it spatial_ssrl_SPLIT."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("paths",)

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

    def beside(self, splits: Sequence[str]) -> dict[str, str]:
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
        form = {"formatting": "sharegpt", "columns": {"messages": "messages", "images": "images"}, "tags": tags}
        info = {_name(split): {"file_name": f"{split}.jsonl", **form} for split in splits}
        return {"dataset_info.json": json.dumps(info, indent=2)}

    def command(self, out: Path, splits: Sequence[str]) -> str:
        return (
            "llamafactory-cli train --stage sft --do_train true --model_name_or_path MODEL --template qwen2_vl"
            f" --dataset_dir {quote(str(out))} --dataset {_name(training(splits))} --eval_dataset {_name(held_out(splits))}"
            " --finetuning_type lora --cutoff_len 4096 --output_dir runs/llamafactory"
        )


def _name(split: str) -> str:
    return f"spatial_ssrl_{split}"
