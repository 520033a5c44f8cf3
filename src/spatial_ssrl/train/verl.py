"""GRPO by verl on a Ray cluster: a preset as overrides of verl's Hydra configuration (verl 0.9.1), and its launch.

TRL's keys of a preset are translated; what has no counterpart stands in the preset's table `verl`, whose keys go
to verl as they are. A step of verl is one rollout: several of TRL's updates. Kept here, since verl pins an older
transformers: this file needs no TRL, so verl can live in an environment with this package's core.
"""

import importlib.metadata
import importlib.util
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from spatial_ssrl import vlm
from spatial_ssrl.errors import RecipeError, TrainingError
from spatial_ssrl.train.data import check_lengths, load_rows
from spatial_ssrl.train.preset import Preset

VERSION = "0.9.1"
"""Of verl. Its keys change between minor versions, and so do the places that want flash-attn."""
ACTOR, MODEL, ROLLOUT = "actor_rollout_ref.actor", "actor_rollout_ref.model", "actor_rollout_ref.rollout"
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
    "save_total_limit": "trainer.max_actor_ckpt_to_keep",
    "seed": "data.seed",
}
"""Keys of TRL that verl has under another name."""
BATCH = ("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "beta")
STEPS = {"max_steps": "trainer.total_training_steps", "save_steps": "trainer.save_freq"}
EPOCHS = "num_train_epochs"
DEFAULT_EPOCHS = 3
"""TRL's own, where a preset gives neither max_steps nor num_train_epochs; verl's would be 30."""
SEED = 42
"""TRL's own. Without one verl shuffles rows, and chooses those of the validation split, anew in each process."""
CHECKPOINTS = 2
"""How many are kept, as with TRL. verl would keep all: a run of the paper's settings saves 36, of the 7B 100 GB each."""
ONLY_TRL = ("use_vllm", "vllm_mode", "vllm_max_model_length", "vllm_enable_sleep_mode", "logging_steps")
"""Keys that say nothing to verl: its rollouts are vLLM's, and it logs every step."""


def overrides(preset: Preset, data: Path, out: Path, rows: int, nodes: int = 1) -> dict[str, Any]:
    """verl's configuration for a preset of stage grpo, on an export of `rows` training rows in the folder `data`.

    The preset's `gpus` are those of all nodes. Raises RecipeError for a key of the preset that cannot be translated, and
    TrainingError where the rows do not fill one rollout.
    """
    _check(preset)
    per_node, rest = divmod(preset.gpus, nodes)
    if rest:
        raise RecipeError(f"gpus: {preset.gpus} cannot be spread over {nodes} nodes")
    values = {RENAMED[key]: value for key, value in preset.trainer.items() if key in RENAMED}
    adapter = {f"{MODEL}.{_lora_key(key)}": value for key, value in (preset.lora or {}).items()}
    reward = "+reward.custom_reward_function.reward_kwargs"
    policy = {f"{reward}.policy": preset.policy, f"{reward}.partial": preset.partial_credit}
    batches = _batches(preset)
    return {
        "algorithm.adv_estimator": "grpo",
        f"{MODEL}.path": preset.model,
        f"{ROLLOUT}.name": "vllm",
        f"{ROLLOUT}.tensor_model_parallel_size": 1,
        "data.train_files": data / "train.parquet",
        "data.val_files": data / "validation.parquet",
        "data.max_prompt_length": preset.max_prompt_tokens,
        "data.filter_overlong_prompts": False,  # verl would drop them without a word
        "data.seed": SEED,
        "reward.custom_reward_function.path": data / "spatial_reward.py",
        "trainer.nnodes": nodes,
        "trainer.n_gpus_per_node": per_node,
        "trainer.default_local_dir": out / "checkpoints",
        "trainer.max_actor_ckpt_to_keep": CHECKPOINTS,
        "trainer.project_name": "spatial-ssrl",
        "trainer.experiment_name": out.name,
        "trainer.logger": "[console,tensorboard]",
        **policy,
        **_pixels(preset),
        **_attention(),
        **adapter,
        **values,
        **batches,
        "trainer.total_epochs": _epochs(preset, rows, {**batches, **preset.verl}),
        **preset.verl,
    }


def _check(preset: Preset) -> None:
    """Raise RecipeError for what verl could not be told, or would not heed."""
    unknown = sorted(set(preset.trainer) - {*RENAMED, *BATCH, *STEPS, *ONLY_TRL, EPOCHS})
    if preset.stage != "grpo" or unknown:
        what = f"trainer.{unknown[0]}" if unknown else f"stage {preset.stage!r}"
        raise RecipeError(f"{what}: verl is not given it; put verl's own keys in the table verl, or train with TRL")
    if preset.stream:
        raise RecipeError("stream: verl trains on the rows of a dataset folder; leave out the table, or train with TRL")
    if preset.tasks:
        raise RecipeError(
            f"tasks: verl trains on all rows of the dataset, not on {', '.join(preset.tasks)} alone;"
            " build a dataset of these tasks, or train with TRL"
        )


def _pixels(preset: Preset) -> dict[str, Any]:
    """The preset's pixel limits for all who process a picture: verl's data set, its agent loop, which hands them to vLLM
    with each request, and the trainer, which takes them from the agent loop's output.

    The image processor of transformers ignores one limit without the other, and would use those saved with the model.
    """
    limits = {"min_pixels": preset.min_pixels, "max_pixels": preset.max_pixels}
    missing = [name for name, value in limits.items() if not value]
    if len(missing) == 1:
        raise RecipeError(f"{missing[0]}: verl needs both limits or none, and the preset has one; set {missing[0]}, too")
    given = {f"+data.mm_processor_kwargs.{name}": value for name, value in limits.items() if value}
    side = {"data.image_patch_size": preset.shape.token_side // 2} if preset.shape else {}
    return given | side


def _attention() -> dict[str, Any]:
    """Attention by PyTorch where flash-attn is not installed.

    verl's default is flash_attention_2, of the vision tower as well. Packing replies without padding needs it a second
    time: verl then replaces Qwen2.5-VL's attention by flash-attn's varlen function, whatever the implementation. What
    else it imports of flash-attn (cross-entropy, bert_padding) it replaces by itself.
    """
    if importlib.util.find_spec("flash_attn"):
        return {}
    return {f"+{MODEL}.override_config.attn_implementation": "sdpa", f"{MODEL}.use_remove_padding": False}


def _epochs(preset: Preset, rows: int, values: dict[str, Any]) -> int:
    """Epochs after which verl ends: enough for the preset's max_steps, which verl would else cut short, or the preset's."""
    rollout = values["data.train_batch_size"]
    steps_an_epoch = rows // rollout
    if not steps_an_epoch:
        raise TrainingError(
            f"the {rows} training rows do not fill one rollout of {rollout} puzzles; build more rows, or set a smaller"
            " trainer.per_device_train_batch_size, gradient_accumulation_steps or steps_per_generation"
        )
    if steps := values.get(STEPS["max_steps"]):
        return math.ceil(steps / steps_an_epoch)
    epochs = preset.trainer.get(EPOCHS, DEFAULT_EPOCHS)
    if epochs != int(epochs):
        raise RecipeError(f"trainer.{EPOCHS}: verl counts whole epochs, and {epochs} is none; set trainer.max_steps instead")
    return int(epochs)


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
    beta, dev = given.get("beta", 0.0), {}
    if preset.dev:
        dev = {"trainer.test_freq": max(1, preset.dev.every // reuse), "data.val_max_samples": preset.dev.rows}
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
    _need_verl()
    words = command(values)
    composed = compose(words[3:])
    check_prompts(preset, dataset)
    (out / "verl.yaml").write_text(composed, encoding="utf-8")
    # Hydra writes its log into the working directory else
    status, errors = _run([*words, f"hydra.run.dir={_spell(out / 'hydra')}"])
    if status:
        raise TrainingError(
            f"verl ended with status {status}: {_cause(errors)}; its messages are above, its configuration is in"
            f" {out / 'verl.yaml'}, and the same command goes on from the last checkpoint"
        )


def _need_verl() -> None:
    """Raise TrainingError where the verl that the configuration is written for is not installed."""
    install = f"pip install 'verl[vllm]=={VERSION}' -e . -c constraints-verl.txt"
    if importlib.util.find_spec("verl") is None:
        raise TrainingError(
            "verl is not installed here; it has an environment of its own, into which this package goes without extras"
            f" ({install}), or run the command that --dry-run prints on the cluster"
        )
    if (found := importlib.metadata.version("verl")) != VERSION:
        raise TrainingError(f"verl {found} is installed, and its keys are written for verl {VERSION}; run: {install}")


def _run(words: list[str]) -> tuple[int, str]:
    """Run a command whose errors are shown as they come; its status and the end of its errors."""
    last = b""
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        # By what there is, not by lines: a progress bar ends none until it is full.
        while piece := process.stderr.read1(1 << 16):  # type: ignore[attr-defined]
            sys.stderr.buffer.write(piece)
            sys.stderr.buffer.flush()
            last = (last + piece)[-(1 << 16) :]
    return process.returncode, last.decode(errors="replace")


def _cause(errors: str) -> str:
    """The last exception that a process printed, without its traceback."""
    named = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit): .+$", errors, re.MULTILINE)
    return named[-1].strip().rstrip(".?!") if named else "no exception was printed"


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
        said = " ".join(str(error).splitlines()[0].split()).rstrip(".")
        raise RecipeError(
            f"verl does not take the configuration: {said}; look at the keys of the preset's table verl"
            f" (those that verl {VERSION} does not have by itself begin with a +)"
        ) from None
