"""What a run will be before it is run: rows, steps, tokens, and an estimate of memory and time.

Lengths are read from a sample of rows: one token for 4 characters of text, and one for each square of
the model's `token_side` in a picture scaled to the preset's limits.
"""

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
from spatial_ssrl.train.estimate import REPLY_TOKENS, Load, Shape
from spatial_ssrl.train.preset import TINY, Preset
from spatial_ssrl.train.streamed import sample_stream

CHARACTERS = 4
TEMPLATE_TOKENS = 24
"""Of the chat template around a prompt."""
SAMPLE = 256
GPUS = (1, 8)


@dataclass(frozen=True)
class Plan:
    """A run, foreseen."""

    rows: int
    steps: int
    """Updates."""
    prompt: float
    """Mean length in tokens."""
    longest_prompt: int
    reply: float
    """Mean length in tokens: of the cold start's texts, or assumed."""
    loads: dict[int, Load]
    """By number of GPUs."""


def plan(preset: Preset, dataset: Path | None, out: Path) -> Plan:
    """Foresee a run. Raises RecipeError, DatasetError or TrainingError, as the run would."""
    vlm.require("train", "torch", "torchvision", "transformers", "trl", "peft", "accelerate", "datasets")
    args, shape = preset.trainer_config(out), shape_of(preset)
    rows, dev_rows = _stream_rows(preset) if preset.stream else load_splits(preset, dataset)
    sample = sample_rows(rows, SAMPLE, args.seed)
    prompts = [_prompt_tokens(row, shape.token_side, preset) for row in sample]
    visual = [_visual_tokens(row, shape.token_side, preset) for row in sample]
    replies = [math.ceil(len(cold_start_reply(row, preset.reply)) / CHARACTERS) for row in sample]
    longest = max(replies) if preset.stage == "sft" else args.max_completion_length
    reply = sum(replies) / len(replies) if preset.stage == "sft" else min(REPLY_TOKENS, longest)
    prompt = sum(prompts) / len(prompts)
    settings = _settings(preset, args)
    steps = _steps(args, len(rows), settings["batch"])
    dev = _development(preset, dev_rows, steps)
    whole = Load(
        shape=shape,
        gpus=1,
        prompt=prompt,
        reply=reply,
        longest=max(prompts) + longest,
        visual=max(visual),
        mean_visual=sum(visual) / len(visual),
        longest_reply=longest,
        **settings,
        **dev,
    )
    loads = {gpus: replace(whole, gpus=gpus, generated=whole.generated // gpus) for gpus in GPUS}
    n = steps * whole.batch // args.num_generations if preset.stream else len(rows)
    return Plan(n, steps, prompt, max(prompts), reply, loads)


def _stream_rows(preset: Preset) -> tuple[Any, Any]:
    """A sample of a stream's rows, and one development row where they are asked for, which says that there are some."""
    return sample_stream(preset, "train", SAMPLE), sample_stream(preset, "validation", 1) if preset.dev else None


def _settings(preset: Preset, args: Any) -> dict[str, Any]:
    """What a run asks of one GPU, by the names of Load."""
    lora = preset.lora_config()
    common = {
        "sequences": args.per_device_train_batch_size,
        "batch": args.per_device_train_batch_size * args.gradient_accumulation_steps,
        "weight_bytes": 2.0 if preset.dtype == "bfloat16" else 4.0,
        "rank": lora.r if lora else None,
        "checkpointing": bool(args.activation_checkpointing),
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


def _development(preset: Preset, rows: Any, steps: int) -> dict[str, Any]:
    """The measurements on development rows: before the first step, every so many, and after the last."""
    if preset.dev is None:
        return {}
    n = preset.dev.rows if preset.stream else min(preset.dev.rows, len(rows))
    measurements = 1 + math.ceil(steps / preset.dev.every)
    return {"measurements": measurements / steps, "dev_rows": n, "dev_reply": preset.dev.max_new_tokens}


def _steps(args: Any, rows: int, batch: int) -> int:
    per_epoch = math.ceil(rows * getattr(args, "num_generations", 1) / batch)
    return args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * per_epoch)


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
        else "give a folder as --model, or the preset a [shape] table as recipes/train/*.toml have"
    )
    raise RecipeError(f"model: the shape of {preset.model} is not known; {hint}")


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


def _prompt_tokens(row: Mapping[str, Any], side: int, preset: Preset) -> int:
    text = row["problem"].replace("<image>", "") + preset.instruction
    around = 2 * len(row["images"])  # the tokens that begin and end a picture
    return TEMPLATE_TOKENS + math.ceil(len(text) / CHARACTERS) + around + _visual_tokens(row, side, preset)


def _visual_tokens(row: Mapping[str, Any], side: int, preset: Preset) -> int:
    pictures = (Image.open(io.BytesIO(image["bytes"])).size for image in row["images"])
    return sum(_picture_tokens(size, side, preset) for size in pictures)


def _picture_tokens(size: tuple[int, int], side: int, preset: Preset) -> int:
    area = min(max(size[0] * size[1], preset.min_pixels or 0), preset.max_pixels or math.inf)
    return round(area / side**2)
