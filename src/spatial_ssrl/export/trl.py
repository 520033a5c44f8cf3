"""Parquet for TRL's GRPOTrainer.

`prompt` is a conversation whose image parts are filled from `images`, in order, by
`prepare_multimodal_messages` (trl/data_utils.py); all other columns reach the reward function by name
(trl/trainer/grpo_trainer.py). `images` is a column of the Hugging Face Image feature, decoded by `datasets`,
which opens a path where there are no bytes.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import pyarrow as pa

from spatial_ssrl.export.base import Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_parquet
from spatial_ssrl.export.settings import Settings

_STRING = {"dtype": "string", "_type": "Value"}
_COLUMNS = {
    "id": (pa.string(), _STRING),
    "prompt": (
        pa.list_(
            pa.struct({"role": pa.string(), "content": pa.list_(pa.struct({"type": pa.string(), "text": pa.string()}))})
        ),
        [{"role": _STRING, "content": [{"type": _STRING, "text": _STRING}]}],
    ),
    "images": (pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})), [{"_type": "Image"}]),
    "answer": (pa.string(), _STRING),
    "grammar": (pa.string(), _STRING),
    "options": (pa.list_(pa.string()), [_STRING]),
    "task": (pa.string(), _STRING),
    "variant": (pa.string(), _STRING),
}
SCHEMA = pa.schema(
    [(name, kind) for name, (kind, _) in _COLUMNS.items()],
    metadata={"huggingface": json.dumps({"info": {"features": {n: feature for n, (_, feature) in _COLUMNS.items()}}})},
)


class TRL(Format):
    """SPLIT.parquet, and a reward function for `trl grpo --reward_funcs`."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("embedded", "paths")
    reward = "trl"
    reward_tail = "spatial_reward = trl_reward()"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        write_parquet((_columns(posed, place) for posed in rows), SCHEMA, place.folder / f"{split}.parquet")

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        validation = held_out(splits)
        tested = f" --dataset_test_split {validation}" if validation else ""
        return (
            f"PYTHONPATH={quote(str(out))} trl grpo --model_name_or_path MODEL --dataset_name {quote(str(out))}"
            f" --dataset_train_split {training(splits)}{tested}"
            " --reward_funcs spatial_reward.spatial_reward --output_dir runs/trl"
        )


def _columns(posed: Posed, place: Place) -> dict[str, Any]:
    if place.images == "paths":
        images: list[Any] = [{"bytes": None, "path": path} for path in place.store(posed)]
    else:
        images = list(posed.images)
    kept = {name: posed.row[name] for name in ("id", "answer", "grammar", "options", "task", "variant")}
    return {**kept, "prompt": posed.prompt, "images": images}
