"""What a run will be before it is run: rows, steps, tokens, and an estimate of memory and time.

Lengths are read from a sample of rows, or typical ones are assumed: one token for 4 characters of text, and one for each
square of the model's `token_side` in a picture scaled to the preset's limits.
"""

import functools
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import RecipeError
from spatial_ssrl.train.data import load_splits, sample_rows
from spatial_ssrl.train.estimate import FOUR_BITS, REPLY_TOKENS, Load, Shape
from spatial_ssrl.train.preset import TINY, Preset
from spatial_ssrl.train.shapes import SHAPES
from spatial_ssrl.train.streamed import sample_stream

CHARACTERS = 4
TEMPLATE_TOKENS = 24
"""Of the chat template around a prompt."""
SAMPLE = 256
GPUS = (1, 8)


@dataclass(frozen=True)
class RowSize:
    """What the length of a row rests on."""

    text: int
    """Characters of the problem, without the instruction."""
    pictures: tuple[tuple[int, int], ...]
    """Width and height of each."""
    reply: int
    """Characters of the cold start's reply."""


@dataclass(frozen=True)
class Rows:
    """What is known of the rows of a run; without a dataset their number is not."""

    sizes: tuple[RowSize, ...]
    train: int | None = None
    validation: int | None = None
    typical: bool = False
    """The sizes are assumed, not read."""


PHOTO, PART = (1280, 960), (480, 480)
TYPICAL = Rows(
    sizes=(
        *3 * [RowSize(text=300, pictures=(PHOTO,), reply=220)],
        RowSize(text=300, pictures=(PHOTO, *4 * [PART]), reply=220),
    ),
    typical=True,
)
"""Three rows about one photograph, and one of crop with four options: a quarter of the paper's rows are of crop."""
LONGEST = RowSize(text=400, pictures=5 * ((4000, 3000),), reply=600)
"""The longest row to reckon with where none was read: five pictures above every limit (more than `max_prompt_tokens` are
refused before training); texts are the longest of 320 rows of both profiles."""


@dataclass(frozen=True)
class Plan:
    """A run, foreseen."""

    rows: int | None
    steps: int | None
    """Updates; None where they depend on rows that nobody has counted."""
    prompt: float
    """Mean length in tokens."""
    longest_prompt: int
    reply: float
    """Mean length in tokens: of the cold start's texts, or assumed."""
    loads: dict[int, Load]
    """By number of GPUs."""


def plan(preset: Preset, dataset: Path | None, out: Path) -> Plan:
    """Foresee a run. Raises RecipeError, DatasetError or TrainingError, as the run would."""
    return foresee(preset, measure_rows(preset, dataset), GPUS, out)


