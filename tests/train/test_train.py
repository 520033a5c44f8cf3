import json
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from types import SimpleNamespace

import pytest

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import DatasetError, TrainingError
from spatial_ssrl.reward import score
from spatial_ssrl.reward.trl import trl_reward
from spatial_ssrl.row import read_rows
from spatial_ssrl.train import train
from spatial_ssrl.train.data import load_rows, sft_dataset
from spatial_ssrl.train.grpo import sampling
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
    trainer = SFTTrainer(
        model, preset.trainer_config(tmp_path), train_dataset=sft_dataset(rows, preset), processing_class=processor
    )
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(6)])
    for i, (ids, labels) in enumerate(zip(batch["input_ids"], batch["labels"], strict=True)):
        text = processor.tokenizer.decode(labels[labels != -100])
        assert text == f"{cold_start_reply(rows[i], 'brief')}<|im_end|>\n"
        prompt = processor.apply_chat_template(vlm.conversation(rows[i]["problem"]), add_generation_prompt=True)
        seen = processor.tokenizer.decode(ids[labels == -100]).replace("<|endoftext|>", "")
        assert seen.replace("<|image_pad|>", "") == prompt.replace("<|image_pad|>", "")


def test_pictures_are_decoded_when_a_row_is_read(puzzles):
    rows = load_rows(puzzles, "train", tiny_preset("sft"))
    assert isinstance(rows[0]["images"][0]["bytes"], bytes)
    posed = sft_dataset(rows, tiny_preset("sft"))[0]
    assert [image.mode for image in posed["images"]] == ["RGB"] * len(rows[0]["images"])
    assert set(posed) == {"prompt", "completion", "images"}


def test_grpo_logs_what_its_curves_need(grpo):
    entries = [entry for entry in log_of(grpo) if "reward" in entry]
    assert [entry["step"] for entry in entries] == list(range(1, GRPO_STEPS + 1))
    assert all({"accuracy", "format", "unparsed", "kl", "grad_norm"} <= set(entry) for entry in entries)
    assert {key for entry in entries for key in entry if re.fullmatch("accuracy/[a-z]+", key)} == {
        "accuracy/crop",
        "accuracy/shuffle",
    }
    assert {f"accuracy/{name}/level{n}" for name, n in (("crop", 1), ("shuffle", 2))} <= set().union(*entries)
    assert all({"frac_reward_zero_std", "completions/clipped_ratio"} <= set(entry) for entry in entries)
    measured = [entry["step"] for entry in log_of(grpo) if "dev/accuracy" in entry and "dev/unparsed" in entry]
    assert measured == [0, 2, 4, 5]


def test_a_sample_of_replies_is_kept_with_its_scores(grpo, puzzles):
    rows = {row["id"]: row for row in read_rows(puzzles, "train")}
    [path] = (grpo / "replies").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert path.name == "step-000000.jsonl"
    assert len(lines) == 4, "all of a batch this small"
    for line in lines:
        expected = score(line["reply"], rows[line["id"]])
        assert (line["reward"], line["parsed"], line["why"]) == (expected.total, expected.parsed, expected.why)


def test_samples_are_as_far_apart_as_the_preset_says(tmp_path):
    columns = {
        "id": ["a"],
        "task": ["crop"],
        "variant": ["square"],
        "answer": ["A"],
        "grammar": ["letter:4"],
        "options": [None],
    }
    reward = sampling(trl_reward(), tiny_preset("grpo", replies_every=4), tmp_path / "replies")
    for step in (0, 2, 5, 6, 9):
        assert reward(["\\boxed{A}"], SimpleNamespace(global_step=step, is_world_process_zero=True), **columns) == [0.9]
    assert reward.__name__ == "spatial_reward", "by which TRL names its metrics"
    assert sorted(path.stem for path in (tmp_path / "replies").iterdir()) == ["step-000000", "step-000005", "step-000009"]


def test_prompts_that_are_too_long_are_found_before_training(puzzles, tmp_path):
    preset = tiny_preset("grpo", model="tiny:qwen3_vl", max_prompt_tokens=100)
    with pytest.raises(
        TrainingError, match=r"prompts have more tokens than max_prompt_tokens=100; row \w+ has \d+"
    ) as caught:
        train(preset, puzzles, tmp_path / "run")
    identity, tokens = re.search(r"row (\w+) has (\d+)", str(caught.value)).groups()
    row = next(row for row in read_rows(puzzles, "train") if row["id"] == identity)
    _, processor = vlm.load(tmp_path / "run" / "base")
    prompt = processor.apply_chat_template(vlm.conversation(row["problem"]), add_generation_prompt=True)
    inputs = processor(text=[prompt], images=[vlm.pictures(row)], return_tensors="pt")
    assert inputs["input_ids"].shape == (1, int(tokens))


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
    with pytest.raises(DatasetError, match="holds no rows"):
        train(tiny_preset("sft"), tmp_path, tmp_path / "c")


def test_a_tiny_model_can_be_given_a_tokenizer(cold_start, tmp_path):
    make_tiny("qwen2_5_vl", [], str(cold_start / "base"), 0, tmp_path / "model")
    _, processor = vlm.load(tmp_path / "model")
    assert processor.tokenizer.get_vocab() == vlm.load(cold_start / "base")[1].tokenizer.get_vocab()
    with pytest.raises(TrainingError, match=r"no tokenizer can be loaded from \./nowhere"):
        make_tiny("qwen3_vl", [], "./nowhere", 0, tmp_path / "other")
