"""Presets against transformers, and the estimate against what PEFT, the processor and the trainer count."""

import importlib.util
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spatial_ssrl import vlm
from spatial_ssrl.build import Recipe, build
from spatial_ssrl.cli import app
from spatial_ssrl.errors import DatasetError, MissingExtraError, RecipeError
from spatial_ssrl.presets import shipped
from spatial_ssrl.row import count_rows, read_rows
from spatial_ssrl.train import Preset, train
from spatial_ssrl.train.estimate import GPU_BYTES, Load
from spatial_ssrl.train.plan import _picture_tokens, count_shape, plan, shape_from, shape_of
from spatial_ssrl.train.tiny import make_tiny
from train.helpers import tiny_preset

RECIPES = Path(__file__).parents[2] / "recipes" / "train" / "paper"
SHAPE = Preset.create(RECIPES / "qwen2.5-vl-3b-sft.toml", {}).shape
TEXT = {
    "qwen2.5-vl-3b": {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2}
    | {"intermediate_size": 11008, "vocab_size": 151936, "tie_word_embeddings": True},
    "qwen2.5-vl-7b": {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False},
    "qwen3-vl-4b": {"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8}
    | {"intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": True, "head_dim": 128},
}
VISION = {
    "qwen2.5": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14},
    "qwen3": {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16}
    | {"num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17]},
}
"""As in the config.json of each model on the hub."""


def built_from(name):
    """The model of a preset, without weights."""
    vlm.prepare_torch()
    import torch
    import transformers

    text = TEXT[name]
    kind = transformers.Qwen2_5_VLConfig if name.startswith("qwen2.5") else transformers.Qwen3VLConfig
    vision = VISION[name.split("-")[0]] | {"out_hidden_size": text["hidden_size"], "spatial_merge_size": 2}
    config = kind(text_config=text, vision_config=vision, tie_word_embeddings=text["tie_word_embeddings"])
    with torch.device("meta"):
        return transformers.AutoModelForImageTextToText.from_config(config)


@pytest.mark.parametrize("name", TEXT)
def test_the_shapes_of_the_presets_are_those_of_the_models(name):
    shape = shape_from(built_from(name))
    for stage in ("sft", "grpo"):
        assert Preset.create(RECIPES / f"{name}-{stage}.toml", {}).shape == shape


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny("qwen2_5_vl", ["some text"], None, 0, folder)
    return folder


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_lora_is_counted_as_peft_counts_it(tiny):
    from peft import get_peft_model

    preset = tiny_preset("sft", model=str(tiny), lora={"r": 4, "target_modules": "all-linear"})
    model = get_peft_model(vlm.load(tiny)[0], preset.lora_config())
    shape = count_shape(str(tiny))
    assert model.get_nb_trainable_parameters() == (4 * shape.linear_widths, shape.parameters + 4 * shape.linear_widths)


def test_pictures_are_counted_as_the_processor_counts_them(tiny, puzzles):
    preset = tiny_preset("sft", max_pixels=56 * 56)
    _, processor = vlm.load(tiny, max_pixels=56 * 56)
    for row in [row for _, row in zip(range(4), read_rows(puzzles, "train"), strict=False)]:
        for picture in vlm.pictures(row):
            grid = processor.image_processor(picture, return_tensors="pt")["image_grid_thw"][0]
            assert _picture_tokens(picture.size, 28, preset) == grid.prod() // 4


def test_the_steps_are_those_of_the_run(puzzles, tmp_path):
    trainer = {"max_steps": -1, "num_train_epochs": 1, "gradient_accumulation_steps": 2}
    preset = tiny_preset("sft", trainer=trainer).model_copy(update={"dev": None})
    out = tmp_path / "run"
    train(preset, puzzles, out)
    state = json.loads((out / "trainer_state.json").read_text())
    found = plan(preset.model_copy(update={"model": str(out / "model")}), puzzles, out)
    assert found.steps == state["global_step"]
    assert found.loads[1].batch == 8


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The paper's recipe, scaled down, on small pictures."""
    flags = {"sources": ("synthetic:100?size=112x112&style=plain",), "n": 100}
    out = tmp_path_factory.mktemp("published") / "data"
    build(Recipe.create(RECIPES.parents[1] / "spatial-ssrl-81k.toml", flags), out, 1, "test", lambda done, total: None)
    return out


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_papers_rows_go_with_the_papers_presets(path, published, tmp_path):
    preset = Preset.create(path, {})
    assert plan(preset, published, tmp_path).rows == count_rows(published, "train")
    words = ["train", preset.stage, str(path), "--data", str(published), "--out", str(tmp_path), "--dry-run"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    if preset.stage == "grpo":
        # verl refuses fewer rows than a rollout, and the paper's has 256
        small = ["--set", "trainer.gradient_accumulation_steps=1", "--set", "trainer.steps_per_generation=2"]
        assert CliRunner().invoke(app, [*words, *small, "--engine", "verl"], catch_exceptions=False).exit_code == 0


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_presets_fit_the_gpus_that_they_are_for_with_the_longest_prompts(path, published, tmp_path):
    preset = Preset.create(path, {})
    foreseen = plan(preset, published, tmp_path).loads[preset.gpus]
    longest = preset.max_prompt_tokens + foreseen.longest_reply
    assert replace(foreseen, longest=longest, visual=preset.max_prompt_tokens).fits()


def test_what_does_not_fit_is_said(published, tmp_path):
    words = ["train", "grpo", str(RECIPES / "qwen3-vl-4b-grpo.toml"), "--data", str(published), "--out", str(tmp_path)]
    shown = {n: CliRunner().invoke(app, [*words, "--dry-run", "--gpus", n], catch_exceptions=False) for n in "18"}
    assert re.search(r"^1 GPU of 80 GB: does not fit: \d+ of 80 GB", shown["1"].output, re.MULTILINE)
    assert re.search(r"^8 GPUs of 80 GB: fits: \d+ of 80 GB", shown["8"].output, re.MULTILINE)
    assert [shown[n].exit_code for n in "18"] == [1, 0]


def test_measurements_on_development_rows_take_time_and_are_shared(published, tmp_path):
    preset = Preset.create(RECIPES / "qwen2.5-vl-7b-sft.toml", {"dev": {"every": 2, "rows": 1000}})
    found = plan(preset, published, tmp_path)
    loads, measurements = found.loads, 1 + math.ceil(found.steps / 2)
    assert loads[1].dev_rows == count_rows(published, "validation")
    assert loads[1].measurements == pytest.approx(measurements / found.steps)
    many = [replace(load, dev_rows=256, measurements=1.0) for load in loads.values()]
    one, eight = (load.seconds()["development"] for load in many)
    assert eight == pytest.approx(one / 8)
    assert "development" not in plan(preset.model_copy(update={"dev": None}), published, tmp_path).loads[1].seconds()


def test_a_server_of_vllm_takes_nothing_of_the_gpus_that_train(published, tmp_path):
    own = {"vllm_mode": "server", "vllm_server_base_url": "http://server:8000"}
    preset = Preset.create(RECIPES / "qwen3-vl-4b-grpo.toml", {"trainer": own})
    memory = plan(preset, published, tmp_path).loads[8].memory()
    assert not {"vLLM", "cache"} & set(memory)


def test_without_development_rows_a_plan_fails_as_the_run_does(puzzles, tmp_path):
    dataset = shutil.copytree(puzzles, tmp_path / "data")
    for file in (dataset / "data").glob("validation-*"):
        file.unlink()
    preset = tiny_preset("sft")
    for foresee in (plan, train):
        with pytest.raises(DatasetError, match=r"no split 'validation'; found \['train'\]; .* whose `splits` name it"):
            foresee(preset.model_copy(update={"shape": SHAPE}), dataset, tmp_path / "run")


def load(preset, gpus, **changes):
    wanted = {
        "prompt": 1000.0,
        "reply": 256.0,
        "longest": 3000,
        "visual": 800,
        "mean_visual": 800,
        "longest_reply": 2000,
        "sequences": 5,
        "batch": 640,
    }
    return Load(preset.shape, gpus, **wanted | {"weight_bytes": 4, "generated": 160, "reuse": 2.0} | changes)


def test_memory_and_time_of_seven_billion_parameters():
    preset = Preset.create(RECIPES / "qwen2.5-vl-7b-grpo.toml", {})
    one, eight = load(preset, 1), load(preset, 8)
    assert one.memory()["weights"] + one.memory()["training"] == 16 * 8_292_166_656
    assert eight.memory()["training"] == one.memory()["training"] / 8
    assert sum(one.memory().values()) > GPU_BYTES, "which is why the preset is for eight"
    assert eight.seconds()["training"] == one.seconds()["training"] / 8
    small = load(preset, 8, rank=128, weight_bytes=2, reference=True, generated=0)
    assert small.memory()["weights"] == 2 * 8_292_166_656, "LoRA is not sharded"
    assert "reference" not in small.memory(), "nor does it need one"
    assert "cache" not in load(preset, 8, vllm_share=0.3).memory()


def test_another_number_of_processes_keeps_the_batch(monkeypatch, tmp_path):
    preset = Preset.create(RECIPES / "qwen2.5-vl-7b-grpo.toml", {})
    for processes in (1, 2, 8, 64):
        values = preset.spread(processes)
        assert values["per_device_train_batch_size"] * values["gradient_accumulation_steps"] * processes == 640
        assert values["steps_per_generation"] == 2 * values["gradient_accumulation_steps"]
    with pytest.raises(RecipeError, match=r"gradient_accumulation_steps x gpus is 128 and cannot be spread over 3"):
        preset.spread(3)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert preset.trainer_config(tmp_path).gradient_accumulation_steps == 32


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_vllm_is_missed_before_anything_is_begun(puzzles, tmp_path):
    with pytest.raises(MissingExtraError, match=r"spatial-ssrl\[vllm\]"):
        train(tiny_preset("grpo", trainer={"use_vllm": True}), puzzles, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_shape_that_nobody_knows():
    with pytest.raises(RecipeError, match=r"shape of some/model is not known; .*\[shape\] table"):
        shape_of(Preset(stage="sft", model="some/model"))
    with pytest.raises(RecipeError, match="before it is made"):
        shape_of(Preset.create(shipped("tiny-sft"), {}))


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_dry_run_says_what_would_be_run_and_runs_nothing(path, puzzles, tmp_path, monkeypatch):
    stage, out = path.stem.rpartition("-")[2], tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    words = ["train", stage, str(path), "--data", str(puzzles), "--out", str(out), "--set", "trainer.seed=7", "--dry-run"]
    shown = CliRunner().invoke(app, words, catch_exceptions=False)
    assert shown.exit_code == 0
    assert '"seed": 7' in shown.output
    assert f"{count_rows(puzzles, 'train')} rows" in shown.output
    config = RECIPES.parents[1] / "accelerate" / "fsdp2-8gpu.yaml"
    start = f"accelerate launch --config_file {config} -m spatial_ssrl.cli" if stage == "grpo" else "spatial-ssrl"
    assert f"run: {start} train {stage} {path} --data {puzzles} --out {out}" in shown.output
    assert not out.exists()
