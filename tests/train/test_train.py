import json
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice

import pytest

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import DatasetError, TrainingError
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import train
from spatial_ssrl.train.data import load_rows, sft_dataset
from spatial_ssrl.train.run import last_checkpoint
from spatial_ssrl.train.tiny import make_tiny
from train.helpers import tiny_preset

GRPO_STEPS = 5


def log_of(out):
    """The log without what the clock decides, and what TRL counts from the start of the process."""
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    left_out = ("time", "per_second", "flos", "num_tokens", "train_loss")
    return [{k: v for k, v in entry.items() if not any(w in k for w in left_out)} for entry in history]


def weights_of(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def assert_same_run(out, other):
    assert log_of(out) == log_of(other)
    ours, theirs = weights_of(out / "model"), weights_of(other / "model")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


@pytest.fixture(scope="session")
def cold_start(puzzles, tmp_path_factory):
    """A full fine-tuning of a tiny Qwen3-VL, four steps, checkpoints after two and four."""
    out = tmp_path_factory.mktemp("sft")
    train(tiny_preset("sft", trainer={"max_steps": 4}), puzzles, out)
    return out


@pytest.fixture(scope="session")
def grpo_preset(cold_start):
    trainer = {"max_steps": GRPO_STEPS, "save_steps": 1, "beta": 0.01}
    return tiny_preset("grpo", model=str(cold_start / "model"), trainer=trainer)


@pytest.fixture(scope="session")
def grpo(grpo_preset, puzzles, tmp_path_factory):
    out = tmp_path_factory.mktemp("grpo")
    train(grpo_preset, puzzles, out)
    return out


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_an_adapter_is_merged_into_a_model_that_loads_and_replies(kind, puzzles, tmp_path):
    lora = {"r": 4, "target_modules": "all-linear"}
    preset = tiny_preset("sft", model=f"tiny:{kind}", lora=lora, trainer={"learning_rate": 1e-2})
    out = train(preset, puzzles, tmp_path / "run")
    assert out == tmp_path / "run" / "model"
    base, merged = weights_of(tmp_path / "run" / "base"), weights_of(out)
    assert base.keys() == merged.keys()
    assert any((base[name] != merged[name]).any() for name in base)
    model, processor = vlm.load(out)
    rows = list(islice(read_rows(puzzles, "validation"), 8))
    assert {len(row["images"]) for row in rows} == {1, 5}
    together = list(vlm.generate(model, processor, rows, max_new_tokens=6))
    alone = [reply for row in rows for reply in vlm.generate(model, processor, [row], max_new_tokens=6)]
    assert together == alone, "padding changes no reply"


def test_only_the_reply_is_supervised(puzzles, cold_start, tmp_path):
    from trl import SFTTrainer

    preset = tiny_preset("sft")
    rows = load_rows(puzzles, "train", preset)
    model, processor = vlm.load(cold_start / "model")
    trainer = SFTTrainer(model, preset.trainer_config(tmp_path), train_dataset=sft_dataset(rows), processing_class=processor)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(6)])
    for i, (ids, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        text = processor.tokenizer.decode(labels[labels != -100])
        assert text == f"{cold_start_reply(rows[i])}<|im_end|>\n"
        prompt = processor.apply_chat_template(vlm.conversation(rows[i]["problem"]), add_generation_prompt=True)
        seen = processor.tokenizer.decode(ids[labels == -100]).replace("<|endoftext|>", "")
        assert seen.replace("<|image_pad|>", "") == prompt.replace("<|image_pad|>", "")


def test_pictures_are_decoded_when_a_row_is_read(puzzles):
    rows = load_rows(puzzles, "train", tiny_preset("sft"))
    assert isinstance(rows[0]["images"][0]["bytes"], bytes)
    posed = sft_dataset(rows)[0]
    assert [image.mode for image in posed["images"]] == ["RGB"] * len(rows[0]["images"])
    assert set(posed) == {"prompt", "completion", "images"}


def test_grpo_logs_what_its_curves_need(grpo):
    entries = [entry for entry in log_of(grpo) if "reward" in entry]
    assert [entry["step"] for entry in entries] == list(range(1, GRPO_STEPS + 1))
    assert all({"accuracy", "format", "unparsed", "kl", "grad_norm"} <= set(entry) for entry in entries)
    assert {key for entry in entries for key in entry if key.startswith("accuracy/")} == {
        "accuracy/crop",
        "accuracy/shuffle",
    }
    measured = [entry["step"] for entry in log_of(grpo) if "dev/accuracy" in entry and "dev/unparsed" in entry]
    assert measured == [0, 2, 4, 5]


def test_a_killed_run_goes_on_to_the_same_end(grpo, grpo_preset, puzzles, tmp_path):
    out = tmp_path / "run"
    code = f"""
from pathlib import Path
from spatial_ssrl.train import Preset, train
train(Preset.model_validate_json({grpo_preset.model_dump_json()!r}), Path({str(puzzles)!r}), Path({str(out)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "checkpoint-2" / "trainer_state.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "trainer_state.json").exists()
    train(grpo_preset, puzzles, out)
    assert_same_run(out, grpo)


def test_a_half_written_checkpoint_is_skipped(cold_start, puzzles, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(cold_start, out)
    shutil.rmtree(out / "model")
    (out / "trainer_state.json").unlink()
    state = out / "checkpoint-4" / "trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert last_checkpoint(out) == str(out / "checkpoint-2")
    train(tiny_preset("sft", trainer={"max_steps": 4}), puzzles, out)
    assert_same_run(out, cold_start)


def test_a_finished_run_is_left_alone(cold_start, puzzles):
    before = (cold_start / "model" / "model.safetensors").stat().st_mtime_ns
    train(tiny_preset("sft", trainer={"max_steps": 4}), puzzles, cold_start)
    assert (cold_start / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_a_folder_belongs_to_one_run_until_it_is_begun_again(puzzles, tmp_path):
    out = tmp_path / "run"
    train(tiny_preset("sft", trainer={"max_steps": 1}), puzzles, out)
    (out / "notes.txt").write_text("mine")
    preset = tiny_preset("sft", trainer={"max_steps": 2}, dev={"every": 1})
    with pytest.raises(TrainingError, match=r"holds another run \(it differs in dev, trainer\)"):
        train(preset, puzzles, out)
    train(preset, puzzles, out, resume=False)
    assert [e["step"] for e in log_of(out) if "dev/accuracy" in e] == [0, 1, 2]
    assert (out / "notes.txt").exists()


def test_clear_errors(puzzles, tmp_path):
    with pytest.raises(TrainingError, match=r"no row of flip in split 'train'; found crop/square, shuffle/2x2"):
        train(tiny_preset("sft", tasks=["flip"]), puzzles, tmp_path / "a")
    with pytest.raises(TrainingError, match=r"no vision-language model can be loaded from \./nowhere"):
        train(tiny_preset("sft", model="./nowhere"), puzzles, tmp_path / "b")
    with pytest.raises(DatasetError, match="no split 'train'"):
        train(tiny_preset("sft"), tmp_path, tmp_path / "c")


def test_a_tiny_model_can_be_given_a_tokenizer(cold_start, tmp_path):
    make_tiny("qwen2_5_vl", [], str(cold_start / "base"), 0, tmp_path / "model")
    _, processor = vlm.load(tmp_path / "model")
    assert processor.tokenizer.get_vocab() == vlm.load(cold_start / "base")[1].tokenizer.get_vocab()
    with pytest.raises(TrainingError, match=r"no tokenizer can be loaded from \./nowhere"):
        make_tiny("qwen3_vl", [], "./nowhere", 0, tmp_path / "other")
