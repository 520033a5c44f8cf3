"""verl's own configuration, data set, reward manager and advantage on an export; run by `make test-verl`."""

import asyncio
import itertools
import shlex
from pathlib import Path

import pytest

from export.helpers import assert_same_pictures, expected_parts, originals, replies, run_export
from spatial_ssrl import vlm
from spatial_ssrl.reward import score

verl = pytest.importorskip("verl", reason="verl has an environment of its own: make test-verl")
vlm.prepare_torch()


@pytest.fixture(scope="module", params=["paths", "embedded"])
def config(request, dataset, tiny_model, tmp_path_factory):
    """verl's configuration as the printed command composes it."""
    from hydra import compose, initialize_config_dir

    out = tmp_path_factory.mktemp("verl") / "out"
    python, m, module, *overrides = shlex.split(run_export(dataset, "verl", out, images=request.param).command)
    assert (python, m, module) == ("python", "-m", "verl.trainer.main_ppo")
    overrides = [o.replace("=MODEL", f"={tiny_model}") for o in overrides]
    cache = tmp_path_factory.mktemp("cache")
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer/config"), version_base=None):
        return compose("ppo_trainer", [*overrides, "data.filter_overlong_prompts=true", f"+data.cache_dir={cache}"])


@pytest.fixture(scope="module")
def processor(tiny_model):
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(tiny_model)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_data_set_poses_the_rows(config, processor, dataset, split):
    from verl.utils.dataset.rl_dataset import RLHFDataset

    files = config.data.train_files if split == "train" else config.data.val_files
    read = RLHFDataset(data_files=files, tokenizer=processor.tokenizer, processor=processor, config=config.data)
    rows = list(originals(dataset)[split].values())
    assert len(read) == len(rows), "none was filtered for its length or an error"
    for item, row in zip(read, rows, strict=True):
        [message] = item["raw_prompt"]
        assert [part.get("text") for part in message["content"]] == expected_parts(row)
        assert_same_pictures([part["image"] for part in message["content"] if part["type"] == "image"], row)
        ours, theirs = (processor.apply_chat_template(c) for c in (vlm.conversation(row["problem"]), item["raw_prompt"]))
        assert ours == theirs
        images, _ = asyncio.run(read.process_vision_info(item["raw_prompt"], image_patch_size=14, config=config.data))
        assert len(images) == len(row["images"])


def batch(config, processor, rows, texts):
    """Items of the data set with replies, as verl's rollout hands them to the reward."""
    import numpy as np
    import torch
    from verl import DataProto
    from verl.utils.dataset.rl_dataset import RLHFDataset

    data = config.data
    read = RLHFDataset(data_files=data.train_files, tokenizer=processor.tokenizer, processor=processor, config=data)
    items = {item["extra_info"]["id"]: item for item in read}
    replies = processor.tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    prompts = torch.ones(len(texts), 1, dtype=torch.long)
    tensors = {
        "prompts": prompts,
        "responses": replies["input_ids"],
        "attention_mask": torch.cat([prompts, replies["attention_mask"]], dim=1),
    }
    columns = ("data_source", "reward_model", "extra_info")
    kept = {name: np.array([items[row["id"]][name] for row in rows], dtype=object) for name in columns}
    return DataProto.from_dict(tensors=tensors, non_tensors=kept)


def test_rewards_and_advantages(config, processor, dataset):
    import numpy as np
    import torch
    from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
    from verl.trainer.ppo.reward import load_reward_manager

    rows = list({row["task"]: row for row in originals(dataset)["train"].values()}.values())
    pairs = [(row, text) for row in rows for text in replies(row) if text]
    data = batch(config, processor, [row for row, _ in pairs], [text for _, text in pairs])

    async def run():
        manager = load_reward_manager(config, processor.tokenizer)
        return [await manager.run_single(data[i : i + 1]) for i in range(len(pairs))]

    results = asyncio.run(run())
    for (row, text), result in zip(pairs, results, strict=True):
        expected = score(text, row)
        assert result["reward_score"] == pytest.approx(expected.total), text
        assert result["reward_extra_info"]["acc"] == expected.accuracy
    mask = data.batch["attention_mask"][:, 1:].float()
    rewards = torch.zeros_like(mask)
    rewards[torch.arange(len(pairs)), mask.sum(1).long() - 1] = torch.tensor([r["reward_score"] for r in results])
    group = np.array([row["id"] for row, _ in pairs], dtype=object)
    advantages, _ = compute_grpo_outcome_advantage(rewards, mask, group)
    for _, members in itertools.groupby(range(len(pairs)), key=lambda i: group[i]):
        indices = list(members)
        totals = torch.tensor([results[i]["reward_score"] for i in indices])
        expected = (totals - totals.mean()) / (totals.std() + 1e-6)
        assert advantages[indices, 0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
