"""Every export poses the same prompt with the same pictures and earns the same reward, read back without our code."""

import gc
import json
import subprocess
import sys
import warnings

import pytest

from export.helpers import assert_same_pictures, expected_parts, load_reward, originals, parts, replies, run_export
from spatial_ssrl.export import FORMATS
from spatial_ssrl.reward import score
from spatial_ssrl.reward.swift import SpatialReward


def read_parquet(path):
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset("parquet", data_files=str(path), split="train")


def read_trl(out, split, reward):
    for row in read_parquet(out / f"{split}.parquet"):
        [message] = row["prompt"]
        assert message["role"] == "user"
        columns = {name: [row[name]] for name in ("answer", "grammar", "options", "task", "variant")}
        yield (
            row["id"],
            [part["text"] for part in message["content"]],
            row["images"],
            lambda reply, columns=columns: reward.spatial_reward([[{"role": "assistant", "content": reply}]], **columns)[0],
        )


def read_verl(out, split, reward):
    for index, row in enumerate(read_parquet(out / f"{split}.parquet")):
        assert row["extra_info"]["index"] == index
        assert row["extra_info"]["split"] == split

        def earn(reply, row=row):
            truth = row["reward_model"]["ground_truth"]
            return reward.compute_score(row["data_source"], reply, truth, extra_info=row["extra_info"])["score"]

        pictures = [image["bytes"] if "bytes" in image else image["image"] for image in row["images"]]
        yield row["extra_info"]["id"], parts(row["prompt"][0]["content"]), pictures, earn


def read_easyr1(out, split, reward):
    for row in read_parquet(out / f"{split}.parquet"):

        def earn(reply, row=row):
            given = {"response": reply, "response_length": 1, "ground_truth": row["ground_truth"]}
            return reward.compute_score([given])[0]["overall"]

        pictures = [image if isinstance(image, str) else image["bytes"] for image in row["images"]]
        yield row["id"], parts(row["problem"]), pictures, earn


def read_swift(out, split, reward):
    for line in (out / f"{split}.jsonl").read_text().splitlines():
        row = json.loads(line)
        [message] = row["messages"]
        yield (
            row["id"],
            parts(message["content"]),
            row["images"],
            lambda reply, row=row: SpatialReward()([reply], solution=[row["solution"]], task=[row["task"]])[0],
        )


def read_llamafactory(out, split, reward):
    info = json.loads((out / "dataset_info.json").read_text())[f"spatial_ssrl_{split}"]
    for line in (out / info["file_name"]).read_text().splitlines():
        row = json.loads(line)
        asked, said = row[info["columns"]["messages"]]
        assert (asked["role"], said["role"]) == ("user", "assistant")
        yield row["id"], parts(asked["content"]), row[info["columns"]["images"]], said["content"]


def read_webdataset(out, split, reward):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, out.glob(f"{split}-*.tar")))
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        samples = list(webdataset.WebDataset(shards, shardshuffle=False))
        gc.collect()  # webdataset 1.0.2 leaves the shards open
    for sample in samples:
        row = json.loads(sample["json"])
        pictures = [sample[f"{i}.jpg"] for i in range(len(sample) - 4)]
        yield sample["__key__"], parts(row["prompt"]), pictures, lambda reply, row=row: score(reply, row).total


READERS = {
    "trl": read_trl,
    "verl": read_verl,
    "easyr1": read_easyr1,
    "swift": read_swift,
    "llamafactory": read_llamafactory,
    "webdataset": read_webdataset,
}
CASES = [(to, form) for to, format in FORMATS.items() for form in format.image_forms]


@pytest.mark.parametrize(("to", "form"), CASES)
def test_all_formats_give_the_same_prompt_pictures_and_reward(dataset, tmp_path, to, form):
    done = run_export(dataset, to, tmp_path, images=form)
    known = originals(dataset)
    assert done.rows == {split: len(rows) for split, rows in known.items()}
    assert len({row["task"] for rows in known.values() for row in rows.values()}) == 6
    reward = load_reward(tmp_path) if to in ("trl", "verl", "easyr1") else None
    for split, rows in known.items():
        read = list(READERS[to](tmp_path, split, reward))
        assert [identity for identity, *_ in read] == list(rows)
        for identity, prompt, pictures, earn in read:
            row = rows[identity]
            assert prompt == expected_parts(row)
            assert_same_pictures(pictures, row)
            if to == "llamafactory":
                assert score(earn, row).total == 1
                continue
            for reply in replies(row):
                assert earn(reply) == pytest.approx(score(reply, row).total), reply


@pytest.mark.parametrize("to", ["trl", "verl", "llamafactory"])
@pytest.mark.parametrize("instruction", ["boxed", "none"])
def test_the_instruction_is_a_choice(dataset, tmp_path, to, instruction):
    run_export(dataset, to, tmp_path, instruction=instruction)
    rows = originals(dataset)["test"]
    reward = None if to == "llamafactory" else load_reward(tmp_path)
    for identity, prompt, _, answer in READERS[to](tmp_path, "test", reward):
        assert prompt == expected_parts(rows[identity], instruction)
        assert ("boxed" in prompt[-1]) is (instruction == "boxed")
        if to == "llamafactory":
            assert answer.removeprefix("\\boxed{").removesuffix("}") == rows[identity]["answer"]


@pytest.mark.parametrize(("to", "call"), [
    ("trl", "spatial_reward([R], ['B'], ['letter:4'], [None], ['crop'])[0]"),
    ("verl", "compute_score('x', R, T, None)['score']"),
    ("verl", "compute_score('x', R, T, None, policy='exact')['score'] + 0.9"),
    ("easyr1", "compute_score([{'response': R, 'response_length': 9, 'ground_truth': T}])[0]['overall']"),
])  # fmt: skip
def test_the_reward_file_needs_python_alone(dataset, tmp_path, to, call):
    """-I -S: no environment, no installed package."""
    run_export(dataset, to, tmp_path)
    code = f"""
import runpy, sys
R = '<think>x</think>\\\\boxed{{(b)}}'
T = '{{"answer": "B", "grammar": "letter:4", "options": null}}'
names = runpy.run_path({str(tmp_path / "spatial_reward.py")!r})
assert not any(name.startswith("spatial_ssrl") for name in sys.modules)
print(eval({call!r}, {{**names, "R": R, "T": T}}))
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(1.0)


def test_parquet_is_written_a_row_group_at_a_time(dataset, tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("spatial_ssrl.export.files.ROW_GROUP", 8)
    run_export(dataset, "verl", tmp_path)
    file = pq.ParquetFile(tmp_path / "train.parquet")
    assert {file.metadata.row_group(i).num_rows for i in range(file.num_row_groups - 1)} == {8}


def test_tar_shards_are_cut_and_the_same_bytes_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("spatial_ssrl.export.webdataset.SHARD", 10)
    for name in ("one", "two"):
        run_export(dataset, "webdataset", tmp_path / name)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / name).glob("*.tar")} for name in ("one", "two"))
    assert one == two
    assert len([name for name in one if name.startswith("train-")]) == -(-len(originals(dataset)["train"]) // 10)
