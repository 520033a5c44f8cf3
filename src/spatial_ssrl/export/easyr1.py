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

from spatial_ssrl.export.base import CONFIG, REWARD_FILE, SCRIPT, Format, ImageForm, Place, Posed, need_held_out, training
from spatial_ssrl.export.files import write_parquet
from spatial_ssrl.export.settings import MODEL, Settings, Stage, script, start, yaml

_IMAGE = {"embedded": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "paths": pa.string()}


class EasyR1(Format):
    """SPLIT.parquet, the file for `worker.reward.reward_function`, a configuration, and the script that starts it."""

    image_forms: ClassVar[tuple[ImageForm, ...]] = ("embedded", "paths")
    reward = "easyr1"
    stage: ClassVar[Stage | None] = "grpo"

    def write(self, rows: Iterator[Posed], split: str, place: Place) -> None:
        texts = dict.fromkeys(("id", "task", "variant", "problem", "answer", "ground_truth"), pa.string())
        schema = pa.schema({**texts, "images": pa.list_(_IMAGE[place.images])})
        write_parquet((_columns(posed, place) for posed in rows), schema, place.folder / f"{split}.parquet")

    def command(self, out: Path, splits: Sequence[str], settings: Settings) -> str:
        return start(out / SCRIPT, settings, f"worker.actor.model.model_path={MODEL}")

    def beside(self, out: Path, splits: Sequence[str], settings: Settings) -> dict[str, str]:
        command = f"python -m verl.trainer.main config={quote(str(out / CONFIG))}"
        where = "In a checkout of EasyR1 with its packages: sh run.sh [KEY=VALUE ...], keys as in train.yaml"
        files = {CONFIG: yaml(_config(out, splits, settings)), SCRIPT: script(where, command)}
        return files | super().beside(out, splits, settings)


def _config(out: Path, splits: Sequence[str], settings: Settings) -> dict[str, Any]:
    """EasyR1's PPOConfig (verl/trainer/config.py): batches in puzzles, steps in rollouts; the rest is its default."""
    return {
        "data": {
            "train_files": str(out / f"{training(splits)}.parquet"),
            "val_files": str(out / f"{need_held_out(splits)}.parquet"),
            "prompt_key": "problem",
            "answer_key": "ground_truth",
            "image_key": "images",
            "format_prompt": None,
            "max_prompt_length": settings.prompt_tokens,
            "max_response_length": settings.reply_tokens,
            "rollout_batch_size": settings.puzzles * settings.reuse,
            "min_pixels": settings.min_pixels,
            "max_pixels": settings.max_pixels,
        },
        "algorithm": {
            "adv_estimator": "grpo",
            "disable_kl": settings.kl == 0,
            "use_kl_loss": True,
            "kl_penalty": "low_var_kl",
            "kl_coef": settings.kl,
        },
        "worker": {
            "actor": {
                "global_batch_size": settings.puzzles,
                "micro_batch_size_per_device_for_update": settings.size,
                "micro_batch_size_per_device_for_experience": settings.size,
                "model": {"model_path": settings.model, "lora": {"rank": settings.rank or 0, "alpha": settings.alpha}},
                "optim": {"lr": settings.learning_rate},
            },
            "rollout": {"n": settings.replies, "temperature": settings.temperature, "tensor_parallel_size": 1},
            "reward": {
                "reward_function": f"{out / REWARD_FILE}:compute_score",
                "reward_function_kwargs": {"policy": settings.policy, "partial": settings.partial},
            },
        },
        "trainer": {
            "max_steps": settings.updates // settings.reuse,
            "project_name": "spatial-ssrl",
            "experiment_name": out.name,
            "logger": ["console", "tensorboard"],
            "n_gpus_per_node": settings.gpus,
            "save_freq": max(1, settings.save_every // settings.reuse),
            "save_checkpoint_path": str(out / "checkpoints"),
        },
    }


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
