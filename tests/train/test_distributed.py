"""Two processes on a CPU (DDP over gloo): the same as one where it can be, and resumed as uninterrupted."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from spatial_ssrl.train import train
from train.helpers import assert_same_run, log_of, tiny_preset

ON_CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
CODE = """
import json, os, sys
from pathlib import Path
from spatial_ssrl import vlm
from spatial_ssrl.train import Preset, train

generate, out = vlm.generate, Path(sys.argv[3])

def told(model, processor, rows, **how):
    with (out / f"asked-{os.environ['RANK']}.jsonl").open("a") as file:
        file.write(json.dumps([row["id"] for row in rows]) + "\\n")
    return generate(model, processor, rows, **how)

vlm.generate = told
train(Preset.model_validate_json(sys.argv[1]), Path(sys.argv[2]), out)
"""


def train_in_two(preset, puzzles, out):
    """A run of two processes, each of which writes what development rows it asks."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "script.py"]
    script = out.with_suffix(".py")
    script.write_text(CODE)
    words[-1:] = [str(script), preset.model_dump_json(), str(puzzles), str(out)]
    done = subprocess.run(words, env={**os.environ, **ON_CPU}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.timeout(600)
def test_two_processes_share_the_work_and_go_on_as_they_were(cold_start, puzzles, tmp_path):
    trainer = {
        "use_cpu": True,
        "max_steps": 4,
        "save_steps": 2,
        "gradient_accumulation_steps": 2,
        "per_device_train_batch_size": 2,
    }
    preset = tiny_preset("grpo", model=str(cold_start / "model"), trainer=trainer, dev={"rows": 5}, gpus=2)
    whole, out = tmp_path / "whole", tmp_path / "resumed"
    train_in_two(preset, puzzles, whole)
    first, second = (json.loads((whole / f"asked-{rank}.jsonl").read_text().splitlines()[0]) for rank in (0, 1))
    assert len(first) == len(second) == 3
    assert len(set(first) | set(second)) == 5
    train(preset, puzzles, tmp_path / "alone")
    assert log_of(whole)[0] == log_of(tmp_path / "alone")[0], "of the same model the same is measured"
    shutil.copytree(whole, out)
    for left in ("model", "checkpoint-4", "trainer_state.json"):
        shutil.rmtree(out / left) if (out / left).is_dir() else (out / left).unlink()
    train_in_two(preset, puzzles, out)
    assert len((out / "asked-0.jsonl").read_text().splitlines()) == 3 + 1, "it went on from step 2, and measured at 4"
    assert_same_run(out, whole)
