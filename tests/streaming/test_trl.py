"""TRL's GRPOTrainer on environments of a stream, with a tiny model."""

import pytest

from spatial_ssrl import stream, vlm
from spatial_ssrl.build import Recipe
from spatial_ssrl.grammar import FORMAT_INSTRUCTION
from spatial_ssrl.streaming.trl import environment_factory, environment_reward
from spatial_ssrl.train.tiny import make_tiny

RECIPE = Recipe(
    sources=("synthetic:12?size=112x112&style=plain",),
    profile="paper",
    tasks=({"task": "crop", "variant": "square"}, {"task": "shuffle", "variant": "2x2"}),
)
NUMBERS, REPLY = [3, 4, 5, 6], 8


@pytest.fixture(scope="module")
def puzzles():
    return stream(RECIPE.sources, RECIPE)


def trainer_of(kind, puzzles, folder, reward):
    vlm.prepare_torch()
    import datasets
    from trl import GRPOConfig, GRPOTrainer

    make_tiny(kind, [puzzles.row(n)["problem"] for n in NUMBERS], None, 0, folder / "model")
    model, processor = vlm.load(folder / "model")
    args = GRPOConfig(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=2 * len(NUMBERS),
        num_generations=2,
        max_completion_length=REPLY,
        max_steps=1,
        logging_steps=1,
        bf16=False,
        dataloader_pin_memory=False,
        activation_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    return GRPOTrainer(
        model,
        reward_funcs=reward,
        args=args,
        train_dataset=datasets.Dataset.from_dict({"number": NUMBERS}),
        processing_class=processor,
        environment_factory=environment_factory(puzzles),
    )


@pytest.fixture(autouse=True)
def _experimental(monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.mark.filterwarnings("ignore:`.*gradient_checkpointing.*`:FutureWarning")
def test_pictures_travel_to_the_model_and_replies_are_scored_by_their_row(puzzles, tmp_path):
    heard = []

    def reward(completions, environments, **columns):
        """Right answers in place of a random model's."""
        replies = [f"<think>So.</think>\\boxed{{{rollout.row['answer']}}}" for rollout in environments[:-1]] + ["none"]
        heard.append([rollout.row["id"] for rollout in environments])
        return environment_reward()(completions=replies, environments=environments, **columns)

    trainer = trainer_of("qwen3_vl", puzzles, tmp_path, reward)
    trainer.train()
    rows = {row["id"]: row for row in map(puzzles.row, NUMBERS)}
    assert {len(row["images"]) for row in rows.values()} == {1, 5}
    [ids] = heard
    assert ids[::2] == ids[1::2], "a group is of one row"
    assert set(ids) == set(rows)
    log = next(entry for entry in trainer.state.log_history if "reward" in entry)
    assert log["reward"] == log["accuracy"] == pytest.approx(7 / 8)
    assert log["grad_norm"] > 0
    assert log["num_tokens"] == 2 * sum(prompt_tokens(row, trainer.processing_class) for row in rows.values()) + 8 * REPLY


def prompt_tokens(row, processor):
    text = processor.apply_chat_template(vlm.conversation(row["problem"], FORMAT_INSTRUCTION), add_generation_prompt=True)
    return processor(text=[text], images=[vlm.pictures(row)], return_tensors="pt")["input_ids"].shape[1]


def test_trl_refuses_a_template_without_tools(puzzles, tmp_path):
    with pytest.raises(ValueError, match="does not support tool calling"):
        trainer_of("qwen2_5_vl", puzzles, tmp_path, environment_reward())
