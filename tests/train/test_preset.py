from pathlib import Path

import pytest

from spatial_ssrl.build import Recipe
from spatial_ssrl.errors import RecipeError
from spatial_ssrl.presets import shipped
from spatial_ssrl.train import Preset

ROOT = Path(__file__).parents[2]
PRESETS = [*(ROOT / "recipes" / "train").glob("*/*.toml"), shipped("tiny-sft"), shipped("tiny-grpo")]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_shipped_presets_become_configs_of_trl_and_peft(path, tmp_path):
    preset = Preset.create(path, {})
    assert preset.stage in path.stem
    config = preset.trainer_config(tmp_path)
    assert config.learning_rate == preset.trainer["learning_rate"]
    assert not config.remove_unused_columns
    if preset.stage == "grpo":
        assert config.generation_batch_size % config.num_generations == 0
    else:
        assert config.max_length is None
    lora = preset.lora_config()
    assert (lora is None) == (preset.lora is None)


@pytest.mark.parametrize("name", ["qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-4b"])
def test_the_paper_settings(name, tmp_path):
    sft = Preset.create(ROOT / "recipes" / "train" / "paper" / f"{name}-sft.toml", {})
    config = sft.trainer_config(tmp_path)
    assert (sft.lora_config().r, config.num_train_epochs, config.learning_rate, sft.rows) == (128, 5, 1e-5, 3600)
    assert sft.max_pixels == 262_144
    assert (config.lr_scheduler_type, config.get_warmup_steps(560)) == ("cosine", 56)
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (4, 8)
    preset = Preset.create(ROOT / "recipes" / "train" / "paper" / f"{name}-grpo.toml", {})
    grpo = preset.trainer_config(tmp_path)
    assert (grpo.num_generations, grpo.temperature, grpo.beta, grpo.learning_rate) == (5, 1.0, 0.01, 1e-6)
    assert (grpo.max_completion_length, preset.min_pixels, preset.max_pixels) == (2048, 262_144, 4_194_304)
    assert grpo.per_device_train_batch_size * grpo.gradient_accumulation_steps == 128 * grpo.num_generations
    assert grpo.generation_batch_size == 256 * grpo.num_generations
    assert grpo.max_steps * grpo.gradient_accumulation_steps / grpo.steps_per_generation == 360


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"learning": 1}, "learning: Extra inputs"),
        ({"dev": {"evry": 1}}, "dev.evry"),
        ({"dev": {"every": 0}}, "dev.every"),
        ({"stage": "ppo"}, "of stage 'sft', not 'ppo'"),
        ({"model": "tiny:llama"}, "no tiny model 'tiny:llama'"),
        ({"model": "some/model", "tokenizer": "other/model"}, "has its own"),
    ],
)
def test_wrong_keys_are_named(flags, message):
    with pytest.raises(RecipeError, match=message):
        Preset.create(shipped("tiny-sft"), flags)


@pytest.mark.parametrize(
    ("stage", "flags", "message"),
    [
        (
            "sft",
            {"trainer": {"lerning_rate": 1}},
            r"SFTConfig of trl \S+ has no such key; did you mean learning_rate\?",
        ),
        ("sft", {"trainer": {"zzzzzz": 1}}, "trainer.zzzzzz: .* has no such key; remove it"),
        ("sft", {"trainer": {"warmup_ratio": 0.1}}, "set warmup_steps, where a value below 1 is a share"),
        (
            "grpo",
            {"trainer": {"max_prompt_length": 512}},
            "older releases had; set max_prompt_tokens, a key of the preset",
        ),
        ("grpo", {"trainer": {"num_generations": 7}}, "GRPOConfig refuses it: .*divisible"),
        ("sft", {"lora": {"rank": 8}}, r"lora.rank: LoraConfig of peft \S+ has no such key"),
    ],
)
def test_keys_that_trl_or_peft_do_not_know_are_named(stage, flags, message, tmp_path):
    preset = Preset.create(shipped(f"tiny-{stage}"), flags)
    with pytest.raises(RecipeError, match=message):
        preset.trainer_config(tmp_path) and preset.lora_config()


def test_flags_are_laid_over_tables(tmp_path):
    preset = Preset.create(shipped("tiny-sft"), {"trainer": {"seed": 7}, "model": "here", "tokenizer": None})
    assert preset.trainer["seed"] == 7
    assert preset.trainer["max_steps"] == Preset.create(shipped("tiny-sft"), {}).trainer["max_steps"]
    assert preset.model == "here"


def test_a_preset_of_the_other_stage_is_refused():
    assert Preset.create(shipped("tiny-sft"), {"stage": "sft"}).stage == "sft"
    with pytest.raises(RecipeError, match="of stage 'sft', not 'grpo'"):
        Preset.create(shipped("tiny-sft"), {"stage": "grpo"})


@pytest.mark.parametrize("text", ["stage = ", "\0"])
def test_a_file_that_is_not_toml(text, tmp_path):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"cannot read .*p\.toml"):
        Preset.create(tmp_path / "p.toml", {})


def test_the_demo_recipe_has_the_three_splits():
    recipe = Recipe.create(shipped("demo"), {})
    assert list(recipe.splits) == ["train", "validation", "test"]
    weights = {entry.task: entry.weight for entry in recipe.tasks}
    assert weights["shuffle"] > sum(weights.values()) / 2


def test_a_shape_is_known_by_its_name():
    named = Preset.create(shipped("tiny-sft"), {"shape": "qwen2.5-vl-7b"})
    assert named.shape.parameters == 8_292_166_656
    assert Preset.model_validate(named.model_dump()) == named, "as a run's preset.json has it"
    with pytest.raises(RecipeError, match=r"shape: 'qwen9' is unknown; known: qwen2\.5-vl-3b, .*\[shape\]"):
        Preset.create(shipped("tiny-sft"), {"shape": "qwen9"})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "recipes" / "train").glob("*x*gb/*.toml")), ids=lambda p: p.parent.name + p.stem
)
def test_what_practical_presets_share(path, tmp_path):
    preset = Preset.create(path, {})
    config = preset.trainer_config(tmp_path)
    assert (preset.max_pixels, preset.max_prompt_tokens) == (401_408, 3072)
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps  # spread(1): of all GPUs
    assert (preset.lora is None) == (preset.gpus == 8)
    if preset.stage == "sft":
        assert (batch, preset.rows, config.num_train_epochs) == (32, 3600, 5)
        return
    assert (config.num_generations, config.max_completion_length, config.beta) == (8, 1024, 0.01)
    assert batch == (128 if preset.gpus == 8 else 64)
    assert config.learning_rate == (1e-6 if preset.lora is None else 1e-5)
    assert config.use_vllm == (preset.gpu_memory > 24)
    if config.use_vllm:
        assert config.vllm_max_model_length == preset.max_prompt_tokens + config.max_completion_length
    assert bool(preset.quantize) == (path.parent.name == "1x24gb" and "7b" in path.stem)
