"""What to train and how: a few keys of ours, and tables handed as they are to TRL and PEFT."""

import difflib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe
from spatial_ssrl.config import load_config
from spatial_ssrl.errors import RecipeError
from spatial_ssrl.grammar import INSTRUCTIONS
from spatial_ssrl.reward import Policy
from spatial_ssrl.train.estimate import Shape
from spatial_ssrl.train.shapes import SHAPES

TINY = "tiny:"
CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")
"""Names of one key in newer and in older releases of transformers. vLLM needs an older one; a preset may use either."""
OLD_KEYS = {
    "max_prompt_length": "max_prompt_tokens, a key of the preset itself,",
    "max_seq_length": "max_prompt_tokens, a key of the preset itself,",
    "warmup_ratio": "warmup_steps, where a value below 1 is a share of all steps,",
    "vllm_guided_decoding_regex": "vllm_structured_outputs_regex",
    "vllm_max_model_len": "vllm_max_model_length",
    "wandb_log_unique_prompts": "log_unique_prompts",
    "use_liger_loss": "use_liger_kernel",
    "evaluation_strategy": "the table [dev]",
    "no_cuda": "use_cpu",
}
"""Keys of older releases of TRL and transformers, and what took their place."""
STREAM_WORKERS = 2
"""Processes that make a stream's rows, unless trainer.dataloader_num_workers says how many."""


class Dev(BaseModel):
    """Greedy accuracy on rows of the validation split, measured while training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: int = Field(ge=1)
    """Steps between two measurements; one more is made before the first step and after the last."""
    rows: int = Field(default=256, ge=1)
    max_new_tokens: int = Field(default=2048, ge=1)
    batch_size: int = Field(default=vlm.BATCH, ge=1)
    """Rows that a process asks at once: the keys and values of their replies are in memory together."""
    stop_accuracy: float | None = Field(default=None, gt=0, le=1)
    """Training ends once this much is reached. A cold start teaches the form; the rest is GRPO's to learn."""


