"""GRPO by verl on a Ray cluster: a preset as overrides of verl's Hydra configuration (verl 0.9.1), and its launch.

TRL's keys of a preset are translated; what has no counterpart stands in the preset's table `verl`, whose keys go
to verl as they are. A step of verl is one rollout: several of TRL's updates. Kept here, since verl pins an older
transformers: this file needs no TRL, so verl can live in an environment with this package's core.
"""

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import RecipeError, TrainingError
from spatial_ssrl.train.data import check_lengths, load_rows
from spatial_ssrl.train.preset import Preset

ACTOR, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.rollout"
RENAMED = {
    "learning_rate": f"{ACTOR}.optim.lr",
    "weight_decay": f"{ACTOR}.optim.weight_decay",
    "max_grad_norm": f"{ACTOR}.optim.clip_grad",
    "lr_scheduler_type": f"{ACTOR}.optim.lr_scheduler_type",
    "num_generations": f"{ROLLOUT}.n",
    "temperature": f"{ROLLOUT}.temperature",
    "vllm_gpu_memory_utilization": f"{ROLLOUT}.gpu_memory_utilization",
    "vllm_tensor_parallel_size": f"{ROLLOUT}.tensor_model_parallel_size",
    "max_completion_length": "data.max_response_length",
    "num_train_epochs": "trainer.total_epochs",
    "seed": "data.seed",
}
"""Keys of TRL that verl has under another name."""
BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "beta")
STEPS = {"max_steps": "trainer.total_training_steps", "save_steps": "trainer.save_freq"}
ONLY_TRL = ("use_vllm", "vllm_mode", "vllm_max_model_length", "vllm_enable_sleep_mode", "logging_steps")
"""Keys that say nothing to verl: its rollouts are vLLM's, and it logs every step."""


