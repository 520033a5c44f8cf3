"""A run that a full disk or a SIGTERM ends keeps its last whole checkpoint, says so, and goes on from it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from spatial_ssrl.errors import TrainingError
from spatial_ssrl.train import train
from spatial_ssrl.train.checkpoints import last_checkpoint
from train.helpers import assert_same_run, tiny_preset
from train.test_resume import CODE

PRESET = {"trainer": {"max_steps": 4}}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("file", ["optimizer.pt", "scheduler.pt"])
def test_a_full_disk_leaves_the_checkpoint_before(file, cold_start, puzzles, tmp_path):
    out = tmp_path / "run"
    second = out / "checkpoint-4"
    second.mkdir(parents=True)
    (second / file).symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"a disk is full, .* goes on from \S+checkpoint-2"):
        train(tiny_preset("sft", **PRESET), puzzles, out)
    assert last_checkpoint(out) == str(out / "checkpoint-2")
    (second / file).unlink()
    train(tiny_preset("sft", **PRESET), puzzles, out)
    assert_same_run(out, cold_start)


@pytest.mark.timeout(600)
def test_a_sigterm_ends_with_one_sentence(cold_start, puzzles, tmp_path):
    preset, out = tiny_preset("sft", **PRESET), tmp_path / "run"
    command = [sys.executable, "-c", CODE, preset.model_dump_json(), str(puzzles), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while last_checkpoint(out) is None and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1]
    assert process.returncode == 143
    assert "ended by SIGTERM" in said
    assert f"the same command goes on from {out / 'checkpoint-'}" in said
    assert "Traceback" not in said
    train(preset, puzzles, out)
    assert_same_run(out, cold_start)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
