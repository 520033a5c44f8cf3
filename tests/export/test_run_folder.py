"""Run folders: the settings under each trainer's own names, read by the trainer's own code where it is at hand.

`make test-llamafactory` and `make test-swift` bring two of them. EasyR1 is no package: SPATIAL_SSRL_EASYR1 names a checkout.
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from export.helpers import run_export
from spatial_ssrl.config import load_config
from spatial_ssrl.errors import ExportError
from spatial_ssrl.export import FORMATS
from spatial_ssrl.export.settings import Settings
from spatial_ssrl.export.settings import yaml as write_yaml
from spatial_ssrl.train import Preset

RECIPES = Path(__file__).parents[2] / "recipes" / "train" / "paper"
STARTED = {name: form.stage for name, form in FORMATS.items() if form.stage}


def folder_of(dataset, to, out, preset=None):
    """The configuration of an export, and the words of the command that the script runs."""
    settings = load_config(Preset, RECIPES / preset, {}).settings if preset else None
    done = run_export(dataset, to, out, settings=settings)
    assert done.command.startswith(f"sh {out / 'run.sh'}")
    line = (out / "run.sh").read_text().splitlines()[-1]
    return yaml.safe_load((out / "train.yaml").read_text()), shlex.split(line)


@pytest.mark.parametrize("to", STARTED)
@pytest.mark.parametrize("size", [None, "qwen2.5-vl-7b", "qwen3-vl-4b"])
def test_the_settings_are_the_papers(dataset, to, size, tmp_path):
    config, words = folder_of(dataset, to, tmp_path / "out", size and f"{size}-{STARTED[to]}.toml")
    assert words[0] == "exec"
    assert words[-1] == "$@"
    assert str(tmp_path / "out" / "train.yaml") in " ".join(words)
    if to == "easyr1":
        actor, data = config["worker"]["actor"], config["data"]
        assert (actor["global_batch_size"], data["rollout_batch_size"], config["trainer"]["max_steps"]) == (128, 256, 360)
        assert (config["worker"]["rollout"]["n"], config["algorithm"]["kl_coef"], actor["optim"]["lr"]) == (5, 0.01, 1e-6)
        assert (data["max_prompt_length"], data["max_response_length"]) == (4096, 2048)
        assert (data["min_pixels"], data["max_pixels"]) == (262_144, 4_194_304)
    elif to == "swift":
        gpus = int(config["ENV"]["NPROC_PER_NODE"])
        replies = config["per_device_train_batch_size"] * config["gradient_accumulation_steps"] * gpus
        assert (replies, config["num_generations"], config["beta"], config["learning_rate"]) == (128 * 5, 5, 0.01, 1e-6)
        assert config["max_steps"] * config["gradient_accumulation_steps"] / config["steps_per_generation"] == 360
        assert (config["max_length"], config["max_completion_length"]) == (4096, 2048)
    else:
        assert (config["lora_rank"], config["num_train_epochs"], config["learning_rate"]) == (128, 5, 1e-5)
        assert config["max_samples"] == 3600
        assert (config["lr_scheduler_type"], config["warmup_ratio"], config["image_max_pixels"]) == ("cosine", 0.1, 262_144)
        assert (config["per_device_train_batch_size"], config["gradient_accumulation_steps"]) == (4, 8)
        assert config["template"] == ("qwen3_vl" if size == "qwen3-vl-4b" else "qwen2_vl")


@pytest.mark.parametrize("to", STARTED)
def test_a_preset_names_the_model_and_the_command_asks_for_one_without_it(dataset, to, tmp_path):
    preset = Preset.create(RECIPES / f"qwen2.5-vl-3b-{STARTED[to]}.toml", {"model": "some/model"})
    assert run_export(dataset, to, tmp_path, settings=preset.settings).command == f"sh {tmp_path}/run.sh"
    assert "some/model" in (tmp_path / "train.yaml").read_text()
    assert run_export(dataset, to, tmp_path).command.endswith("MODEL")


def test_a_preset_says_whether_an_adapter_is_trained_and_how_replies_are_read(dataset, tmp_path):
    grpo = Preset.create(RECIPES / "qwen2.5-vl-3b-grpo.toml", {"lora": {"r": 8}, "policy": "exact", "partial_credit": True})
    run_export(dataset, "easyr1", tmp_path / "easyr1", settings=grpo.settings)
    worker = yaml.safe_load((tmp_path / "easyr1" / "train.yaml").read_text())["worker"]
    assert worker["actor"]["model"]["lora"]["rank"] == 8
    assert worker["reward"]["reward_function_kwargs"] == {"policy": "exact", "partial": True}
    run_export(dataset, "swift", tmp_path / "swift", settings=grpo.settings)
    assert yaml.safe_load((tmp_path / "swift" / "train.yaml").read_text())["lora_rank"] == 8
    assert "SpatialReward.partial = 'exact', True" in (tmp_path / "swift" / "spatial_reward.py").read_text()
    whole = Preset.create(RECIPES / "qwen2.5-vl-3b-sft.toml", {}).model_copy(update={"lora": None})
    run_export(dataset, "llamafactory", tmp_path / "llamafactory", settings=whole.settings)
    assert yaml.safe_load((tmp_path / "llamafactory" / "train.yaml").read_text())["finetuning_type"] == "full"


def test_the_script_hands_arguments_on(dataset, tmp_path):
    """A program of the trainer's name that prints what it is given."""
    run_export(dataset, "llamafactory", tmp_path / "out of the way")
    (tmp_path / "llamafactory-cli").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "llamafactory-cli").chmod(0o755)
    command = ["sh", str(tmp_path / "out of the way" / "run.sh"), "model_name_or_path=a model"]
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert done.stdout.splitlines() == [
        "train",
        str(tmp_path / "out of the way" / "train.yaml"),
        "model_name_or_path=a model",
    ]


