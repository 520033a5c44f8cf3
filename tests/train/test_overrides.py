"""The corrections of TRL as far as they need no vLLM; with it, see test_vllm.py."""

import shlex
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_ssrl import vlm
from spatial_ssrl.errors import RecipeError, TrainingError
from spatial_ssrl.row import read_rows
from spatial_ssrl.train.grpo import silence
from spatial_ssrl.train.guard import Guard, GuardWarning
from spatial_ssrl.train.overrides import one_pad_per_image
from spatial_ssrl.train.server import serve_command
from spatial_ssrl.train.sharding import refuse_sharded_lora
from train.helpers import tiny_preset

PAD = 7


@given(st.lists(st.integers(0, 9), max_size=40))
def test_runs_of_pads_become_one(ids):
    expected = [token for token, run in groupby(ids) for _ in range(1 if token == PAD else len(list(run)))]
    assert one_pad_per_image(ids, PAD) == expected


def test_what_vllm_expands_is_what_the_trainer_has(cold_start, puzzles):
    """As vLLM does: each pad is replaced by as many as its image has tokens."""
    processor = vlm.load_processor(cold_start / "model")
    images, pad = processor.image_processor, processor.image_token_id
    for row in read_rows(puzzles, "train"):
        prompt = processor.apply_chat_template(vlm.conversation(row["problem"]), add_generation_prompt=True)
        inputs = processor(text=[prompt], images=[vlm.pictures(row)], return_tensors="pt")
        ids = inputs["input_ids"][0].tolist()
        lengths = iter((inputs["image_grid_thw"].prod(dim=1) // images.merge_size**2).tolist())
        expanded = [token for one in one_pad_per_image(ids, pad) for token in [one] * (next(lengths) if one == pad else 1)]
        assert expanded == ids


def test_the_guard_stops_at_the_first_generation_and_warns_later(recwarn):
    Guard().check(0.05, 0)
    assert not recwarn
    with pytest.raises(
        TrainingError, match=r"differ from the trainer's by 0\.250 on average at update 0; expected below 0\.05"
    ):
        Guard().check(0.25, 0)
    guard = Guard()
    with pytest.warns(GuardWarning, match=r"by 0\.060 on average at update 0"):
        guard.check(0.06, 0)
    with pytest.warns(GuardWarning, match=r"by 0\.300 on average at update 8"):
        guard.check(0.3, 8)
    recwarn.clear()
    Guard(speaks=False).check(0.3, 8)
    assert not recwarn


def test_a_run_without_the_guard_is_refused(tmp_path):
    trainer = {"use_vllm": True, "vllm_importance_sampling_correction": False}
    with pytest.raises(RecipeError, match="nothing compares vLLM with the trainer"):
        tiny_preset("grpo", trainer=trainer).trainer_config(tmp_path)


def test_a_sampled_vision_token_is_impossible_with_either_generator(cold_start, tmp_path):
    processor = vlm.load_processor(cold_start / "model")
    tokens = vlm.vision_token_ids(processor)
    assert processor.tokenizer.convert_ids_to_tokens(tokens) == list(vlm.VISION_TOKENS)
    given = {"top_k": 5, "suppress_tokens": [1]}
    args = tiny_preset("grpo", trainer={"generation_kwargs": given}).trainer_config(tmp_path)
    assert silence(args, tokens) == {"suppress_tokens": [1, *tokens], "top_k": 5}
    args.use_vllm, args.generation_kwargs = True, {"logit_bias": {1: 2.0, tokens[0]: 5.0}}
    assert silence(args, tokens) == {"logit_bias": {1: 2.0, **dict.fromkeys(tokens, -100.0)}}


def test_limits_are_the_image_processors_alone(cold_start, tmp_path):
    model = cold_start / "model"
    before, after = vlm.load_processor(model), vlm.load_processor(model, 4000, 6272)
    assert vlm.pixel_limits(after) == {"min_pixels": 4000, "max_pixels": 6272}
    assert after.video_processor.size == before.video_processor.size
    after.save_pretrained(tmp_path)
    saved = vlm.load_processor(tmp_path)
    assert vlm.pixel_limits(saved) == vlm.pixel_limits(after)
    assert saved.video_processor.size == before.video_processor.size
    with pytest.raises(TrainingError, match="at least 9000 and at most 6272 pixels"):
        vlm.load_processor(model, 9000, 6272)


def test_the_servers_command_is_one_that_a_shell_reads():
    words = shlex.split(serve_command("runs/my sft/model", {"min_pixels": 1, "max_pixels": 2}, 6144))
    assert words[:4] == ["VLLM_SERVER_DEV_MODE=1", "vllm", "serve", "runs/my sft/model"]
    assert words[words.index("--mm-processor-kwargs") + 1] == '{"min_pixels": 1, "max_pixels": 2}'
    assert words[-2:] == ["--max-model-len", "6144"]


@pytest.mark.parametrize("variable", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_lora_is_refused_where_accelerate_will_shard(variable, tmp_path, monkeypatch):
    args = tiny_preset("sft").trainer_config(tmp_path)
    refuse_sharded_lora(args)
    monkeypatch.setenv(variable, "true")
    with pytest.raises(TrainingError, match=r"ddp-8gpu\.yaml"):
        refuse_sharded_lora(args)
