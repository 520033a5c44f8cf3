"""The translation of presets to verl. Where hydra and verl are installed (`make test-verl`), verl composes it."""

import asyncio
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conftest import run_cli
from spatial_ssrl import vlm
from spatial_ssrl.cli import app
from spatial_ssrl.errors import RecipeError, TrainingError
from spatial_ssrl.train import Preset, verl

INSTALLED = importlib.util.find_spec("verl") is not None
needs_verl = pytest.mark.skipif(not INSTALLED, reason="verl has an environment of its own: make test-verl")
RECIPES = sorted((Path(__file__).parents[2] / "recipes" / "train" / "paper").glob("*-grpo.toml"))


def overrides_of(path, nodes=1, rows=10_000, **flags):
    return verl.overrides(Preset.create(path, flags), Path("/data here"), Path("/runs/a"), rows, nodes)


def without_steps(**trainer):
    """A flag that replaces max_steps, which no flag can unset, by TRL's value for "no limit"."""
    return {"trainer": {"max_steps": -1, **trainer}}


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
        ({"tasks": ["crop"]}, "tasks: verl trains on all rows of the dataset, not on crop alone"),
        (without_steps(num_train_epochs=1.5), r"whole epochs, and 1\.5 is none; set trainer\.max_steps"),
    ],
)
def test_what_cannot_be_translated_is_named(flags, message):
    with pytest.raises(RecipeError, match=message):
        overrides_of(RECIPES[0], nodes=2, **flags)


@pytest.mark.parametrize("rows", [256, 300, 767, 3_071, 3_072, 50_000])
def test_no_step_is_cut_by_epochs(rows):
    values = overrides_of(RECIPES[0], rows=rows)
    # What verl's trainer_base.py does: whole rollouts an epoch, and an end after total_epochs, whatever the steps.
    rollouts_an_epoch = rows // values["data.train_batch_size"]
    assert rollouts_an_epoch * values["trainer.total_epochs"] >= values["trainer.total_training_steps"] == 360
    assert rollouts_an_epoch * (values["trainer.total_epochs"] - 1) < 360, "no more epochs than it takes"


def test_steps_of_the_table_verl_are_not_cut_either():
    values = overrides_of(RECIPES[0], rows=256, verl={"trainer.total_training_steps": 1000})
    assert values["trainer.total_epochs"] == 1000


def test_epochs_of_a_preset_without_steps():
    values = overrides_of(RECIPES[0], **without_steps(num_train_epochs=7))
    assert values["trainer.total_epochs"] == 7
    assert "trainer.total_training_steps" not in values
    assert overrides_of(RECIPES[0], **without_steps())["trainer.total_epochs"] == 3, "as TRL"
    assert overrides_of(RECIPES[0], trainer={"num_train_epochs": 1}, rows=256)["trainer.total_epochs"] == 360, "as TRL"


def test_rows_that_do_not_fill_a_rollout_are_refused():
    with pytest.raises(TrainingError, match="the 255 training rows do not fill one rollout of 256 puzzles; build more"):
        overrides_of(RECIPES[0], rows=255)


def test_checkpoints_are_bounded():
    assert overrides_of(RECIPES[0])["trainer.max_actor_ckpt_to_keep"] == 2
    assert overrides_of(RECIPES[0], trainer={"save_total_limit": 5})["trainer.max_actor_ckpt_to_keep"] == 5
    kept = overrides_of(RECIPES[0], verl={"trainer.max_actor_ckpt_to_keep": 9})
    assert kept["trainer.max_actor_ckpt_to_keep"] == 9


def test_one_pixel_limit_without_the_other_is_refused(tmp_path):
    preset = tmp_path / "preset.toml"
    preset.write_text(RECIPES[0].read_text().replace("min_pixels", "# min_pixels"))
    with pytest.raises(RecipeError, match="min_pixels: verl needs both limits or none"):
        overrides_of(preset)


