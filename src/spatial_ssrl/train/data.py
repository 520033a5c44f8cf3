"""Rows as the datasets that TRL's trainers read. Pictures stay encoded until a batch asks for them."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import TrainingError
from spatial_ssrl.rng import digest, generator
from spatial_ssrl.row import split_files
from spatial_ssrl.train.preset import Preset

REWARD_COLUMNS = ("id", "answer", "grammar", "options", "task", "variant", "level")


def need(dataset: Path | None) -> Path:
    """The dataset folder. Raises TrainingError where there is none."""
    if dataset is None:
        raise TrainingError("there are no rows to train on; give a dataset folder, or for GRPO a stream's sources")
    return dataset


def load_splits(preset: Preset, dataset: Path | None) -> tuple[Any, Any]:
    """Rows to train on, and development rows, or None where the preset asks for none. Raises as `load_rows` does."""
    rows = load_rows(need(dataset), "train", preset)
    return rows, load_rows(need(dataset), "validation", preset) if preset.dev else None


def load_rows(dataset: Path, split: str, preset: Preset) -> Any:
    """The rows of a split that the preset takes, as a `datasets.Dataset`, mapped from disk; `preset.rows` limits "train".

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
    if split == "train" and preset.rows:
        kept = _take_evenly(kept, rows["id"], names, preset.rows)
    return rows.select(kept)


def _take_evenly(places: list[int], ids: Sequence[str], names: Sequence[Any], n: int) -> list[int]:
    """The n places, in order, whose rows are spread over the names as evenly as these allow, by the ids' hash."""
    before: Counter[Any] = Counter()
    turns = {}
    for i in sorted(places, key=lambda i: digest("cold start", ids[i])):
        turns[i] = before[names[i]]
        before[names[i]] += 1
    return sorted(sorted(turns, key=turns.__getitem__)[:n])


def sample_rows(rows: Any, n: int, seed: int) -> list[dict[str, Any]]:
    """At most n rows, drawn by the seed."""
    chosen = generator(seed, "sample rows").permutation(len(rows))[:n]
    return [dict(row) for row in rows.select(sorted(chosen))]


def check_lengths(rows: Any, processor: Any, preset: Preset) -> None:
    """Raise TrainingError with the id of the longest prompt where one has more tokens than the preset allows.

    A trainer would run out of memory on it, hours later. Of a picture only the size is read; one whose shape the
    processor does not take is told of too, by its row's id.
    """
    lengths = [(*_length(row, processor, preset), row["id"]) for row in rows.select_columns(["id", "problem", "images"])]
    too_long = [length for length in lengths if length[0] > preset.max_prompt_tokens]
    if too_long:
        tokens, of_pictures, identity = max(too_long)
        raise TrainingError(
            f"{len(too_long)} of {len(lengths)} prompts have more tokens than max_prompt_tokens={preset.max_prompt_tokens};"
            f" row {identity} has {tokens}, {of_pictures} of them of its pictures;"
            " set a smaller max_pixels, or a larger max_prompt_tokens if the GPU's memory allows it"
        )


def _length(row: Mapping[str, Any], processor: Any, preset: Preset) -> tuple[int, int]:
    """Tokens of a row's prompt, and how many of them its pictures take."""
    text = processor.apply_chat_template(vlm.conversation(row["problem"], preset.instruction), add_generation_prompt=True)
    images = processor.image_processor
    try:
        sizes = [Image.open(io.BytesIO(image["bytes"])).size for image in row["images"]]
        patches = sum(images.get_number_of_image_patches(height, width, {}) for width, height in sizes)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"row {row['id']} has a picture that the processor refuses: {error}; build the rows without it"
        ) from None
    of_pictures = patches // images.merge_size**2
    return len(processor.tokenizer(text)["input_ids"]) - len(sizes) + of_pictures, of_pictures


def sft_dataset(rows: Any, preset: Preset) -> Any:
    """`prompt`, `completion` and `images` of each row, made when it is read."""
    return rows.with_transform(partial(_sft_columns, preset=preset))


def grpo_dataset(rows: Any, preset: Preset) -> Any:
    """`prompt` and `images` of each row, made when it is read, and the columns that its reward needs."""
    return rows.with_transform(partial(_grpo_columns, preset=preset))


def _sft_columns(batch: Mapping[str, list[Any]], preset: Preset) -> dict[str, list[Any]]:
    said = [[{"role": "assistant", "content": cold_start_reply(row, preset.reply)}] for row in _by_row(batch)]
    return _pose(batch, preset) | {"completion": said}


def _grpo_columns(batch: Mapping[str, list[Any]], preset: Preset) -> dict[str, list[Any]]:
    return _pose(batch, preset) | {name: batch[name] for name in REWARD_COLUMNS}


def _pose(batch: Mapping[str, list[Any]], preset: Preset) -> dict[str, list[Any]]:
    return {
        "prompt": [vlm.conversation(problem, preset.instruction) for problem in batch["problem"]],
        "images": [vlm.pictures(row) for row in _by_row(batch)],
    }


def _by_row(batch: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