def measure_rows(preset: Preset, dataset: Path | None) -> Rows:
    """The rows of a dataset folder or a stream, of which a sample is read. Raises as the run would."""
    vlm.require("train", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
    rows, dev_rows = _stream_rows(preset) if preset.stream else load_splits(preset, dataset)
    sample = sample_rows(rows, SAMPLE, preset.trainer.get("seed", 42))
    sizes = tuple(_size(row, preset) for row in sample)
    if preset.stream:
        return Rows(sizes, validation=preset.dev.rows if preset.dev else None)
    return Rows(sizes, len(rows), len(dev_rows) if preset.dev else None)


def foresee(preset: Preset, rows: Rows, gpus: tuple[int, ...], out: Path = Path("run")) -> Plan:
    """Foresee a run on rows of these sizes. Raises RecipeError where TRL or PEFT would not take the preset."""
    vlm.require("train", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
    args, shape = preset.trainer_config(out), shape_of(preset)
    prompts = [_prompt_tokens(size, shape.token_side, preset) for size in rows.sizes]
    visual = [_visual_tokens(size, shape.token_side, preset) for size in rows.sizes]
    replies = [math.ceil(size.reply / CHARACTERS) for size in rows.sizes]
    longest_prompt, most_visual, longest_reply = max(prompts), max(visual), max(replies)
    if rows.typical:
        longest_prompt = min(_prompt_tokens(LONGEST, shape.token_side, preset), preset.max_prompt_tokens)
        most_visual = min(_visual_tokens(LONGEST, shape.token_side, preset), longest_prompt)
        longest_reply = math.ceil(LONGEST.reply / CHARACTERS)
    longest = longest_reply if preset.stage == "sft" else args.max_completion_length
    reply = sum(replies) / len(replies) if preset.stage == "sft" else min(REPLY_TOKENS, longest)
    prompt = sum(prompts) / len(prompts)
    settings = _settings(preset, args)
    steps = _steps(args, rows.train or preset.rows, settings["batch"])
    dev = _development(preset, rows.validation, steps)
    whole = Load(
        shape=shape,
        gpus=1,
        prompt=prompt,
        reply=reply,
        longest=longest_prompt + longest,
        visual=most_visual,
        mean_visual=sum(visual) / len(visual),
        longest_reply=longest,
        **settings,
        **dev,
    )
    loads = {n: replace(whole, gpus=n, generated=whole.generated // n) for n in gpus}
    n_rows = steps * whole.batch // args.num_generations if preset.stream and steps else rows.train
    return Plan(n_rows, steps, prompt, longest_prompt, reply, loads)


def _size(row: Mapping[str, Any], preset: Preset) -> RowSize:
    pictures = tuple(Image.open(io.BytesIO(image["bytes"])).size for image in row["images"])
    return RowSize(len(row["problem"].replace("<image>", "")), pictures, len(cold_start_reply(row, preset.reply)))


def _stream_rows(preset: Preset) -> tuple[Any, Any]:
    """A sample of a stream's rows, and one development row where they are asked for, which says that there are some."""
    return sample_stream(preset, "train", SAMPLE), sample_stream(preset, "validation", 1) if preset.dev else None


def _settings(preset: Preset, args: Any) -> dict[str, Any]:
    """What a run asks of one GPU, by the names of Load."""
    lora = preset.lora_config()
    common = {
        "sequences": args.per_device_train_batch_size,
        "batch": args.per_device_train_batch_size * args.gradient_accumulation_steps,
        "weight_bytes": FOUR_BITS if preset.quantize else 2.0 if preset.dtype == "bfloat16" else 4.0,
        "rank": lora.r if lora else None,
        "checkpointing": preset.checkpointing,
    }
    if preset.stage == "sft":
        return common
    return common | {
        "generated": args.generation_batch_size,
        "reuse": args.steps_per_generation / args.gradient_accumulation_steps,
        "reference": args.beta > 0,
        "vllm_share": _vllm_share(args) if args.use_vllm else None,
        "vllm_sleeps": args.vllm_enable_sleep_mode,
        "vllm_longest": args.vllm_max_model_length or 0,
    }


def _vllm_share(args: Any) -> float:
    """What vLLM takes of a GPU that trains."""
    return args.vllm_gpu_memory_utilization if args.vllm_mode == "colocate" else 0.0


def _development(preset: Preset, rows: int | None, steps: int | None) -> dict[str, Any]:
    """The measurements on development rows: before the first step, every so many, and after the last."""
    if preset.dev is None:
        return {}
    n = preset.dev.rows if rows is None else min(preset.dev.rows, rows)
    measurements = (1 + math.ceil(steps / preset.dev.every)) / steps if steps else 1 / preset.dev.every
    asked = {"dev_rows": n, "dev_batch": preset.dev.batch_size, "dev_reply": preset.dev.max_new_tokens}
    return {"measurements": measurements, **asked}


def _steps(args: Any, rows: int | None, batch: int) -> int | None:
    if args.max_steps > 0:
        return int(args.max_steps)
    per_epoch = rows and math.ceil(rows * getattr(args, "num_generations", 1) / batch)
    return per_epoch and math.ceil(args.num_train_epochs * per_epoch)


def shape_of(preset: Preset) -> Shape:
    """The shape of the preset's model: counted where its folder is at hand, else the preset's own table.

    Raises RecipeError where there is neither.
    """
    if (Path(preset.model) / "config.json").exists():
        return count_shape(preset.model)
    if preset.shape:
        return preset.shape
    hint = (
        "a tiny model has no folder before it is made; give its run's OUT/base as --model"
        if (preset.model.startswith(TINY))
        else f"give a folder as --model, or set shape to one of {', '.join(SHAPES)}, or to a [shape] table"
    )
    raise RecipeError(f"model: the shape of {preset.model} is not known; {hint}")


@functools.cache
def count_shape(folder: str) -> Shape:
    """The shape of the model in a folder, built without its weights."""
    vlm.prepare_torch()
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return shape_from(model)


def shape_from(model: Any) -> Shape:
    """The shape of a Qwen-VL model."""
    import torch

    text, vision = model.config.text_config, model.config.vision_config
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not model.get_output_embeddings()]
    gated = any(name.endswith("gate_proj") and "visual" in name for name, _ in model.named_modules())
    return Shape(
        parameters=model.num_parameters(),
        linear_parameters=sum(m.weight.numel() for m in linear),
        linear_widths=sum(m.in_features + m.out_features for m in linear),
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        query_width=text.num_attention_heads * head,
        query_norm=any(name.endswith("q_norm") for name, _ in model.named_modules()),
        vocabulary=text.vocab_size,
        key_width=text.num_key_value_heads * head,
        token_side=vision.patch_size * vision.spatial_merge_size,
        vision_layers=vision.depth,
        vision_hidden=vision.hidden_size,
        vision_intermediate=vision.intermediate_size // (1 if gated else 2),
        mergers=1 + len(getattr(vision, "deepstack_visual_indexes", ())),
    )


def _prompt_tokens(row: RowSize, side: int, preset: Preset) -> int:
    text = math.ceil((row.text + len(preset.instruction)) / CHARACTERS)
    around = 2 * len(row.pictures)  # the tokens that begin and end a picture
    return TEMPLATE_TOKENS + text + around + _visual_tokens(row, side, preset)


def _visual_tokens(row: RowSize, side: int, preset: Preset) -> int:
    return sum(_picture_tokens(size, side, preset) for size in row.pictures)


def _picture_tokens(size: tuple[int, int], side: int, preset: Preset) -> int:
    area = min(max(size[0] * size[1], preset.min_pixels or 0), preset.max_pixels or math.inf)
    return round(area / side**2)
