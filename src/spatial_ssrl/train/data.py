"""Rows as the datasets that TRL's trainers read. Pictures stay encoded until a batch asks for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import TrainingError
from spatial_ssrl.rng import generator
from spatial_ssrl.row import split_files
from spatial_ssrl.train.preset import Preset

REWARD_COLUMNS = ("answer", "grammar", "options", "task", "variant")


def load_rows(dataset: Path, split: str, preset: Preset) -> Any:
    """The rows of a split that the preset takes, as a `datasets.Dataset`, mapped from disk.

    Raises DatasetError when there is no such split, TrainingError when it has no row of the tasks.
    """
    import datasets

    files = [str(path) for path in split_files(dataset, split)]
    rows = datasets.load_dataset("parquet", data_files=files, split="train")
    rows = rows.cast_column("images", datasets.List(datasets.Image(decode=False)))
    names = list(zip(rows["task"], rows["variant"], strict=True))
    kept = [i for i, name in enumerate(names) if preset.takes(*name)]
    if not kept:
        found = ", ".join(sorted({f"{task}/{variant}" for task, variant in names}))
        raise TrainingError(f"{dataset} has no row of {', '.join(preset.tasks)} in split {split!r}; found {found}")
    return rows.select(kept)


def sample_rows(rows: Any, n: int, seed: int) -> list[dict[str, Any]]:
    """At most n rows, drawn by the seed."""
    chosen = generator(seed, "sample rows").permutation(len(rows))[:n]
    return [dict(row) for row in rows.select(sorted(chosen))]


def sft_dataset(rows: Any) -> Any:
    """`prompt`, `completion` and `images` of each row, made when it is read."""
    return rows.with_transform(_sft_columns)


def grpo_dataset(rows: Any) -> Any:
    """`prompt` and `images` of each row, made when it is read, and the columns that its reward needs."""
    return rows.with_transform(_grpo_columns)


def _sft_columns(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return _pose(batch) | {"completion": [_said(row) for row in _by_row(batch)]}


def _grpo_columns(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return _pose(batch) | {name: batch[name] for name in REWARD_COLUMNS}


def _pose(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    return {
        "prompt": [vlm.conversation(problem) for problem in batch["problem"]],
        "images": [vlm.pictures(row) for row in _by_row(batch)],
    }


def _said(row: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": cold_start_reply(row)}]


def _by_row(batch: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
