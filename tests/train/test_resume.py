"""Runs killed by the system at steps drawn beforehand end as if they had not been."""

import signal
import subprocess
import sys
import time

import pytest

from spatial_ssrl.errors import RecipeError
from spatial_ssrl.rng import generator
from spatial_ssrl.train import train
from train.helpers import assert_same_run, tiny_preset

CODE = """
import sys
from pathlib import Path
from spatial_ssrl.train import Preset, train
train(Preset.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
"""
STEPS = 8


def preset_of(stage, model):
    """Batches that cross epochs, dropout, accumulation; in GRPO a generation that serves two updates."""
    if stage == "sft":
        lora = {"r": 4, "target_modules": "all-linear", "lora_dropout": 0.2}
        trainer = {"gradient_accumulation_steps": 2, "save_steps": 1, "learning_rate": 1e-2}
        return tiny_preset(stage, lora=lora, trainer={"max_steps": STEPS, **trainer}, dev={"every": 3})
    trainer = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "save_steps": 2, "beta": 0.01}
    return tiny_preset(stage, model=model, replies_every=4, trainer={"max_steps": STEPS, **trainer}, dev={"every": 3})


def kill_at(step, preset, puzzles, out):
    """Start the run, or go on with it, and kill it once it has begun to write the checkpoint of a step."""
    command = [sys.executable, "-c", CODE, preset.model_dump_json(), str(puzzles), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / f"checkpoint-{step}").exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.timeout(900)
@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_killed_run_goes_on_to_the_same_end(stage, cold_start, puzzles, tmp_path):
    preset = preset_of(stage, str(cold_start / "model"))
    whole, out = tmp_path / "whole", tmp_path / "killed"
    train(preset, puzzles, whole)
    saved = range(preset.trainer["save_steps"], STEPS, preset.trainer["save_steps"])
    for step in sorted(generator("kill", stage).choice(list(saved), 2, replace=False)):
        kill_at(step, preset, puzzles, out)
    assert not (out / "trainer_state.json").exists()
    train(preset, puzzles, out)
    assert_same_run(out, whole)
    ours, theirs = ({p.name: p.read_text() for p in (o / "replies").glob("*")} for o in (out, whole))
    assert ours == theirs
    assert sorted(ours) == ([] if stage == "sft" else ["step-000000.jsonl", "step-000004.jsonl"])


def test_a_checkpoint_between_two_updates_of_one_generation_is_refused(tmp_path):
    preset = tiny_preset("grpo", trainer={"steps_per_generation": 2, "save_steps": 3})
    with pytest.raises(RecipeError, match=r"save_steps: 3 is no multiple of the 2 updates"):
        preset.trainer_config(tmp_path)
