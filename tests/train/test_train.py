import importlib.util
import json
import re
import shutil
from collections import Counter
from importlib.metadata import version
from itertools import islice
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch

from spatial_ssrl import vlm
from spatial_ssrl.coldstart import cold_start_reply
from spatial_ssrl.errors import DatasetError, RecipeError, TrainingError
from spatial_ssrl.reward import score
from spatial_ssrl.reward.trl import trl_reward
from spatial_ssrl.row import read_rows
from spatial_ssrl.scene import encode_jpeg
from spatial_ssrl.train import Preset, train
from spatial_ssrl.train.card import model_card
from spatial_ssrl.train.checkpoints import last_checkpoint
from spatial_ssrl.train.data import check_lengths, load_rows, sft_dataset
from spatial_ssrl.train.groups import telling_groups
from spatial_ssrl.train.grpo import sampling
from spatial_ssrl.train.memory import told_what_to_lower
from spatial_ssrl.train.tiny import make_tiny
from train.helpers import assert_same_run, log_of, tiny_preset, weights_of

GRPO_STEPS = 5


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


def test_a_cold_start_takes_its_rows_evenly_over_variants_and_by_their_ids(puzzles):
    names = Counter(load_rows(puzzles, "train", tiny_preset("sft"))["variant"])
    fewest, most = sorted(names, key=names.__getitem__)
    taken = {n: load_rows(puzzles, "train", tiny_preset("sft", rows=n)) for n in (5, 8, 1000)}
    assert sorted(Counter(taken[5]["variant"]).values()) == [2, 3]
    assert set(taken[5]["id"]) < set(taken[8]["id"]), "more rows are the same ones and others"
    assert taken[5]["id"] != load_rows(puzzles, "train", tiny_preset("sft"))["id"][:5]
    assert Counter(taken[1000]["variant"]) == names
    short = load_rows(puzzles, "train", tiny_preset("sft", rows=2 * names[fewest] + 1))
    assert Counter(short["variant"]) == {fewest: names[fewest], most: names[fewest] + 1}
    assert len(load_rows(puzzles, "validation", tiny_preset("sft", rows=1))) > 1
    with pytest.raises(RecipeError, match="rows: it is for the cold start"):
        tiny_preset("grpo", rows=5)


def test_grpo_logs_what_its_curves_need(grpo):
    entries = [entry for entry in log_of(grpo) if "reward" in entry]
    assert [entry["step"] for entry in entries] == list(range(1, GRPO_STEPS + 1))
    assert all({"accuracy", "format", "unparsed", "kl", "grad_norm"} <= set(entry) for entry in entries)
    assert {key for entry in entries for key in entry if re.fullmatch("accuracy/[a-z]+", key)} == {
        "accuracy/crop",
        "accuracy/shuffle",
    }
    assert {f"accuracy/{name}/level{n}" for name, n in (("crop", 1), ("shuffle", 2))} <= set().union(*entries)
    assert all(
        {"frac_reward_zero_std", "frac_accuracy_zero_std", "completions/clipped_ratio"} <= set(entry) for entry in entries
    )
    measured = [entry["step"] for entry in log_of(grpo) if "dev/accuracy" in entry and "dev/unparsed" in entry]
    assert measured == [0, 2, 4, 5]


def test_a_group_that_differs_by_the_form_alone_has_no_variance_of_accuracy():
    logged, right, wrong = {}, "<think>So.</think>\\boxed{A}", "\\boxed{B}"
    columns = {"id": [*"aabbcc"], "task": ["crop"] * 6, "variant": ["square"] * 6, "grammar": ["letter:4"] * 6}
    replies = [right, wrong, right, "\\boxed{A}", "", "<think>So.</think>\\boxed{B}"]
    reward = telling_groups(trl_reward(), "robust")
    rewards = reward(replies, logged.__setitem__, **columns, answer=["A"] * 6, options=[None] * 6)
    assert rewards == [1.0, 0.0, 1.0, 0.9, 0.0, 0.1], "the reward of every group varies"
    assert logged["frac_accuracy_zero_std"] == pytest.approx(2 / 3)


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


