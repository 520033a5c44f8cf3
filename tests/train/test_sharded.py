"""FSDP2 and ZeRO-3 in two processes on CPUs, with a reference model: weights, saving, development rows."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train.helpers import log_of, tiny_preset, weights_of
from train.on_cpus import FSDP2, ZERO3

SCRIPT = Path(__file__).with_name("on_cpus.py")
ON_CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="module")
def preset(cold_start):
    """All weights are trained, and held near a reference."""
    trainer = {"use_cpu": True, "per_device_train_batch_size": 2, "beta": 0.01, "gradient_accumulation_steps": 1}
    return tiny_preset("grpo", model=str(cold_start / "model"), trainer=trainer, dev={"rows": 3}, gpus=2)


def run(preset, puzzles, out, environment):
    """Train in two processes. They begin with a folder, since they write into it before training does."""
    out.mkdir()
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SCRIPT]
    words += [preset.model_dump_json(), puzzles, out]
    done = subprocess.run(words, env={**os.environ, **ON_CPU, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def unsharded(preset, puzzles, tmp_path_factory):
    return run(preset, puzzles, tmp_path_factory.mktemp("ddp") / "run", {})


def assert_alike(out, other):
    """Equal but for the order in which sums are taken."""
    ours, theirs = weights_of(out / "model"), weights_of(other / "model")
    assert ours.keys() == theirs.keys()
    apart = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    assert apart < 1e-6
    accuracies = [[entry["dev/accuracy"] for entry in log_of(o) if "dev/accuracy" in entry] for o in (out, other)]
    assert accuracies[0] == accuracies[1]


@pytest.mark.timeout(600)
def test_fsdp2_trains_as_ddp_and_shards_the_reference_by_layers(preset, puzzles, unsharded, tmp_path):
    out = run(preset, puzzles, tmp_path / "run", FSDP2)
    assert_alike(out, unsharded)
    reference = json.loads((out / "reference.json").read_text())
    assert reference["sharded"]
    assert reference["parts"] > 6, "two layers of text, four of vision, and the rest"
    assert reference["largest"] < 0.5, "TRL by itself gathers all weights at once"


@pytest.mark.timeout(900)
@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="make test-deepspeed")
def test_zero3_trains_and_saves_on_every_rank(preset, puzzles, unsharded, tmp_path):
    assert_alike(run(preset, puzzles, tmp_path / "run", ZERO3), unsharded)
