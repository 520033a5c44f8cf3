"""Parquet for verl's RLHFDataset (verl/utils/dataset/rl_dataset.py, verl 0.9.1).

`prompt` is one message whose text has one `<image>` a picture. `images` holds, for each, a struct whose
keys become those of the message's image part: `bytes` is opened at once and stays in memory with the
batch, `image`, a path, is opened by qwen_vl_utils where the picture is needed. The reward manager hands
`data_source`, `reward_model.ground_truth` and `extra_info` to the reward function.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import pyarrow as pa

from spatial_ssrl.export.base import REWARD_FILE, Format, ImageForm, Place, Posed, need_held_out, training
from spatial_ssrl.export.files import write_parquet
from spatial_ssrl.export.settings import Settings

_IMAGE = {
    "embedded": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "paths": pa.struct({"image": pa.string()}),
}


def _schema(images: ImageForm) -> pa.Schema:
    text = pa.string()
    return pa.schema(
        {
            "data_source": text,
            "prompt": pa.list_(pa.struct({"role": text, "content": text})),
            "images": pa.list_(_IMAGE[images]),
            "ability": text,
            "reward_model": pa.struct({"style": text, "ground_truth": text}),
            "extra_info": pa.struct(
                {"split": text, "index": pa.int64(), "id": text, "task": text, "variant": text, "level": pa.int32()}
            ),
        }
    )


class Verl(Format):
    """SPLIT.parquet, and the file for `reward.custom_reward_function.path`."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("paths", "embedded")
    reward = "verl"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        columns = (_columns(posed, split, place) for posed in rows)
        write_parquet(columns, _schema(place.images), place.folder / f"{split}.parquet")

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        return (
            "python -m verl.trainer.main_ppo algorithm.adv_estimator=grpo actor_rollout_ref.model.path=MODEL"
            f" data.train_files={quote(str(out / f'{training(splits)}.parquet'))}"
            f" data.val_files={quote(str(out / f'{need_held_out(splits)}.parquet'))}"
            " data.max_prompt_length=4096 data.max_response_length=2048"
            " actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=5"
            f" reward.custom_reward_function.path={quote(str(out / REWARD_FILE))}"
        )


def _columns(posed: Posed, split: str, place: Place) -> dict[str, Any]:
    row = posed.row
    images = [{"image": path} for path in place.store(posed)] if place.images == "paths" else posed.images
    return {
        "data_source": f"spatial_ssrl/{row['task']}",
        "prompt": [{"role": "user", "content": posed.text}],
        "images": images,
        "ability": "spatial",
        "reward_model": {"style": "rule", "ground_truth": posed.truth},
        "extra_info": {
            "split": split,
            "index": posed.index,
            "id": row["id"],
            "task": row["task"],
            "variant": row["variant"],
            "level": row["level"],
        },
    }