def test_attention_is_flash_attn_only_where_it_is_installed(tmp_path, monkeypatch):
    without = overrides_of(RECIPES[0])
    assert without["+actor_rollout_ref.model.override_config.attn_implementation"] == "sdpa"
    assert without["actor_rollout_ref.model.use_remove_padding"] is False
    (tmp_path / "flash_attn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert not [key for key in overrides_of(RECIPES[0]) if "attn" in key or "padding" in key]


def test_a_prompt_that_is_too_long_is_named_and_nothing_is_dropped(tiny_model, puzzles):
    flags = {"model": str(tiny_model), "min_pixels": 1}
    verl.check_prompts(Preset.create(RECIPES[0], flags), puzzles)
    with pytest.raises(TrainingError, match=r"more tokens than max_prompt_tokens=50; row \w+ has \d+"):
        verl.check_prompts(Preset.create(RECIPES[0], flags | {"max_prompt_tokens": 50}), puzzles)
    assert overrides_of(RECIPES[0])["data.filter_overlong_prompts"] is False


FEW = ("gpus=1", "trainer.gradient_accumulation_steps=2", "trainer.steps_per_generation=4")
SMALL = [word for flag in FEW for word in ("--set", flag)]
"""Batches that a few rows fill."""


def run_grpo(puzzles, out, *options):
    words = ["train", "grpo", str(RECIPES[0]), "--data", str(puzzles), "--out", str(out), "--engine", "verl", *options]
    return CliRunner().invoke(app, words)


def test_a_dry_run_prints_the_command(puzzles, tmp_path):
    shown = run_grpo(puzzles, tmp_path / "run", "--model", "some/model", "--dry-run", *SMALL)
    _, m, module, *values = shlex.split(shown.output)
    assert (m, module) == ("-m", "verl.trainer.main_ppo")
    assert "actor_rollout_ref.model.path='some/model'" in values
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(INSTALLED, reason="verl is installed")
def test_without_verl_the_run_folder_is_ready_and_the_error_says_how(puzzles, tmp_path):
    shown = run_grpo(puzzles, tmp_path / "run", *SMALL)
    assert isinstance(shown.exception, TrainingError)
    assert "environment of its own" in str(shown.exception)
    written = {path.name for path in (tmp_path / "run" / "data").iterdir()}
    assert {"train.parquet", "validation.parquet", "spatial_reward.py"} <= written


def test_another_version_of_verl_is_refused(tmp_path, monkeypatch, puzzles):
    (tmp_path / "site" / "verl").mkdir(parents=True)
    (tmp_path / "site" / "verl" / "__init__.py").touch()
    (tmp_path / "site" / "verl-0.8.0.dist-info").mkdir()
    (tmp_path / "site" / "verl-0.8.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: verl\nVersion: 0.8.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    shown = run_grpo(puzzles, tmp_path / "run", *SMALL)
    assert isinstance(shown.exception, TrainingError)
    assert "verl 0.8.0 is installed, and its keys are written for verl 0.9.1; run: pip install" in str(shown.exception)


def test_of_what_a_process_died_is_told_in_one_line(capfdbinary):
    status, errors = verl._run([sys.executable, "-c", "import sys; sys.stdout.write('step 1'); raise ValueError('no GPU')"])
    assert (status, verl._cause(errors)) == (1, "ValueError: no GPU")
    shown = capfdbinary.readouterr()
    assert shown.out == b"step 1"
    assert (
        verl._cause("ray.exceptions.RayTaskError(ValueError): ray::run()\nException: late\n\nSet HYDRA") == "Exception: late"
    )
    assert verl._run([sys.executable, "-c", ""]) == (0, "")
    assert verl._cause("Killed") == "no exception was printed"


@needs_verl
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_verl_composes_it(path):
    import yaml

    config = yaml.safe_load(verl.compose(verl.command(overrides_of(path))[3:]))
    assert config["trainer"]["total_training_steps"] == 360
    assert config["trainer"]["max_actor_ckpt_to_keep"] == 2
    assert config["actor_rollout_ref"]["actor"]["use_kl_loss"] is True
    assert config["actor_rollout_ref"]["model"]["override_config"]["attn_implementation"] == "sdpa"
    assert config["data"]["train_files"] == "/data here/train.parquet"
    assert json.dumps(config["data"]["mm_processor_kwargs"]) == '{"min_pixels": 262144, "max_pixels": 4194304}'


@needs_verl
def test_a_key_that_verl_does_not_know_is_told_in_one_line():
    with pytest.raises(RecipeError) as caught:
        verl.compose(["data.no_such_key=1"])
    assert re.fullmatch(
        "verl does not take the configuration: Could not override 'data.no_such_key'; look at .*", str(caught.value)
    )


class Generator:
    """Where verl's agent loop sends prompts: notes them, and replies with a text that holds tokens around pictures."""

    def __init__(self, processor):
        self.requests = []
        self.reply = processor.tokenizer("<|vision_start|> text <|vision_end|>")["input_ids"]

    async def generate(self, request_id, **request):
        from verl.workers.rollout.replica import TokenOutput

        self.requests.append(request)
        return TokenOutput(token_ids=self.reply)


@needs_verl
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_generator_and_trainer_see_the_same_pixels(family, tiny_model, puzzles, tmp_path):
    vlm.prepare_torch()
    from omegaconf import OmegaConf
    from verl import DataProto
    from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
    from verl.workers.rollout.utils import get_vision_placeholder_token_ids, qwen2_5_vl_dedup_image_tokens

    from spatial_ssrl.export import export

    model = tiny_model if family == "qwen2_5_vl" else tiny_model.with_name("tiny-qwen3-vl")
    export(puzzles, "verl", tmp_path / "data", progress=lambda done, total: None)
    flags = {"model": str(model), "min_pixels": 20_000, "max_pixels": 40_000, "max_prompt_tokens": 600}
    preset = Preset.create(RECIPES[0], {**flags, "trainer": {"max_completion_length": 16}})
    values = verl.overrides(preset, tmp_path / "data", tmp_path, rows=1000)
    config = OmegaConf.create(verl.compose(verl.command(values)[3:]))
    processor = vlm.load_processor(model)
    read = RLHFDataset(config.data.train_files, processor.tokenizer, config.data, processor)
    rows = list({row["extra_info"]["task"]: row for row in (read[i] for i in range(len(read)))}.values())
    generator = Generator(processor)
    worker = AgentLoopWorker(config, llm_client=generator)
    trained = asyncio.run(worker.generate_sequences(DataProto.from_single_dict(collate_fn(rows))))

    assert {len(request["image_data"]) for request in generator.requests} == {1, 5}
    for inputs, mask, multimodal in zip(
        trained.batch["input_ids"],
        trained.batch["attention_mask"],
        trained.non_tensor_batch["multi_modal_inputs"],
        strict=True,
    ):
        tokens = inputs[mask.bool()].tolist()
        prompt = tokens[: len(tokens) - len(generator.reply)]
        [request] = [request for request in generator.requests if request["prompt_ids"] == prompt]
        assert request["mm_processor_kwargs"] == {"min_pixels": 20_000, "max_pixels": 40_000}
        sent = qwen2_5_vl_dedup_image_tokens(request["prompt_ids"], processor)
        assert sent.count(processor.image_token_id) == len(request["image_data"]), "vLLM expands each pad once"
        # What vLLM makes of it: the same processor, on the request's pictures, with the request's limits.
        texts = [processor.tokenizer.decode(sent)]
        made = processor(text=texts, images=request["image_data"], return_tensors="pt", **request["mm_processor_kwargs"])
        assert made["input_ids"][0].tolist() == prompt
        assert made["pixel_values"].equal(multimodal["pixel_values"])
        sides = multimodal["image_grid_thw"] * processor.image_processor.patch_size
        areas = (sides[:, 1] * sides[:, 2]).tolist()
        assert all(20_000 <= area <= 40_000 for area in areas), "in the preset's limits, not the model's own"
    banned = get_vision_placeholder_token_ids(processor)  # verl has vLLM never sample these
    assert banned == [processor.image_token_id, processor.video_token_id]


@needs_verl
def test_attention_without_flash_attn_is_the_models_own(tiny_model):
    script = Path(__file__).with_name("verl_attention.py")
    words = [sys.executable, str(script), str(RECIPES[0]), str(tiny_model)]
    shown = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True).stdout
    found = dict(
        line.split(maxsplit=1) for line in shown.splitlines() if line.startswith(("difference ", "packed ", "default "))
    )
    assert float(found["difference"]) < 1e-4
    assert found["packed"] == "NameError", "without padding verl calls flash-attn; else use_remove_padding could stay"
    assert found["default"] == "ImportError", "verl's default needs flash-attn; else it could stay"


@needs_verl
@pytest.mark.timeout(900)
def test_verl_starts_on_ray_and_asks_for_gpus(puzzles, tiny_model, tmp_path):
    # Ray gives each of TransferQueue's processes a CPU, and waits for them forever where there are too few.
    on_few_cpus = '{"ray_kwargs.ray_init.num_cpus"=16, "transfer_queue.backend.SimpleStorage.num_data_storage_units"=1}'
    small = ["--set", "min_pixels=3136", "--set", "max_pixels=12544", "--set", f"verl={on_few_cpus}"]
    out = tmp_path / "run"
    words = ["train", "grpo", RECIPES[0], "--data", puzzles, "--out", out, "--engine", "verl", "--model", tiny_model]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "RAY_USAGE_STATS_ENABLED": "0"}
    done = run_cli(*words, *SMALL, *small, timeout=840, env=environment)
    assert done.returncode == 2, done.stderr[-2000:]
    last = [line for line in done.stderr.splitlines() if line.startswith("error: ")][-1]
    assert "Total available GPUs 0 is less than total desired GPUs 1" in last, done.stderr[-2000:]
    assert str(out / "verl.yaml") in last
