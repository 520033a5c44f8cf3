import json
import signal
import subprocess
import sys
import time
from itertools import islice

import pytest

from spatial_ssrl import stream
from spatial_ssrl.errors import DatasetError, RecipeError, TrainingError
from spatial_ssrl.presets import shipped
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import train
from spatial_ssrl.train.tiny import make_tiny
from train.helpers import tiny_preset
from train.test_train import assert_same_run, log_of

STEPS = 5
STREAM = {
    "sources": ["synthetic:12?size=112x112&style=plain"],
    "profile": "paper",
    "seed": 4,
    "splits": {"train": 0.6, "validation": 0.4},
    "tasks": [{"task": "shuffle", "variant": v} for v in ("2x2", "3x1")] + [{"task": "flip", "variant": "2x2"}],
}


@pytest.fixture(scope="module")
def model(puzzles, tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny")
    make_tiny("qwen3_vl", (row["problem"] for row in read_rows(puzzles, "train")), None, 0, out)
    return str(out)


def streaming(model, **flags):
    trainer = {"max_steps": STEPS, "save_steps": 1, "dataloader_num_workers": 0, **flags.pop("trainer", {})}
    return tiny_preset("grpo", model=model, stream=STREAM, replies_every=1, trainer=trainer, **flags)


@pytest.fixture(scope="module")
def run(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("streamed")
    train(streaming(model, curriculum=True), None, out)
    return out


def asked(out):
    """Ids of the rows that a run trained on, in order; a batch is two groups of two replies."""
    files = sorted((out / "replies").glob("step-*.jsonl"))
    return [json.loads(line)["id"] for path in files for line in path.read_text().splitlines()[::2]]


def test_rows_of_the_stream_are_trained_on_once_each_and_in_order(model, tmp_path):
    train(streaming(model, trainer={"dataloader_num_workers": 1}), None, tmp_path / "run")
    rows = stream(STREAM["sources"], tiny_recipe(), seed=STREAM["seed"])
    assert asked(tmp_path / "run") == [row["id"] for row in islice(rows, 2 * STEPS)]


def tiny_recipe():
    return streaming("any").stream


def test_the_curriculum_is_logged(run):
    entries = [entry for entry in log_of(run) if "reward" in entry]
    assert len(entries) == STEPS
    for entry in entries:
        assert entry["curriculum/weight/shuffle"] + entry["curriculum/weight/flip"] == pytest.approx(1)
        assert entry["stream/skipped"] == 0
        assert {f"curriculum/success/{name}" for name in ("shuffle/2x2", "shuffle/3x1", "flip/2x2")} <= set(entry)
    assert entries[-1]["curriculum/success/shuffle/2x2"] < 0.5, "a random model is seldom right"


def test_a_killed_run_goes_on_to_the_same_end(model, run, tmp_path):
    out, preset = tmp_path / "run", streaming(model, curriculum=True)
    code = f"""
from pathlib import Path
from spatial_ssrl.train import Preset, train
train(Preset.model_validate_json({preset.model_dump_json(exclude_unset=True)!r}), None, Path({str(out)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "checkpoint-2" / "trainer_state.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "trainer_state.json").exists()
    train(preset, None, out)
    assert_same_run(out, run)
    assert asked(out) == asked(run)


def test_a_checkpoint_of_another_stream_is_refused(model, run):
    from spatial_ssrl.train.streamed import Streamed

    preset = streaming(model).model_copy(update={"stream": tiny_recipe().model_copy(update={"seed": 5})})
    streamed = Streamed(preset, preset.trainer_config(run))
    with pytest.raises(DatasetError, match="of another recipe, seed or split"):
        streamed.restore(str(run / f"checkpoint-{STEPS}"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"model": "tiny:qwen3_vl", "stream": STREAM}, "GRPO of a model that exists"),
        ({"stream": STREAM, "trainer": {"max_steps": -1}}, "set trainer.max_steps"),
        ({"curriculum": True}, r"there is no \[stream\]"),
        ({"stream": {**STREAM, "profile": "easy"}}, "unknown profile 'easy'"),
    ],
)
def test_what_a_stream_needs_is_said(flags, message):
    with pytest.raises(RecipeError, match=message):
        tiny_preset("grpo", **flags)


FLIP = ("--set", 'stream.tasks=[{task = "flip", variant = "2x2"}]')


def test_the_command_takes_sources(model, cli, tmp_path):
    words = ["train", "grpo", shipped("tiny-grpo"), "--model", model, "--out", tmp_path / "run"]
    done = cli(*words, "--stream", STREAM["sources"][0], "--set", "stream.profile=paper", *FLIP, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "800 rows, 50 updates of 128 replies" in done.stdout
    refused = cli(*words, "--stream", "synthetic", "--data", tmp_path)
    assert (refused.returncode, refused.stderr) == (2, "error: --data and --stream: give one of them\n")
    without = cli(*words)
    assert without.returncode == 2
    assert "give a dataset folder" in without.stderr


def test_without_rows_there_is_no_training(model, tmp_path):
    with pytest.raises(TrainingError, match="give a dataset folder, or for GRPO a stream's sources"):
        train(tiny_preset("grpo", model=model), None, tmp_path)
