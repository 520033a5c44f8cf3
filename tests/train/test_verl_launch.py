"""The translation of presets to verl. Where hydra and verl are installed (`make test-verl`), verl composes it."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spatial_ssrl.cli import app
from spatial_ssrl.errors import RecipeError, TrainingError
from spatial_ssrl.train import Preset, verl

RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "train" / "paper").glob("*-grpo.toml"))


def overrides_of(path, nodes=1, **flags):
    return verl.overrides(Preset.create(path, flags), Path("/data here"), Path("/runs/a"), nodes)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_paper_settings_in_the_units_of_verl(path):
    values = overrides_of(path, nodes=2)
    assert values["actor_rollout_ref.actor.ppo_mini_batch_size"] == 128, "puzzles an update"
    assert values["data.train_batch_size"] == 256, "puzzles a rollout"
    assert values["trainer.total_training_steps"] == 360, "rollouts"
    assert (values["trainer.nnodes"], values["trainer.n_gpus_per_node"]) == (2, 4)
    assert (values["actor_rollout_ref.rollout.n"], values["actor_rollout_ref.actor.kl_loss_coef"]) == (5, 0.01)
    assert (values["data.max_prompt_length"], values["data.max_response_length"]) == (4096, 2048)
    assert values["data.image_patch_size"] == (16 if "qwen3" in path.stem else 14)


def test_lora_and_keys_of_verl():
    values = overrides_of(RECIPES[0], lora={"r": 8, "lora_alpha": 16}, verl={"data.shuffle": False})
    assert values["actor_rollout_ref.model.lora_rank"] == 8
    assert "data.shuffle=false" in verl.command(values)
    assert "data.train_files='/data here/train.parquet'" in verl.command(values)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"trainer": {"epsilon_high": 0.28}}, r"trainer\.epsilon_high: verl is not given it; put verl's own keys"),
        ({"lora": {"use_dora": True}}, r"lora\.use_dora"),
        ({"gpus": 7}, "gpus: 7 cannot be spread over 2 nodes"),
        ({"trainer": {"steps_per_generation": 24}}, "whole updates a rollout"),
    ],
)
def test_what_cannot_be_translated_is_named(flags, message):
    with pytest.raises(RecipeError, match=message):
        overrides_of(RECIPES[0], nodes=2, **flags)


def test_a_prompt_that_is_too_long_is_named_and_nothing_is_dropped(tiny_model, puzzles):
    flags = {"model": str(tiny_model), "min_pixels": 1}
    verl.check_prompts(Preset.create(RECIPES[0], flags), puzzles)
    with pytest.raises(TrainingError, match=r"more tokens than max_prompt_tokens=50; row \w+ has \d+"):
        verl.check_prompts(Preset.create(RECIPES[0], flags | {"max_prompt_tokens": 50}), puzzles)
    assert overrides_of(RECIPES[0])["data.filter_overlong_prompts"] is False


def run_grpo(puzzles, out, *options):
    words = ["train", "grpo", str(RECIPES[0]), "--data", str(puzzles), "--out", str(out), "--engine", "verl", *options]
    return CliRunner().invoke(app, words)


def test_a_dry_run_prints_the_command(puzzles, tmp_path):
    shown = run_grpo(puzzles, tmp_path / "run", "--model", "some/model", "--dry-run")
    _, m, module, *values = shlex.split(shown.output)
    assert (m, module) == ("-m", "verl.trainer.main_ppo")
    assert "actor_rollout_ref.model.path='some/model'" in values
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("verl") is not None, reason="verl is installed")
def test_without_verl_the_run_folder_is_ready_and_the_error_says_how(puzzles, tmp_path):
    shown = run_grpo(puzzles, tmp_path / "run")
    assert isinstance(shown.exception, TrainingError)
    assert "environment of its own" in str(shown.exception)
    written = {path.name for path in (tmp_path / "run" / "data").iterdir()}
    assert {"train.parquet", "validation.parquet", "spatial_reward.py"} <= written


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_verl_composes_it(path):
    pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")
    import yaml

    config = yaml.safe_load(verl.compose(verl.command(overrides_of(path))[3:]))
    assert config["trainer"]["total_training_steps"] == 360
    assert config["actor_rollout_ref"]["actor"]["use_kl_loss"] is True
    assert config["data"]["train_files"] == "/data here/train.parquet"
    assert json.dumps(config["data"]["mm_processor_kwargs"]) == '{"min_pixels": 262144, "max_pixels": 4194304}'
    with pytest.raises(RecipeError, match="verl does not take the configuration"):
        verl.compose(["data.no_such_key=1"])