class Preset(BaseModel):
    """One run of training. Written as TOML; see `recipes/train/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: Literal["sft", "grpo"]
    model: str
    """A folder, a hub name, or a randomly initialised "tiny:qwen3_vl" or "tiny:qwen2_5_vl"."""
    tokenizer: str | None = None
    """Folder or hub name of a tiny model's tokenizer; without it one is fitted to the dataset's texts."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights. With float32 TRL computes in bfloat16 where there is a GPU; bfloat16 is for LoRA."""
    quantize: Literal["4bit"] | None = None
    """The frozen base of LoRA in 4 bits, by bitsandbytes; the result is merged into the base in 16 bits."""
    min_pixels: int | None = Field(default=None, ge=1)
    max_pixels: int | None = Field(default=None, ge=1)
    """Pictures are scaled to this many pixels; None leaves the model's own limits."""
    max_prompt_tokens: int = Field(default=4096, ge=1)
    """A row whose prompt is longer, pictures included, is refused before training."""
    tasks: tuple[str, ...] = ()
    """Tasks ("shuffle") or variants ("shuffle/2x2") to train on; none means all."""
    rows: int | None = Field(default=None, ge=1)
    """Rows that a cold start takes of those, evenly over variants and by their ids' hash; without it all, as GRPO does."""
    reply: Literal["think", "brief", "boxed"] = "think"
    """What the cold start imitates: a thought of several sentences and the boxed answer, one line and the answer, or
    the answer alone. With "boxed", prompts do not ask for a thought, in either stage."""
    policy: Policy = "robust"
    """By which GRPO's reward and the development accuracy read a reply."""
    partial_credit: bool = False
    """Whether GRPO's reward gives a wrong permutation something for what is in its place; see `spatial_ssrl.reward`."""
    gpus: int = Field(default=1, ge=1)
    """Processes that the batches below are meant for; another number of them accumulates more or less, to the same batch."""
    gpu_memory: float = Field(default=80, gt=0)
    """GB (of 1e9 bytes) of each GPU that the preset is meant for; training does not ask, `--dry-run` does."""
    replies_every: int = Field(default=20, ge=1)
    """Updates of GRPO between two samples of replies."""
    stream: Recipe | None = None
    """Rows that GRPO draws while it trains, by the keys of a recipe; without this table they are a dataset folder's."""
    curriculum: bool = False
    """Variants of the stream are chosen by how their groups fare, rather than by the recipe's shares."""
    dev: Dev | None = None
    """Where given, the model that is kept is the best on these rows, not the last."""
    trainer: dict[str, Any] = {}
    """Arguments of TRL's SFTConfig or GRPOConfig."""
    lora: dict[str, Any] | None = None
    """Arguments of PEFT's LoraConfig; without this table all weights are trained."""
    verl: dict[str, Any] = {}
    """Overrides of verl's configuration, by their full names in quotes, for `--engine verl`."""
    shape: Shape | None = None
    """Of the model, for the estimate of a run whose model is not at hand: a table, or a name of `shapes.SHAPES`."""

    @field_validator("shape", mode="before")
    @classmethod
    def _named_shape(cls, shape: Any) -> Any:
        if isinstance(shape, str) and shape not in SHAPES:
            raise RecipeError(f"shape: {shape!r} is unknown; known: {', '.join(SHAPES)}; or give a table [shape]")
        return SHAPES[shape] if isinstance(shape, str) else shape

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = ("tiny:qwen3_vl", "tiny:qwen2_5_vl")
        if self.model.startswith(TINY) and self.model not in known:
            raise RecipeError(f"model: no tiny model {self.model!r}; known: {', '.join(known)}")
        if self.tokenizer and not self.model.startswith(TINY):
            raise RecipeError(f"tokenizer: only a tiny model is given one; {self.model} has its own")
        if self.rows and self.stage != "sft":
            raise RecipeError("rows: it is for the cold start; how many rows GRPO sees, trainer.max_steps says")
        if self.quantize:
            self._check_quantized()
        if self.stream:
            self._check_stream()
        elif self.curriculum:
            raise RecipeError("curriculum: it chooses what a stream draws, and there is no [stream]")
        return self

    def _check_quantized(self) -> None:
        if self.lora is None:
            raise RecipeError(
                "quantize: weights of 4 bits cannot be trained, and there is no [lora]; add the table, or leave quantize out"
            )
        if self.trainer.get("use_vllm"):
            raise RecipeError(
                "quantize: vLLM would generate with other weights than the 4-bit ones that are trained;"
                " set trainer.use_vllm=false, or leave quantize out"
            )

    def _check_stream(self) -> None:
        if self.stage != "grpo" or self.model.startswith(TINY) or self.tasks:
            raise RecipeError("stream: it is for GRPO of a model that exists, and its tasks stand in the table itself")
        if self.trainer.get("max_steps", 0) < 1:
            raise RecipeError("stream: it has no end; set trainer.max_steps")

    @classmethod
    def create(cls, file: Path | None, flags: dict[str, Any]) -> Self:
        """A preset from a TOML file, where given, with flags that are not None laid over it, table by table.

        A flag does not change a file's stage, since the rest of the file would not fit. Raises RecipeError
        with the key at fault.
        """
        preset = load_config(cls, file, {**flags, "stage": None} if file else flags)
        if flags.get("stage") not in (None, preset.stage):
            raise RecipeError(f"{file} is a preset of stage {preset.stage!r}, not {flags['stage']!r}")
        return preset

    @property
    def instruction(self) -> str:
        """How prompts end."""
        return INSTRUCTIONS["boxed" if self.reply == "boxed" else "think"]

    @property
    def checkpointing(self) -> bool:
        """Whether activations are computed again in the backward pass, to save memory."""
        return bool(next((self.trainer[key] for key in CHECKPOINTING if key in self.trainer), True))

    def takes(self, task: str, variant: str) -> bool:
        """Whether a row of this task and variant is trained on."""
        return not self.tasks or task in self.tasks or f"{task}/{variant}" in self.tasks

    def spread(self, processes: int) -> dict[str, Any]:
        """The trainer's arguments for so many processes. Raises RecipeError where its batch cannot be spread over them."""
        values = {"gradient_accumulation_steps": 1, **self.trainer}
        for key in ("gradient_accumulation_steps", "steps_per_generation"):
            if key in values and processes != self.gpus:
                values[key], rest = divmod(values[key] * self.gpus, processes)
                if rest:
                    raise RecipeError(
                        f"trainer.{key} x gpus is {self.trainer.get(key, 1) * self.gpus} and cannot be spread over"
                        f" {processes} processes; set another number of them, or a smaller per_device_train_batch_size"
                    )
        return values

    @property
    def settings(self) -> dict[str, Any]:
        """What other trainers can be told of this preset, by the names of `spatial_ssrl.export.settings.Settings`."""
        trainer, lora = self.trainer, self.lora or {}
        accumulated = trainer.get("gradient_accumulation_steps", 1)
        known = {
            "learning_rate": trainer.get("learning_rate"),
            "size": trainer.get("per_device_train_batch_size"),
            "accumulated": accumulated,
            "save_every": trainer.get("save_steps"),
            "replies": trainer.get("num_generations"),
            "reply_tokens": trainer.get("max_completion_length"),
            "temperature": trainer.get("temperature"),
            "kl": trainer.get("beta"),
            "reuse": max(1, trainer.get("steps_per_generation", accumulated) // accumulated),
            "updates": trainer.get("max_steps"),
            "epochs": trainer.get("num_train_epochs"),
            "scheduler": trainer.get("lr_scheduler_type"),
            "warmup": trainer.get("warmup_steps"),
            "alpha": lora.get("lora_alpha"),
        }
        ours = {"stage": self.stage, "model": self.model, "rows": self.rows, "gpus": self.gpus, "rank": lora.get("r")}
        limits = {"prompt_tokens": self.max_prompt_tokens, "min_pixels": self.min_pixels, "max_pixels": self.max_pixels}
        scoring = {"policy": self.policy, "partial": self.partial_credit}
        return {key: value for key, value in known.items() if value is not None} | ours | limits | scoring

    def trainer_config(self, out: Path) -> Any:
        """TRL's SFTConfig or GRPOConfig, for the processes that were launched.

        Raises RecipeError with the key that TRL does not know or take.
        """
        vlm.prepare_torch()
        import torch
        from trl import GRPOConfig, SFTConfig

        gpu = torch.cuda.is_available()
        kind = SFTConfig if self.stage == "sft" else GRPOConfig
        ours = {
            "bf16": gpu,
            "dataloader_pin_memory": gpu,
            "report_to": "tensorboard",
            "save_total_limit": 2,
            _checkpointing_key(kind): self.checkpointing,
            "max_length": None,  # a cut would lose image tokens
        }
        if self.stream:
            ours |= {"dataloader_num_workers": STREAM_WORKERS}
        known = {key: value for key, value in ours.items() if key in kind.__dataclass_fields__}
        forced = {"output_dir": str(out), "remove_unused_columns": False}  # the reward needs the columns
        if self.stream:
            forced |= {"shuffle_dataset": False}  # its order is drawn already
        given = self.spread(int(os.environ.get("WORLD_SIZE", "1")))
        given = {key: value for key, value in given.items() if key not in CHECKPOINTING}
        config = _make(kind, "trainer", known | given | forced)
        if self.stage == "grpo":
            _check_checkpoints(config)
            _check_comparison(config)
        return config

    def lora_config(self) -> Any:
        """PEFT's LoraConfig, or None. Raises RecipeError with the key that PEFT does not know or take."""
        vlm.prepare_torch()
        from peft import LoraConfig

        return None if self.lora is None else _make(LoraConfig, "lora", {"task_type": "CAUSAL_LM", **self.lora})


def _checkpointing_key(kind: Any) -> str:
    """The name that this release of transformers has for it."""
    return next(key for key in CHECKPOINTING if key in kind.__dataclass_fields__)


def _check_checkpoints(config: Any) -> None:
    """Raise RecipeError where a checkpoint would fall between the updates that one generation serves.

    Replies are not part of a checkpoint: TRL would sample them anew there, and the resumed run would be another.
    """
    updates, rest = divmod(config.steps_per_generation * config.num_iterations, config.gradient_accumulation_steps)
    if config.save_strategy == "steps" and not rest and config.save_steps % max(1, updates):
        raise RecipeError(
            f"trainer.save_steps: {config.save_steps} is no multiple of the {updates} updates that one generation serves, so"
            " a run resumed from a checkpoint would not go on as it was; set a multiple"
        )


def _check_comparison(config: Any) -> None:
    """Raise RecipeError where TRL would not compare vLLM's log-probabilities with its own, as `train/guard.py` needs."""
    if config.use_vllm and not config.vllm_importance_sampling_correction:
        raise RecipeError(
            "trainer.vllm_importance_sampling_correction: with false nothing compares vLLM with the trainer, and a run on"
            " wrong prompts would go unnoticed; leave it true"
        )


def _make(kind: Any, table: str, values: dict[str, Any]) -> Any:
    """A config object of a library, or a RecipeError that names the key."""
    unknown = sorted(set(values) - set(kind.__dataclass_fields__))
    if unknown:
        raise RecipeError(f"{table}.{unknown[0]}: {_unknown_key(kind, unknown[0])}")
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{table}: {kind.__name__} refuses it: {error}") from None


def _unknown_key(kind: Any, key: str) -> str:
    """What to say of a key that a library's config does not have, or has no longer."""
    package = kind.__module__.partition(".")[0]
    found = f"{kind.__name__} of {package} {version(package)} has no such key"
    if key in OLD_KEYS:
        return f"{found}, older releases had; set {OLD_KEYS[key]} instead"
    near = difflib.get_close_matches(key, kind.__dataclass_fields__, n=1)
    return f"{found}; {f'did you mean {near[0]}?' if near else 'remove it'}"