def test_presets_of_the_other_stage_and_trainers_without_settings_are_refused(dataset, tmp_path):
    sft = Preset.create(RECIPES / "qwen2.5-vl-3b-sft.toml", {}).settings
    with pytest.raises(ExportError, match="the preset is of stage 'sft'; this trainer is given one of 'grpo'"):
        run_export(dataset, "easyr1", tmp_path / "a", settings=sft)
    with pytest.raises(ExportError, match="--preset: no settings are written for trl"):
        run_export(dataset, "trl", tmp_path / "b", settings=sft)
    with pytest.raises(ExportError, match="641 replies an update are no whole groups of 5"):
        Settings.create("grpo", {"stage": "grpo", "size": 641, "accumulated": 1, "gpus": 1}).puzzles  # noqa: B018
    assert set(sft) <= {field.name for field in fields(Settings)}, "a preset says nothing that no trainer is told"


@pytest.mark.parametrize("to", ["trl", "verl", *STARTED])
def test_no_trainer_validates_on_the_rows_that_it_trains_on(dataset, to, tmp_path):
    only = tmp_path / "data"
    shutil.copytree(dataset, only)
    for file in [*only.glob("data/validation-*"), *only.glob("data/test-*")]:
        file.unlink()
    if to in ("verl", "easyr1"):
        with pytest.raises(ExportError, match="needs rows to validate on, and there are only those of 'train'"):
            run_export(only, to, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    else:
        command = run_export(only, to, tmp_path / "out").command
        written = [path.read_text() for path in tmp_path.glob("out/train.yaml")]
        assert not re.search("eval|val_dataset|test_split", "".join([command, *written]).replace("per_device_eval", ""))


def test_yaml_keeps_types():
    values = {
        "a": 1e-6,
        "b": 0.01,
        "c": {"d": None, "e": ["x", "y: z"]},
        "f": True,
        "g": "é 'q' \"d\" #",
        "h": 5.0,
        "i": "1e-6",
    }
    assert yaml.safe_load(write_yaml(values)) == values


def test_easyr1_takes_every_key(dataset, tmp_path, monkeypatch):
    if "SPATIAL_SSRL_EASYR1" not in os.environ:
        pytest.skip("EasyR1 is no package: set SPATIAL_SSRL_EASYR1 to a checkout")
    omegaconf = pytest.importorskip("omegaconf")
    checkout = Path(os.environ["SPATIAL_SSRL_EASYR1"])
    package = ModuleType("verl")
    package.__path__ = [str(checkout / "verl")]
    left_out = {"codetiming": "Timer", "verl.workers.rollout.vllm_rollout_spmd": "vLLMRollout"}
    left_out |= {"verl.workers.reward.function": "AutoRewardManager"}
    monkeypatch.setitem(sys.modules, "verl", package)
    for name, needed in left_out.items():  # what needs vLLM and GPUs
        module = ModuleType(name)
        setattr(module, needed, None)
        monkeypatch.setitem(sys.modules, name, module)
    config = importlib.import_module("verl.trainer.config")
    folder_of(dataset, "easyr1", tmp_path / "out", "qwen2.5-vl-7b-grpo.toml")
    given = omegaconf.OmegaConf.load(tmp_path / "out" / "train.yaml")
    theirs = omegaconf.OmegaConf.structured(config.PPOConfig())
    merged = omegaconf.OmegaConf.to_object(omegaconf.OmegaConf.merge(theirs, given))
    merged.deep_post_init()
    assert merged.worker.reward.reward_function_name == "compute_score"
    assert merged.worker.actor.kl_coef == 0.01
    given.worker.actor.no_such_key = 1
    with pytest.raises(omegaconf.errors.ConfigKeyError):
        omegaconf.OmegaConf.merge(theirs, given)


def test_llamafactory_takes_every_key(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("DISABLE_VERSION_CHECK", "1")
    pytest.importorskip("llamafactory", reason="LLaMA-Factory pins an older transformers: make test-llamafactory")
    from spatial_ssrl import vlm

    vlm.prepare_torch()
    from llamafactory.hparams import DataArguments, FinetuningArguments, GeneratingArguments, ModelArguments
    from transformers import HfArgumentParser, Seq2SeqTrainingArguments

    config, _ = folder_of(dataset, "llamafactory", tmp_path / "out", "qwen3-vl-4b-sft.toml")
    kinds = (ModelArguments, DataArguments, FinetuningArguments, GeneratingArguments)
    theirs = {key for kind in (*kinds, Seq2SeqTrainingArguments) for key in kind.__dataclass_fields__}
    old = {"warmup_ratio"}  # which transformers had until 5.6, the newest that it takes
    assert set(config) <= theirs | old
    of_transformers = old | set(Seq2SeqTrainingArguments.__dataclass_fields__)
    parsed = HfArgumentParser(kinds).parse_dict({key: v for key, v in config.items() if key not in of_transformers})
    model, data, tuning, _ = parsed
    assert (tuning.stage, tuning.lora_rank, tuning.lora_alpha, tuning.lora_target) == ("sft", 128, 256, ["all"])
    assert (data.cutoff_len, model.image_max_pixels) == (4096, 262_144)
    assert (data.template, data.eval_dataset) == ("qwen3_vl", ["spatial_ssrl_validation"])