def overrides(preset: Preset, data: Path, out: Path, nodes: int = 1) -> dict[str, Any]:
    """verl's configuration for a preset of stage grpo, on an export in the folder `data`.

    The preset's `gpus` are those of all nodes. Raises RecipeError for a key of the preset that cannot be translated.
    """
    unknown = sorted(set(preset.trainer) - {*RENAMED, *BATCH, *STEPS, *ONLY_TRL})
    if preset.stage != "grpo" or unknown:
        what = f"trainer.{unknown[0]}" if unknown else f"stage {preset.stage!r}"
        raise RecipeError(f"{what}: verl is not given it; put verl's own keys in the table verl, or train with TRL")
    per_node, rest = divmod(preset.gpus, nodes)
    if rest:
        raise RecipeError(f"gpus: {preset.gpus} cannot be spread over {nodes} nodes")
    values = {RENAMED[key]: value for key, value in preset.trainer.items() if key in RENAMED}
    limits = {"min_pixels": preset.min_pixels, "max_pixels": preset.max_pixels}
    pictures = {f"+data.mm_processor_kwargs.{key}": value for key, value in limits.items() if value}
    adapter = {f"actor_rollout_ref.model.{_lora_key(key)}": value for key, value in (preset.lora or {}).items()}
    reward = "+reward.custom_reward_function.reward_kwargs"
    policy = {f"{reward}.policy": preset.policy, f"{reward}.partial": preset.partial_credit}
    side = {"data.image_patch_size": preset.shape.token_side // 2} if preset.shape else {}
    return {
        "algorithm.adv_estimator": "grpo",
        "actor_rollout_ref.model.path": preset.model,
        f"{ROLLOUT}.name": "vllm",
        f"{ROLLOUT}.tensor_model_parallel_size": 1,
        "data.train_files": data / "train.parquet",
        "data.val_files": data / "validation.parquet",
        "data.max_prompt_length": preset.max_prompt_tokens,
        "data.filter_overlong_prompts": False,  # verl would drop them without a word
        "reward.custom_reward_function.path": data / "spatial_reward.py",
        "trainer.nnodes": nodes,
        "trainer.n_gpus_per_node": per_node,
        "trainer.default_local_dir": out / "checkpoints",
        "trainer.project_name": "spatial-ssrl",
        "trainer.experiment_name": out.name,
        "trainer.logger": "[console,tensorboard]",
        **policy,
        **pictures,
        **side,
        **adapter,
        **values,
        **_batches(preset),
        **preset.verl,
    }


def _lora_key(key: str) -> str:
    try:
        return {"r": "lora_rank", "lora_alpha": "lora_alpha", "target_modules": "target_modules"}[key]
    except KeyError:
        raise RecipeError(f"lora.{key}: verl is not given it; put verl's own keys in the table verl") from None


def _batches(preset: Preset) -> dict[str, Any]:
    """Batches in puzzles instead of replies, steps in rollouts instead of updates, and the KL."""
    given = preset.trainer
    accumulated, replies = given.get("gradient_accumulation_steps", 1), given.get("num_generations", 8)
    size = given.get("per_device_train_batch_size", 8)
    reuse, odd = divmod(given.get("steps_per_generation", accumulated), accumulated)
    puzzles, rest = divmod(size * accumulated * preset.gpus, replies)
    if odd or rest:
        raise RecipeError("trainer: verl needs whole puzzles an update, and whole updates a rollout")
    beta, dev = given.get("beta", 0.0), {"trainer.test_freq": max(1, preset.dev.every // reuse)} if preset.dev else {}
    return {
        "data.train_batch_size": puzzles * reuse,
        f"{ACTOR}.ppo_mini_batch_size": puzzles,
        f"{ACTOR}.ppo_micro_batch_size_per_gpu": size,
        f"{ROLLOUT}.log_prob_micro_batch_size_per_gpu": size,
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu": size,
        f"{ACTOR}.use_kl_loss": beta > 0,
        f"{ACTOR}.kl_loss_coef": beta,
        f"{ACTOR}.kl_loss_type": "low_var_kl",
        **{name: max(1, given[key] // reuse) for key, name in STEPS.items() if given.get(key, 0) > 0},
        **dev,
    }


def command(values: dict[str, Any]) -> list[str]:
    """The command that trains with these overrides."""
    return [sys.executable, "-m", "verl.trainer.main_ppo", *(f"{key}={_spell(value)}" for key, value in values.items())]


def _spell(value: Any) -> str:
    """A value in Hydra's grammar of overrides."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Path) or (isinstance(value, str) and not value.startswith("[")):
        return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


def check_prompts(preset: Preset, dataset: Path) -> None:
    """Raise TrainingError for a prompt that is too long, as training with TRL does."""
    processor = vlm.load_processor(preset.model, preset.min_pixels, preset.max_pixels)
    check_lengths(load_rows(dataset, "train", preset), processor, preset)


def launch(preset: Preset, dataset: Path, values: dict[str, Any], out: Path) -> None:
    """Check prompts, compose verl's configuration, which finds wrong keys, write it to OUT/verl.yaml, and train.

    Raises TrainingError where verl is not installed or ends with an error, or for a prompt that is too long, and
    RecipeError for a key that verl does not know.
    """
    if importlib.util.find_spec("verl") is None:
        raise TrainingError(
            "verl is not installed here; it has an environment of its own, into which this package goes without extras"
            " (`make test-verl` builds one), or run the command that --dry-run prints on the cluster"
        )
    check_prompts(preset, dataset)
    words = command(values)
    (out / "verl.yaml").write_text(compose(words[3:]), encoding="utf-8")
    done = subprocess.run(words, check=False)
    if done.returncode:
        raise TrainingError(f"verl ended with status {done.returncode}; its command was: {shlex.join(words)}")


def compose(words: list[str]) -> str:
    """verl's configuration after these overrides, as YAML. Raises RecipeError for a key that verl does not know."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    package = importlib.util.find_spec("verl")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "trainer" / "config"
    try:
        with hydra.initialize_config_dir(str(folder), version_base=None):
            return OmegaConf.to_yaml(hydra.compose("ppo_trainer", words))
    except HydraException as error:
        raise RecipeError(f"verl does not take the configuration: {error}") from None
