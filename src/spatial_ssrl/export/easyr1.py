"""Parquet for EasyR1's RLHFDataset (its verl/utils/dataset.py).

`problem` has one `<image>` a picture; `images` holds for each the path, or a struct whose `bytes` are
opened. EasyR1 hands one column to the reward function: `data.answer_key=ground_truth` makes it ours. Its
own format prompt is switched off, since `problem` ends with the instruction.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

import pyarrow as pa

from spatial_ssrl.export.base import REWARD_FILE, Format, ImageForm, Place, Posed, held_out, training
from spatial_ssrl.export.files import write_parquet

_IMAGE = {"embedded": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "paths": pa.string()}


class EasyR1(Format):
    """SPLIT.parquet, and the file for `worker.reward.reward_function`."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("embedded", "paths")
    reward = "easyr1"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        texts = dict.fromkeys(("id", "task", "variant", "problem", "answer", "ground_truth"), pa.string())
        schema = pa.schema({**texts, "images": pa.list_(_IMAGE[place.images])})
        write_parquet((_columns(posed, place) for posed in rows), schema, place.folder / f"{split}.parquet")

    def command(self, out: Path, splits: Sequence[str]) -> str:
        return (
            "python -m verl.trainer.main config=examples/config.yaml worker.actor.model.model_path=MODEL"
            f" data.train_files={quote(str(out / f'{training(splits)}.parquet'))}"
            f" data.val_files={quote(str(out / f'{held_out(splits)}.parquet'))}"
            " data.answer_key=ground_truth data.format_prompt=null data.max_prompt_length=4096"
            f" worker.reward.reward_function={quote(str(out / REWARD_FILE))}:compute_score"
        )


def _columns(posed: Posed, place: Place) -> dict[str, Any]:
    row = posed.row
    return {
        "id": row["id"],
        "task": row["task"],
        "variant": row["variant"],
        "problem": posed.text,
        "answer": row["answer"],
        "ground_truth": posed.truth,
        "images": place.store(posed) if place.images == "paths" else posed.images,
    }