def test_the_card_names_what_the_model_came_from(grpo, grpo_preset, cold_start, puzzles):
    card = (grpo / "model" / "README.md").read_text()
    front, body = card.removeprefix("---\n").split("---\n", 1)
    assert "base_model" not in front, "a folder is none of the hub's"
    assert f"# {cold_start / 'model'}, GRPO" in body
    assert 'base_model: "some/model"' in model_card(Preset(stage="sft", model="some/model"), puzzles, None, [])
    manifest = json.loads((puzzles / "manifest.json").read_text())
    assert f"Profile paper, seed 0, fingerprint `{manifest['fingerprint']}`" in body
    assert f"| crop/square | {manifest['counts']['train']['crop/square']} |" in body
    measured = [entry["dev/accuracy"] for entry in log_of(grpo) if "dev/accuracy" in entry]
    assert f"Greedy accuracy {max(measured):.1%}" in body
    assert f"best of {len(measured)} measurements" in body
    assert json.loads(body.split("```json\n")[1].split("```")[0])["trainer"] == grpo_preset.trainer
    assert f"trl {version('trl')}" in body


def test_the_card_after_a_cold_start_tells_of_its_base_and_rows(puzzles, tmp_path):
    (tmp_path / "sft").mkdir()
    sft = model_card(Preset(stage="sft", model="some/model", rows=36), puzzles, None, [])
    (tmp_path / "sft" / "README.md").write_text(sft)
    other = shutil.copytree(puzzles, tmp_path / "other")
    manifest = json.loads((puzzles / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"fingerprint": "f1"}))
    grpo = model_card(Preset(stage="grpo", model=str(tmp_path / "sft")), other, None, [])
    assert 'base_model: "some/model"' in grpo
    rows, before = grpo.split("## Rows\n")[1].split("## How\n")[0].split("## Rows before\n")
    assert ("`f1`" in rows, "At most 36" in rows) == (True, False)
    assert f"`{manifest['fingerprint']}`" in before
    assert "At most 36 of its rows, evenly over variants." in before
    (tmp_path / "sft" / "README.md").write_text(
        "---\nbase_model: other/model\n---\nA card of others.\n\n## Rows\n\nx\n\n## How\n"
    )
    assert "other/model" not in model_card(Preset(stage="grpo", model=str(tmp_path / "sft")), puzzles, None, [])


def test_curves_are_written_for_tensorboard(grpo):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [folder] = (grpo / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    written = {event.step: event.value for event in events.Scalars("train/dev/accuracy")}
    logged = {entry["step"]: entry["dev/accuracy"] for entry in log_of(grpo) if "dev/accuracy" in entry}
    assert written == pytest.approx(logged)
    assert {"train/accuracy/shuffle", "train/frac_reward_zero_std", "train/kl"} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize(
    ("name", "message"), [("trackio", "trackio is not installed"), ("paper", "paper is unknown; known:")]
)
def test_a_reporter_that_is_not_there_is_named(name, message, puzzles, tmp_path):
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(TrainingError, match=f"report_to: {message}"):
        train(tiny_preset("sft", trainer={"report_to": name}), puzzles, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def no_memory_on_cpu():
    torch.empty(10**15)


def no_memory_on_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")


@pytest.mark.parametrize("fail", [no_memory_on_cpu, no_memory_on_gpu])
def test_where_memory_ends_the_keys_to_lower_are_named(fail, tmp_path):
    preset = tiny_preset("grpo", max_pixels=6272)
    args = preset.trainer_config(tmp_path)
    with (
        pytest.raises(TrainingError, match=r"out of memory: .* to allocate") as caught,
        told_what_to_lower(preset, args),
    ):
        fail()
    message = str(caught.value)
    assert "per_device_train_batch_size (now 4;" in message
    assert "max_pixels (now 6272)" in message
    assert "max_completion_length (now 8)" in message
    with pytest.raises(RuntimeError, match="another"), told_what_to_lower(preset, args):
        raise RuntimeError("another")


def test_a_processor_that_pads_right_is_refused(cold_start, puzzles):
    from transformers import AutoProcessor

    model, _ = vlm.load(cold_start / "model")
    processor = AutoProcessor.from_pretrained(cold_start / "model", padding_side="right")
    with pytest.raises(TrainingError, match="pads on the right"):
        list(vlm.generate(model, processor, list(islice(read_rows(puzzles, "validation"), 2)), max_new_tokens=2))


def test_a_picture_that_the_processor_refuses_is_named(puzzles, cold_start):
    preset = tiny_preset("sft")
    row = {**next(read_rows(puzzles, "train")), "id": "thin"}
    row["images"] = [{"bytes": encode_jpeg(np.zeros((4, 1000, 3), np.uint8)), "path": "thin.jpg"}]
    _, processor = vlm.load(cold_start / "model")
    with pytest.raises(TrainingError, match=r"row thin has a picture that the processor refuses: absolute aspect ratio"):
        check_lengths(datasets.Dataset.from_list([row]), processor, preset)
